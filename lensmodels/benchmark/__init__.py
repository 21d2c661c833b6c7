"""The benchmark: the study's grid, run on our archives, beside the published figures.

grid          the cells, as YAML: study, laptop, labels, smoke
running       running them, resumable, on one machine or on several
results       one JSON a cell
comparison    means, intervals and differences
goals         what they are held against
report        tables and figures

Deshmukh, Sachdev, Gleyzer & Toomey, NeurIPS ML4PS 2023.
"""

from lensmodels.benchmark.grid import (
    Cell,
    Grid,
    cells_of_models,
    load_grid,
    share_of,
    shipped_grids,
)
from lensmodels.benchmark.report import write_benchmark_report
from lensmodels.benchmark.running import run_grid

__all__ = [
    "Cell",
    "Grid",
    "cells_of_models",
    "load_grid",
    "run_grid",
    "share_of",
    "shipped_grids",
    "write_benchmark_report",
]
