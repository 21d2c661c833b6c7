"""How long and how fast each method trains, and what it has to set besides."""

from __future__ import annotations

from pydantic import Field

from lensmodels.errors import UsageError
from lensmodels.schema import Settings
from lensmodels.views import Recipe


class StageSettings(Settings):
    """How long and how fast to train.

    The papers train with SGD or LARS at batches of 256 to 4096 for hundreds of epochs. On sets
    of ten thousand images and batches of 64 to 256, AdamW with warm-up and a cosine is what
    works for ResNets and transformers alike without tuning, so that it is used for every method.
    """

    epochs: int = Field(ge=0)
    """Passes over the images; 0 skips the stage."""
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False)
    """Learning rate at a batch of 256; it is scaled by the root of the batch size over that, as
    suits Adam."""
    weight_decay: float = Field(0.05, ge=0, allow_inf_nan=False)
    """Of weights, not of biases or norms."""
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of the steps in which the learning rate rises to its full value."""


MIN_TEMPERATURE = 1e-3
"""Of a softmax: below it, there is one winner and nothing to learn from."""


class AveragingSettings(StageSettings):
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


class ContrastiveSettings(StageSettings):
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


SUPERVISED_DEFAULTS = StageSettings(epochs=30, learning_rate=2e-3)
CONTRASTIVE_DEFAULTS = ContrastiveSettings(epochs=100, learning_rate=1e-3)
BYOL_DEFAULTS = AveragingSettings(epochs=100, learning_rate=1e-3)
SIMSIAM_DEFAULTS = StageSettings(epochs=100, learning_rate=1e-3)
DINO_DEFAULTS = DINOSettings(epochs=100, learning_rate=1e-3)

PRETRAINING_DEFAULTS: dict[str, StageSettings] = {
    "contrastive-rotation": CONTRASTIVE_DEFAULTS,
    "contrastive-noise": CONTRASTIVE_DEFAULTS,
    "byol": BYOL_DEFAULTS,
    "simsiam": SIMSIAM_DEFAULTS,
    "dino": DINO_DEFAULTS,
}
"""Settings of each self-supervised method where the user gives none."""

METHOD_NAMES = {
    "supervised": "Supervised",
    "contrastive-rotation": "Contrastive (rotation)",
    "contrastive-noise": "Contrastive (noise)",
    "byol": "BYOL",
    "simsiam": "SimSiam",
    "dino": "DINO",
}
"""How each method is called in a sentence or a table."""

METHODS = tuple(METHOD_NAMES)
"""Names of all methods, as options and settings have them."""

COMPARED_VIEWS = 2
"""Views of an image that a method compares; of DINO's, the global ones."""


def check_views(method: str, recipe: Recipe) -> None:
    """Refuse a recipe that a self-supervised method cannot use.

    Raises:
        UsageError: saying how many views the method compares.
    """
    count = sum(view.count for view in recipe)
    if method == "dino":  # local views may follow the global ones
        if count < COMPARED_VIEWS:
            raise UsageError(
                f"{METHOD_NAMES[method]} compares {COMPARED_VIEWS} views or more, not {count}."
            )
    elif count != COMPARED_VIEWS:
        raise UsageError(f"{METHOD_NAMES[method]} compares {COMPARED_VIEWS} views, not {count}.")
