"""Every method learns: it overfits 64 images in seconds."""

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from lensmodels.data import InputScaling
from lensmodels.encoders import Encoder, EncoderSettings
from lensmodels.methods import PRETRAINING, StageSettings, Supervised
from lensmodels.methods.macro import COLUMNS
from lensmodels.methods.probes import embedding_rank, embedding_std, has_collapsed
from lensmodels.methods.settings import ENTRIES, PRETRAINING_DEFAULTS
from lensmodels.model import LensModel
from lensmodels.tasks import AxionMass, Classification, TaskSettings
from lensmodels.views import ViewSettings, default_recipe

COUNT = 64

FELL_TO = {"dino": 0.85, "esvit": 0.85, "vicreg": 0.75, "mae": 0.3, "smooth-twin": 0.3}
"""Share of the first loss that is left: of an entropy that begins at the logarithm of the
number of images or prototypes, of three terms, or of an error in units of the noise."""

AS_IT_IS = ViewSettings()


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(COUNT) % 3
    mass = 10 ** (-24 + 2 * torch.rand(COUNT, generator=generator, dtype=torch.float64))
    image = torch.randn(COUNT, 1, 32, 32, generator=generator)
    parameters = {name: torch.randn(COUNT, generator=generator) for name in COLUMNS}
    return {"image": image, "label": label, "axion_mass": mass} | parameters


def fit(module, batch, steps):
    """Losses of so many steps on one batch."""
    losses = []

    class Record(lightning.Callback):
        def on_train_batch_end(self, trainer, module, outputs, *_):
            losses.append(float(outputs["loss"]))

    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Record()],
    )
    trainer.fit(module, DataLoader([batch] * steps, batch_size=None))
    return losses


@pytest.mark.parametrize("name", PRETRAINING)
def test_a_pretraining_tells_64_images_apart(name, batch, bars):
    torch.manual_seed(0)
    # those that contrast get their pretext, those that predict the image itself
    recipe = (ViewSettings(count=ENTRIES[name].views),)
    if name.startswith("contrastive"):
        recipe = default_recipe(name)
    encoder = EncoderSettings(name="test_resnet")
    if name == "mae":  # for transformers, and of noise no patch says what another is
        encoder = EncoderSettings(name="test_vit", patch_size=8, arguments={"depth": 2})
        batch = batch | {"image": bars(torch.linspace(0, 6, COUNT))}
    if name == "smooth-twin":  # a bar that its twin does not have
        bar = bars(torch.linspace(0, 6, COUNT))
        batch = batch | {"image": bar, "second_image": torch.zeros_like(bar)}
    method = PRETRAINING[name](
        Encoder(encoder, 32),
        recipe,
        InputScaling(sky_noise=0.1),
        PRETRAINING_DEFAULTS[name].model_copy(update={"epochs": 1, "learning_rate": 6e-3}),
        batch_size=COUNT,
        total_steps=40,
        seed=0,
    )
    losses = fit(method, batch, 40)
    if name in ("byol", "simsiam"):  # a cosine: from about 0 to -1
        assert losses[-1] < -0.85
    else:
        assert losses[-1] < FELL_TO.get(name, 0.6) * losses[0]
    with torch.no_grad():
        features = method.eval().features(method.scaling(batch["image"]))
    spread = embedding_std(features) if method.is_probed else 1.0
    assert not has_collapsed(spread, embedding_rank(features))


def supervised(task, view=AS_IT_IS, total_steps=30, **settings):
    torch.manual_seed(0)
    model = LensModel(InputScaling(), Encoder(EncoderSettings(name="test_resnet"), 32), task)
    stage = StageSettings(epochs=1, learning_rate=4e-3)
    return Supervised(
        model, (view,), stage, batch_size=COUNT, total_steps=total_steps, seed=0, **settings
    )


@pytest.mark.parametrize(
    "task",
    [
        Classification(TaskSettings()),
        AxionMass(TaskSettings(name="axion-mass")),
        AxionMass(TaskSettings(name="axion-mass", loss="gaussian-nll")),
    ],
    ids=["classification", "huber", "gaussian"],
)
def test_every_task_is_learned_by_heart(task, batch):
    losses = fit(supervised(task), batch, 30)
    floor = -1.0 if task.settings.loss == "gaussian-nll" else 0.0
    assert losses[-1] - floor < 0.3 * (losses[0] - floor)


def test_the_quadrupole_is_learned_beside_the_mass_and_as_the_view_shows_it(bars):
    angle = torch.linspace(0, 3.1, COUNT)
    batch = {
        "image": bars(angle),
        "label": torch.zeros(COUNT, dtype=torch.long),
        "axion_mass": torch.full((COUNT,), 1e-23, dtype=torch.float64),
        "vortex_length": torch.ones(COUNT),
        "vortex_angle": angle,
    }
    task = AxionMass(TaskSettings(name="axion-mass", quadrupole=1.0))
    turned = ViewSettings(angle=45, symmetry="any")
    losses = fit(supervised(task, view=turned, total_steps=60), batch, 60)
    # of the angle on the sky, in place of that in the view, nothing could be learned
    assert losses[-1] < 0.15 * losses[0]


def test_a_linear_probe_changes_nothing_but_the_head(batch):
    module = supervised(Classification(TaskSettings()), frozen=True)
    encoder = {key: value.clone() for key, value in module.model.encoder.state_dict().items()}
    head = module.model.head.weight.clone()
    fit(module, batch, 3)
    after = module.model.encoder.state_dict()
    assert all(torch.equal(encoder[key], after[key]) for key in encoder)  # norms as well
    assert not torch.equal(head, module.model.head.weight)
