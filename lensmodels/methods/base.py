"""What every method shares: its random numbers, optimiser, online probe and watch for collapse.

To add a method (`simsiam.py` is the shortest example):

1. Write one file here: subclass `Pretraining`, or `Averaging` if a moving average teaches, and
   write `loss(views)`, from a list of batches of views to the mean loss; `self.encoder` gives the
   features, and `self.encoder.regions` those of every place of the image.
2. Register it by one line in `settings.py`, with its default settings; what it has to set besides
   is a class there.
3. If it learns from what only a simulator knows, say so there (`supervision`), name the columns
   that it needs (`columns`) or the pairs of images (`pairs`), and draw by `draw_views` what the
   loss compares besides the views: `macro.py` and `smooth_twin.py` do.
4. If it compares other views than two that are turned and exposed again, put them, with the reason
   why each preserves the label, into `lensmodels/views/views.yaml`.
5. Test the loss in `tests/lensmodels/methods/test_losses.py`, against a case computed by hand or an
   invariance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from lensmodels.data import Batch, InputScaling
from lensmodels.encoders import Encoder
from lensmodels.errors import LensmodelsError
from lensmodels.methods.optimizer import adamw
from lensmodels.methods.probes import (
    embedding_rank,
    embedding_std,
    has_collapsed,
    linear_scores,
    neighbour_probabilities,
    whiten,
)
from lensmodels.methods.settings import StageSettings
from lensmodels.tasks import macro_auc
from lensmodels.views import Draws, Recipe, Views


def check_finite(values: Iterable[Tensor], what: str, epoch: int) -> None:
    """Stop a training that has diverged.

    Args:
        values: tensors of any shape.
        what: they are, for the message.
        epoch: counted from 0.

    Raises:
        LensmodelsError: if a value is not finite.
    """
    for value in values:
        if not torch.isfinite(value).all():
            worst = float(value.flatten()[~torch.isfinite(value).flatten()][0])
            raise LensmodelsError(
                f"The {what} became {worst} in epoch {epoch + 1}: the training diverged; train "
                "again with a lower --lr."
            )


def step_seed(*numbers: int) -> int:
    """One seed from several whole numbers, each of which changes it."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


class Module(lightning.LightningModule):
    """A LightningModule whose randomness is a function of seed and step, with AdamW and a cosine.

    So nothing random has to be saved for a resume, and the views do not depend on how many
    processes share a batch.

    Args:
        stage: epochs, learning rate, weight decay.
        batch_size: over all processes; it scales the learning rate.
        total_steps: optimiser steps in the whole stage. Lightning could tell, but asking it before
            a checkpoint is loaded makes a resume in the middle of an epoch begin it again.
        seed: of the run.
    """

    def __init__(
        self, stage: StageSettings, *, batch_size: int, total_steps: int, seed: int
    ) -> None:
        super().__init__()
        self.stage, self.batch_size, self.seed = stage, batch_size, seed
        self.total_steps = total_steps
        self.step_values: dict[str, Tensor] = {}

    def record(self, name: str, value: Tensor) -> None:
        """Note a value of this step; the log shows its mean over the epoch."""
        self.step_values[name] = value.detach()

    def draws(self, images: Tensor) -> Draws:
        """Random numbers of this step, for the views of this process's part of the batch."""
        return Draws(
            step_seed(self.seed, self.global_step),
            len(images),
            images.device,
            rank=self.global_rank,
            world_size=self.trainer.world_size,
        )

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds what draws its own random numbers, such as dropout."""
        torch.manual_seed(step_seed(self.seed, self.global_step, self.global_rank + 1))

    def adamw(self, encoder: Encoder, unscheduled: nn.Module | None = None) -> dict[str, Any]:
        """AdamW over what is trained, and its schedule; see `optimizer.adamw`.

        Args:
            encoder: in this module.
            unscheduled: part of this module whose learning rate stays at its full value.
        """
        return adamw(
            self,
            encoder.network,
            self.stage,
            batch_size=self.batch_size,
            steps=self.total_steps,
            unscheduled=unscheduled,
        )

    @property
    def progress(self) -> float:
        """Share of the stage's steps that are done, for schedules."""
        return self.global_step / max(1, self.total_steps)


