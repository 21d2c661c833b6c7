"""The plots: each a pure function of what it shows, by task.

classification   ROC curves, confusion matrix, AUC by S/N, calibration
axion_mass       predicted against true mass, error by mass, coverage
training         losses and scores by epoch
images           embedding map, worst mistakes
scores           the scores of several runs
shifts           score, calibration and share flagged of shifted test sets
axes             tick labels, legends and error bars that they share
"""

from lensmodels.reporting.plots.axes import plain_ticks
from lensmodels.reporting.plots.axion_mass import (
    draw_coverage,
    draw_posterior_ranks,
    draw_predicted_mass,
    draw_rmse_by_mass,
    predicted_mass_panel,
)
from lensmodels.reporting.plots.classification import (
    draw_auc_by_snr,
    draw_auc_by_snr_of_runs,
    draw_confusion,
    draw_reliability,
    draw_roc,
)
from lensmodels.reporting.plots.images import draw_embedding, draw_mistakes
from lensmodels.reporting.plots.shifts import draw_shifts
from lensmodels.reporting.plots.training import draw_scores, draw_training

__all__ = [
    "draw_auc_by_snr",
    "draw_auc_by_snr_of_runs",
    "draw_confusion",
    "draw_coverage",
    "draw_embedding",
    "draw_mistakes",
    "draw_posterior_ranks",
    "draw_predicted_mass",
    "draw_reliability",
    "draw_rmse_by_mass",
    "draw_roc",
    "draw_scores",
    "draw_shifts",
    "draw_training",
    "plain_ticks",
    "predicted_mass_panel",
]
