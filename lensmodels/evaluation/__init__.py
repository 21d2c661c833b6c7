"""Evaluation: what a trained model is worth, and what it says of new images.

metrics        scores: pure functions of arrays
bootstrap      their 95% intervals, and those of the difference of two runs
summary        from a table of predictions to metrics.json
information    what the images can tell at best
inference      running a model over images
guard          images unlike those that a run was trained on
testing        testing a run
prediction     new images: predictions
embedding      the images of an archive: embeddings
outputs        the files of both: recognised, and written whole
style, plots, embedding_map, figures   the figures
page           self-contained pages
report         report.html, of one run or of several
evaluate       all of these
"""

from lensmodels.evaluation.embedding import embed
from lensmodels.evaluation.evaluate import evaluate
from lensmodels.evaluation.prediction import predict
from lensmodels.evaluation.report import compare, write_report
from lensmodels.evaluation.testing import score

__all__ = ["compare", "embed", "evaluate", "predict", "score", "write_report"]
