"""Training: the stages of a run.

stages      pretraining and finetuning, and what each begins with
resume      whether a folder holds the run that is to be resumed
trainer     one stage in Lightning's loop
callbacks   checkpoints, Ctrl-C and what is logged
progress    a bar, and a line after epochs
processes   which of the processes that train together this one is
"""

from lensmodels.training.processes import rank_zero
from lensmodels.training.resume import begin, first_difference
from lensmodels.training.stages import finetune, pretrain, seed_weights, train
from lensmodels.training.trainer import InterruptedTrainingError, StageData, StageName

__all__ = [
    "InterruptedTrainingError",
    "StageData",
    "StageName",
    "begin",
    "finetune",
    "first_difference",
    "pretrain",
    "rank_zero",
    "seed_weights",
    "train",
]