class Pretraining(Module, ABC):
    """A method of pretraining, and how one sees from outside that it learns.

    After every epoch the validation images are embedded. The labels of these, where they have any,
    and of no other image, are looked at, to show the scores of a nearest-neighbour and a linear
    classifier: they steer nothing. The spread and rank of the features show a collapse.

    Args:
        encoder: to be trained, in place.
        views: what the method compares.
        scaling: of the encoder's input.
        stage: epochs, learning rate, weight decay.
        batch_size: over all processes.
        total_steps: optimiser steps in the whole stage.
        seed: of the run.

    Attributes:
        relative_cost: work of a step, in units of a supervised step on as many images; a forward
            pass is a third of one.
        is_probed: whether frozen features show what was learned. If they are only for finetuning,
            there is no online probe, and a collapse is one of their rank alone.
        columns: of an archive that its loss needs in a batch, of a method that the simulator
            supervises.
        collapsed: whether the features of the last validation had collapsed.
    """

    relative_cost: ClassVar[float] = 2.0
    is_probed: ClassVar[bool] = True
    columns: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        encoder: Encoder,
        views: Recipe,
        scaling: InputScaling,
        stage: StageSettings,
        *,
        batch_size: int,
        total_steps: int,
        seed: int,
    ) -> None:
        super().__init__(stage, batch_size=batch_size, total_steps=total_steps, seed=seed)
        self.encoder = encoder
        self.scaling = scaling
        self.views = Views(views, scaling)
        self.collapsed = False
        self._features: list[Tensor] = []
        self._labels: list[Tensor] = []

    @abstractmethod
    def loss(self, views: list[Tensor]) -> Tensor:
        """Loss of one batch, from its scaled views, each (n, 1, height, width)."""

    @property
    def trained_encoder(self) -> Encoder:
        """The encoder that is kept."""
        return self.encoder

    def features(self, images: Tensor) -> Tensor:
        """Features of scaled images, (n, features), that are watched for a collapse."""
        return self.trained_encoder(images)

    def measure(self, batches: Iterable[Batch]) -> None:
        """Measures on train images what the loss needs; nothing, if a method does not say so.

        Args:
            batches: of train images, with the columns of the method, the same in every run.

        Raises:
            DataError: if the images lack what the loss needs.
        """

    def draw_views(self, batch: Batch, seed: int, **part: int) -> list[Tensor]:
        """Scaled views of the images of a batch, and what else the loss compares.

        Args:
            batch: this process's part of it.
            seed: of the step.
            part: `rank` and `world_size` of `Draws`.
        """
        images = batch["image"]
        draws = Draws(seed, len(images), images.device, **part)
        return self.views(images, draws, batch.get("second_image"))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Draws the views of a batch and gives their loss."""
        part = {"rank": self.global_rank, "world_size": self.trainer.world_size}
        loss = self.loss(self.draw_views(batch, step_seed(self.seed, self.global_step), **part))
        self.record("train_loss", loss)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keeps features and labels of a batch for the end of the epoch."""
        self._features.append(self.features(self.scaling(batch["image"])).float())
        self._labels.append(batch["label"])

    def on_validation_epoch_end(self) -> None:
        """Logs the online probe and the measurements that show a collapse."""
        features, labels = torch.cat(self._features), torch.cat(self._labels)
        self._features, self._labels = [], []
        check_finite([features], "features", self.current_epoch)
        spread, rank = embedding_std(features), embedding_rank(features)
        self.collapsed = has_collapsed(spread if self.is_probed else 1.0, rank)
        measurements = {"embedding_rank": rank}
        if self.is_probed:
            measurements["embedding_std"] = spread
        is_labelled = labels >= 0  # -1: telescope images
        features, labels = features[is_labelled], labels[is_labelled]
        classes, columns = labels.unique(return_inverse=True)
        if self.is_probed and len(classes) > 1:
            white, _ = whiten(features, features)
            neighbours = neighbour_probabilities(white, labels)[:, classes]
            linear = linear_scores(features, labels)[:, classes]
            measurements["knn_macro_auc"] = macro_auc(neighbours, columns)
            measurements["linear_macro_auc"] = macro_auc(linear, columns)
        self.log_dict(measurements, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW, also where a paper takes SGD, or LARS for batches of thousands."""
        return self.adamw(self.encoder)
