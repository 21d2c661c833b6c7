"""Evaluation: what a trained model is worth, and what it says of new images.

metrics        scores: pure functions of arrays
bootstrap      their 95% intervals, and those of the difference of two runs
summary        from a table of predictions to metrics.json
information    what the images can tell at best
inference      running a model over images
testing        testing a run
prediction     new images: predictions and embeddings
style, plots, embedding_map, figures   the figures
page           self-contained pages
report         report.html, of one run or of several
evaluate       all of these
"""

from lensmodels.evaluation.evaluate import evaluate
from lensmodels.evaluation.prediction import embed, predict
from lensmodels.evaluation.report import compare, write_report
from lensmodels.evaluation.testing import score

__all__ = ["compare", "embed", "evaluate", "predict", "score", "write_report"]
