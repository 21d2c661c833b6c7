"""How long and how fast each method trains, and what it has to set besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from lensmodels.errors import UsageError
from lensmodels.schema import Settings
from lensmodels.views import Recipe

if TYPE_CHECKING:
    from lenssim.live.pairs import Pairs


class StageSettings(Settings):
    """How long and how fast to train.

    The papers train with SGD or LARS at batches of 256 to 4096 for hundreds of epochs. On sets
    of ten thousand images and batches of 64 to 256, AdamW with warm-up and a cosine is what
    works for ResNets and transformers alike without tuning, so that it is used for every method.
    The recipe of Deshmukh et al. 2023, Adam at 1e-4 on all weights, is learning_rate 1e-4,
    weight_decay 0, warmup 0, scale_rate false and schedule constant.
    """

    epochs: int = Field(ge=0)
    """Passes over the images; 0 of the pretraining where the method is supervised."""
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False)
    """Learning rate at a batch of 256, of the heads and the encoder's last layer."""
    weight_decay: float = Field(0.05, ge=0, allow_inf_nan=False)
    """Of weights, not of biases, norms, position embeddings or class tokens; 0 makes AdamW Adam."""
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of the steps in which the learning rate rises to its full value."""
    scale_rate: bool = True
    """Scale the learning rate by the root of the batch size over 256, as suits Adam."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """After the warm-up, the learning rate falls to nearly 0 as a cosine, or is constant."""
    encoder_rate: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Learning rate of the encoder, as a share of that of the heads."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Learning rate of a layer of the encoder, as a share of that of the next."""


MIN_TEMPERATURE = 1e-3
"""Of a softmax: below it, there is one winner and nothing to learn from."""


class PairSettings(StageSettings):
    """Of a method that compares two views, which may be of the two images of a pair."""

    pairs: Literal["none", "source"] = "none"
    """Of two images, that share lens and substructure and differ in source, noise and place on the
    pixels, in place of two views of one: source; only a simulator has them, --data live:MODEL."""


class HeadSettings(StageSettings):
    """Of a method whose head's width is set by the paper for the 2,048 features of a ResNet-50."""

    hidden_units: int | None = Field(None, ge=1)
    """Width of the hidden layers of the heads; if not given, as many for each feature of the
    encoder as in the paper, and no fewer than suits small encoders."""

    def width(self, features: int, *, per_feature: int, at_least: int) -> int:
        """Hidden units of a head: those set, or in proportion to the encoder's features.

        Args:
            features: of the encoder.
            per_feature: hidden units for each of them, as in the paper.
            at_least: lower bound, for small encoders.
        """
        return self.hidden_units or max(at_least, per_feature * features)


class AveragingSettings(HeadSettings):
    """Of a method that learns from a moving average of the network that it trains.

    BYOL and DINO begin with a momentum of 0.996, an average over 250 steps, in trainings of
    100,000 steps and more. In one of a thousand steps such an average has hardly moved from its
    random weights.
    """

    momentum: float | None = Field(None, ge=0, lt=1)
    """Of the average in the beginning, rising to 1 as a cosine; if not given, for an average over a
    500th of the steps, at least 10 and at most 250."""

    def momentum_at(self, step: int, steps: int) -> float:
        """Momentum in a step of so many."""
        from lightly.utils.scheduler import cosine_schedule

        first = self.momentum
        if first is None:
            first = 1 - 1 / min(max(steps / 500, 10), 250)
        return cosine_schedule(step, steps, first, 1.0)


class SimSiamSettings(HeadSettings, PairSettings):
    """How long and how fast to train, and what is compared."""


class ContrastiveSettings(HeadSettings, PairSettings):
    """How long and how fast to train, and how sharply to tell images apart."""

    temperature: float = Field(0.1, ge=MIN_TEMPERATURE, allow_inf_nan=False)
    """Of NT-Xent. SimCLR, table 5 and appendix B.7: 0.5 suits few epochs of photographs, 0.1 small
    batches; lenses are alike in all but details, which a low temperature weighs more."""


class DINOSettings(AveragingSettings):
    """How long and how fast to train, and how sharp the assignments are."""

    student_temperature: float = Field(0.1, ge=MIN_TEMPERATURE, allow_inf_nan=False)
    """Of the student's assignments, as in the paper."""
    teacher_temperature: float = Field(0.07, ge=MIN_TEMPERATURE, allow_inf_nan=False)
    """Of the teacher's once it has risen, as in the paper."""
    prototypes: int = Field(1024, ge=2)
    """That images are assigned to; 1024 in place of 65,536, as there are not more kinds of lens in
    ten thousand images."""
    head_norms: bool | None = None
    """Whether the hidden layers of the heads have batch norms; if not given, where the last norm of
    the encoder is none. Without any, as in the paper, features that begin nearly the same for all
    images end at assignments that are the same for all."""


