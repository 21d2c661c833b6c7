"""EsViT: DINO, and the same for every region of the image, matched by its features.

Li et al. 2022, arXiv:2106.09785. Departures from the paper are those of DINO.
"""

from __future__ import annotations

from typing import Any

import torch
from lightly.models.modules.center import Center
from torch import Tensor
from torch.nn import functional

from lensmodels.data.whitening import full_precision
from lensmodels.methods.dino import DINO

Regions = tuple[Tensor, Tensor]
"""Features of regions, (n, regions, features), and what a head makes of each."""


class EsViT(DINO):
    """A region of the student learns the assignment of the teacher's region most like it."""

    # heads of regions: a tenth more for ResNets, a third for CvT, twice for a ViT with patches of 8
    relative_cost = 1.25 * DINO.relative_cost
    averaged = (*DINO.averaged, ("student_region_head", "teacher_region_head"))

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        features = self.encoder.count_region_features()
        self.student_region_head = self.head(features)
        self.teacher_region_head = self.start_equal(self.student_region_head, self.head(features))
        self.region_center = Center((1, 1, self.stage.prototypes))

    def loss(self, views: list[Tensor]) -> Tensor:
        """Mean of the view-level and the region-level loss, equations 1 and 2 there."""
        with torch.no_grad():
            seen = views[: self.global_views]
            teacher, targets = zip(*[self._outputs("teacher", view) for view in seen], strict=True)
        student, regions = zip(*[self._outputs("student", view) for view in views], strict=True)
        temperature = self.teacher_temperature
        whole = self.criterion(list(teacher), list(student), teacher_temp=temperature)
        pairs = [(t, s) for i, t in enumerate(targets) for j, s in enumerate(regions) if i != j]
        local = torch.stack([self.region_loss(*pair) for pair in pairs]).mean()
        self.region_center.update(torch.cat([outputs for _, outputs in targets]))
        return (whole + local) / 2

    def _outputs(self, name: str, view: Tensor) -> tuple[Tensor, Regions]:
        encoder, head = getattr(self, name)
        pooled, regions = encoder.pooled_and_regions(view)
        outputs = getattr(self, f"{name}_region_head")(regions.flatten(0, 1))
        return head(pooled), (regions, outputs.unflatten(0, regions.shape[:2]))

    def region_loss(self, teacher: Regions, student: Regions) -> Tensor:
        """Cross-entropy of each of the student's regions with its match, equation 2 there.

        The match is the region of the teacher whose features have the highest cosine similarity,
        which bfloat16 cannot tell from the second.
        """
        with full_precision(student[1].device):
            return self._region_loss(
                (teacher[0].float(), teacher[1].float()), (student[0].float(), student[1].float())
            )

    def _region_loss(self, teacher: Regions, student: Regions) -> Tensor:
        known, found = (
            functional.normalize(features, dim=-1) for features, _ in (teacher, student)
        )
        match = (found @ known.transpose(1, 2)).argmax(-1, keepdim=True)
        sharp = (teacher[1] - self.region_center.value) / self.teacher_temperature
        target = functional.softmax(sharp, -1).take_along_dim(match, 1)
        guess = functional.log_softmax(student[1] / self.stage.student_temperature, -1)
        return -(target * guess).sum(-1).mean()
