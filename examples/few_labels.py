# %% [markdown]
# # Embeddings and few labels
#
# An encoder is pretrained without labels. Then a linear classifier is fitted to its features with
# ever fewer labelled images, beside the same classifier on an encoder with random weights.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lensmodels
import lenssim
from lenssim import CLASSES

TRAIN, TEST, EPOCHS, BATCH = 600, 200, 10, 64
LABELS = (10, 50, 200)  # of each class


def images_and_labels(archive, split, count=None):
    """The first images of each class, (n, y, x) in e-/s, and their labels."""
    groups = [archive.dataset(split, name).isel(sample=slice(count)) for name in CLASSES]
    images = np.concatenate([group["image"].values for group in groups])
    return images, np.concatenate([group["label"].values for group in groups])


# %%
with TemporaryDirectory() as folder:
    archive = lenssim.generate("B", train=TRAIN, test=TEST, out=f"{folder}/B", progress=True)
    config = lensmodels.run_config(
        f"{folder}/B",
        method="byol",
        encoder="test_resnet",
        pretrain_epochs=EPOCHS,
        finetune_epochs=1,  # the encoder that is loaded below is the one before finetuning
        batch_size=BATCH,
    )
    lensmodels.train(config, f"{folder}/run")
    pretrained, scaling = lensmodels.load_encoder(Path(folder, "run"))
    encoders = {"pretrained": pretrained, "random": lensmodels.build_encoder("test_resnet")}

    test_images, test_labels = images_and_labels(archive, "test")
    for count in LABELS:
        images, labels = images_and_labels(archive, "train", count)
        for name, encoder in encoders.items():
            features = lensmodels.embed_images(encoder, scaling, images)
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            classifier.fit(features, labels)
            test_features = lensmodels.embed_images(encoder, scaling, test_images)
            probabilities = classifier.predict_proba(test_features)
            auc = roc_auc_score(test_labels, probabilities, multi_class="ovr")
            print(f"{count} labels a class, {name} encoder: macro AUC {auc:.3f}")
