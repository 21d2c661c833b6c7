"""The study's grid, run on our archives, beside the published scores.

grid          the cells, as YAML: study, laptop, labels, wide, published, architectures,
              smoke
requests      what the commands are asked for, checked before torch is imported
running       running them, resumable, on one machine or on several
results       one table of cells
comparison    means, intervals and differences
goals         what they are to reach
sections      tables and plots of a model and task
plots         the plots
report        the report

Deshmukh, Sachdev, Gleyzer & Toomey, NeurIPS ML4PS 2023.
"""

from typing import TYPE_CHECKING

from lensmodels.study.grid import (
    Cell,
    Grid,
    cells_of_models,
    load_grid,
    share_of,
    shipped_grids,
)
from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lensmodels.study.report import write_study_report
    from lensmodels.study.running import run_grid

__all__ = [
    "Cell",
    "Grid",
    "cells_of_models",
    "load_grid",
    "run_grid",
    "share_of",
    "shipped_grids",
    "write_study_report",
]

__getattr__ = lazy_names(
    __name__,
    {
        "run_grid": "lensmodels.study.running",
        "write_study_report": "lensmodels.study.report",
    },
)
"""A grid is checked before torch is imported, which takes seconds."""
