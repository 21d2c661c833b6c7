"""The plots of a run: heading and caption of each."""

from __future__ import annotations

CAPTIONS: dict[str, tuple[str, str]] = {
    "predicted_mass": (
        "Predicted against true mass",
        "Each test image with an axion vortex. The closer to the diagonal, the better; dashed, one "
        "standard deviation of the best estimate without bias. Where these part, the mass is no "
        "longer in the image, and predictions gather at the mean of what is left.",
    ),
    "rmse_by_mass": (
        "Error by mass",
        "RMSE in bins of a quarter dex, with 95% intervals. Dashed, the Cramér-Rao bound; grey, "
        "the best estimate that knows the prior.",
    ),
    "confusion": (
        "Confusion",
        "Rows are the true classes, columns the most probable ones: share of the row, and number "
        "of images.",
    ),
    "roc": (
        "ROC curves",
        "True against false positives of each class. The axis of the false positives is "
        "logarithmic: its left matters for a search in which most lenses are of another class.",
    ),
    "auc_by_snr": (
        "By signal to noise",
        "AUC of images with substructure against those without, in bins of about equal count in "
        "the S/N of the substructure, with 95% intervals; the better, the higher. A good model is "
        "shown by 1 \N{MINUS SIGN} AUC on a logarithmic axis, whose upper end stands for an AUC of "
        "1. Positions of the curves along the axis are moved a little, so that they do not hide "
        "each other.",
    ),
    "calibration": (
        "Calibration",
        "Whether stated probabilities are right: on the diagonal, an event is as frequent as "
        "stated; below it, less frequent. With 95% intervals.",
    ),
    "embedding": (
        "Embedding",
        "The encoder's features of test images, laid out so that neighbours stay neighbours. "
        "Distances between clusters and axes mean nothing. Separate classes can be told by a "
        "linear head; a gradient in mass means that the mass is encoded.",
    ),
    "mistakes": (
        "Worst mistakes",
        "The test images with the worst predictions, in an asinh stretch, with the S/N of their "
        "substructure. Below each image of a simulated archive: the image minus the same lens "
        "without substructure, rendered again; red is brighter, blue fainter. At low S/N it shows "
        "noise; structure that is seen there was not learned.",
    ),
    "training": (
        "Training",
        "Loss and scores by epoch. A validation loss that rises while that of training falls is "
        "overfitting; features whose spread or rank falls to the dashed line have collapsed.",
    ),
}
"""Heading and caption by the name of the plot's file, in the order of the page."""
