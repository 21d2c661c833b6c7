"""Evaluation: testing a trained model, and predicting new images.

metrics       scores: pure functions of arrays
summary       from a table of predictions to metrics.json
information   what the images can tell at best
held_out      what a run keeps of its validation images
image_scores  numbers that tell images of another kind
archive_scores   what an archive holds of an image beside its pixels
out_of_distribution   novelty: whether an image is of the kind that was trained on
posterior     ranks and TARP coverage of posteriors
calibration   temperature, prediction sets and intervals
kept_tensors  files that belong to the model of a run
inference     running a model over images
requests      what the commands are asked for, checked before torch is imported
testing       testing a run
shifts        test sets that depart from the training specification in one thing each: the list
shift_testing   testing a model on them
prediction    new images: predictions
embedding     the images of an archive: embeddings
outputs       the files of both: recognised, and written whole
"""

from typing import TYPE_CHECKING

from lenssim.lazy_names import lazy_names

if TYPE_CHECKING:
    from lensmodels.evaluation.embedding import embed
    from lensmodels.evaluation.prediction import predict
    from lensmodels.evaluation.testing import score

__all__ = ["embed", "predict", "score"]

__getattr__ = lazy_names(
    __name__,
    {
        "embed": "lensmodels.evaluation.embedding",
        "predict": "lensmodels.evaluation.prediction",
        "score": "lensmodels.evaluation.testing",
    },
)
"""Requests are checked before torch is imported, which takes seconds."""
