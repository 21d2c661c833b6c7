# %% [markdown]
# # Train from Python in twenty lines
#
# The same as `lenssim generate` and `lensmodels train`: simulate, pretrain without labels,
# finetune, evaluate, predict. A few minutes on a laptop.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

import lensmodels
import lenssim

TRAIN, TEST, EPOCHS, BATCH = 600, 200, 5, 64

# %%
with TemporaryDirectory() as folder:
    archive = lenssim.generate("B", train=TRAIN, test=TEST, out=f"{folder}/B", progress=True)
    config = lensmodels.run_config(
        f"{folder}/B",
        method="byol",
        encoder="test_resnet",
        pretrain_epochs=EPOCHS,
        finetune_epochs=EPOCHS,
        batch_size=BATCH,
    )
    metrics = lensmodels.train(config, f"{folder}/run")
    print(f"macro AUC {metrics['macro_auc']}")
    model = lensmodels.load_model(Path(folder, "run"))
    images = archive.dataset("test", "cdm")["image"].values[:3]
    print("p(cdm) of three images of cdm:", lensmodels.predict_images(model, images)["p_cdm"])
