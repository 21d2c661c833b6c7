"""Training: the stages of a run.

stages      pretraining and finetuning, and what each begins with
requirements   what the stages need, tried before the first
norms       batch norms of a frozen encoder, taken anew
trainer     one stage in Lightning's loop
callbacks   checkpoints, Ctrl-C, logs and progress
"""

from lensmodels.training.callbacks import rank_zero
from lensmodels.training.requirements import check_folder, check_requirements
from lensmodels.training.stages import begin, finetune, pretrain, seed_weights, train
from lensmodels.training.trainer import InterruptedTrainingError, StageName

__all__ = [
    "InterruptedTrainingError",
    "StageName",
    "begin",
    "check_folder",
    "check_requirements",
    "finetune",
    "pretrain",
    "rank_zero",
    "seed_weights",
    "train",
]