class VICRegSettings(HeadSettings, PairSettings):
    """How long and how fast to train, and the weights of the loss's terms, those of the paper."""

    invariance: float = Field(25.0, ge=0, allow_inf_nan=False)
    """Weight of the distance between two views."""
    variance: float = Field(25.0, ge=0, allow_inf_nan=False)
    """Weight of the term that keeps the spread of every output above 1."""
    covariance: float = Field(1.0, ge=0, allow_inf_nan=False)
    """Weight of the term that makes the outputs uncorrelated."""


class MAESettings(StageSettings):
    """How long and how fast to train, and how much to hide."""

    masked_share: float = Field(0.75, gt=0, lt=1)
    """Share of the patches that the encoder does not see, as in the paper."""
    decoder_depth: int = Field(2, ge=1)
    """Blocks of the decoder; 2 in place of 8, which are as good for finetuning (table 1a there)."""
    decoder_width: int | None = Field(None, ge=32, multiple_of=32)
    """Of its tokens; if not given, half the encoder's, and at least 64."""


SUPERVISED_DEFAULTS = StageSettings(epochs=30, learning_rate=2e-3)

Supervision = Literal["images", "simulator"]
"""What a pretraining learns from: images alone, as there are of real lenses, or what only a
simulator knows of them."""


class Entry(NamedTuple):
    """A method of pretraining, as it is registered.

    Attributes:
        title: its name in a sentence or a table.
        place: its class, as "module:Class" in `lensmodels.methods`.
        defaults: its settings where the user gives none.
        views: of an image that it compares; of a method with local views, the global ones.
        takes_local_views: whether more may follow.
        supervision: what it learns from.
        pairs: what the images of a pair share, of a method that always learns from pairs.
    """

    title: str
    place: str
    defaults: StageSettings
    views: int = 2
    takes_local_views: bool = False
    supervision: Supervision = "images"
    pairs: Pairs | None = None


ENTRIES = {
    "contrastive-rotation": Entry(
        "Contrastive (rotation)", "contrastive:Contrastive", ContrastiveSettings(epochs=100)
    ),
    "contrastive-noise": Entry(
        "Contrastive (noise)", "contrastive:Contrastive", ContrastiveSettings(epochs=100)
    ),
    "byol": Entry("BYOL", "byol:BYOL", AveragingSettings(epochs=100)),
    "simsiam": Entry("SimSiam", "simsiam:SimSiam", SimSiamSettings(epochs=100)),
    "dino": Entry("DINO", "dino:DINO", DINOSettings(epochs=100), takes_local_views=True),
    "vicreg": Entry("VICReg", "vicreg:VICReg", VICRegSettings(epochs=100)),
    "esvit": Entry("EsViT", "esvit:EsViT", DINOSettings(epochs=100), takes_local_views=True),
    "mae": Entry("MAE", "mae:MAE", MAESettings(epochs=100), views=1),
    "macro": Entry(
        "Lens and source", "macro:Macro", StageSettings(epochs=30), 1, supervision="simulator"
    ),
    "smooth-twin": Entry(
        "Smooth twin",
        "smooth_twin:SmoothTwin",
        StageSettings(epochs=30),
        1,
        supervision="simulator",
        pairs="smooth_twin",
    ),
}
"""Methods of pretraining by name: one entry each."""

PRETRAINING_DEFAULTS = {name: entry.defaults for name, entry in ENTRIES.items()}
"""Settings of each pretraining where the user gives none."""

METHOD_NAMES = {"supervised": "Supervised"} | {name: each.title for name, each in ENTRIES.items()}
"""How each method is called in a sentence or a table."""

METHODS = tuple(METHOD_NAMES)
"""Names of all methods, as options and settings have them."""


def check_views(method: str, recipe: Recipe) -> None:
    """Refuse a recipe that a pretraining cannot use.

    Raises:
        UsageError: saying how many views the method compares.
    """
    count, entry = sum(view.count for view in recipe), ENTRIES[method]
    if count == entry.views or (entry.takes_local_views and count > entry.views):
        return
    wanted = f"{entry.views} view{'s' * (entry.views != 1)}"
    more = " or more" if entry.takes_local_views else ""
    raise UsageError(f"{entry.title} compares {wanted}{more}, not {count}.")
