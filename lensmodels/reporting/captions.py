"""The figures of a run: what each is called, and how to read it."""

from __future__ import annotations

FIGURES: dict[str, tuple[str, str]] = {
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
    "roc": (
        "ROC curves",
        "Share of a class that is found, against the share of all other images taken for it by "
        "mistake. The axis of the mistakes is logarithmic: on the left is what matters for a "
        "search in which most lenses are of another class.",
    ),
    "confusion": (
        "Confusion",
        "Rows are the truth, columns what the model takes for most probable: share of the row, and "
        "number of images.",
    ),
    "auc_by_snr": (
        "By signal to noise",
        "AUC of images with substructure against those without, in bins of about equal count in "
        "the S/N of the substructure. A detector that is limited by the noise rises with S/N; one "
        "that does not has something else to learn.",
    ),
    "calibration": (
        "Calibration",
        "Whether the model's own statements of confidence hold: on the diagonal, as often as "
        "stated; below it, less often.",
    ),
    "embedding": (
        "Embedding",
        "The encoder's features of test images, laid out so that neighbours stay neighbours. "
        "Distances between clusters and axes mean nothing. Classes that are apart can be told by a "
        "linear head; a gradient in mass means that the mass is encoded.",
    ),
    "mistakes": (
        "Worst mistakes",
        "The test images that the model was most wrong about, in an asinh stretch, with the S/N of "
        "their substructure. Low S/N is noise; high S/N is something that was not learned.",
    ),
    "training": (
        "Training",
        "Loss and scores by epoch. A validation loss that rises while that of training falls is "
        "overfitting; a spread of the embedding that goes to zero is collapse.",
    ),
}
"""Figures of a run in the order of the page, by the name of their file: heading and caption."""

HEADINGS = {name: heading for name, (heading, _) in FIGURES.items()}
"""Headings by the name of the figure."""
