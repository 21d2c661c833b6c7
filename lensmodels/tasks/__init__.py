"""Tasks: what a head on the encoder says about an image, its loss and its score.

settings         which task, and what it needs of images
choice           the task that settings name
base             what a task has to say
classification   which substructure class
axion_mass_posterior   the posterior of the same, a mixture of normal distributions
axion_mass       log10 of the axion mass in eV, and the quadrupole of the vortex
"""

from typing import TYPE_CHECKING

from lensmodels.tasks.settings import TaskName, TaskSettings
from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lensmodels.tasks.axion_mass import AxionMass
    from lensmodels.tasks.base import Task
    from lensmodels.tasks.choice import measure_task, task_from_dict
    from lensmodels.tasks.classification import Classification, macro_auc

__all__ = [
    "AxionMass",
    "Classification",
    "Task",
    "TaskName",
    "TaskSettings",
    "macro_auc",
    "measure_task",
    "task_from_dict",
]

__getattr__ = lazy_names(
    __name__,
    {
        "AxionMass": "lensmodels.tasks.axion_mass",
        "Classification": "lensmodels.tasks.classification",
        "Task": "lensmodels.tasks.base",
        "macro_auc": "lensmodels.tasks.classification",
        "measure_task": "lensmodels.tasks.choice",
        "task_from_dict": "lensmodels.tasks.choice",
    },
)
"""Settings are checked before torch is imported, which takes seconds."""
