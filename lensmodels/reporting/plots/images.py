"""Plots of single images: the worst mistakes, and the map of embeddings."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.colors import AsinhNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from lensmodels.data import CLASSES
from lensmodels.evaluation.summary import classes_of, labels_of, true_log_mass
from lensmodels.reporting import style
from lensmodels.reporting.plots.axes import LOG_MASS, FloatArray

COMPONENTS = 50
"""Principal components that are kept first, as van der Maaten & Hinton 2008 do."""

NEIGHBOURS = 15

MIN_MAPPED = 10
"""Images below which there is no map to draw."""


class EmbeddingMap(NamedTuple):
    """Positions on the map, (n, 2), and what made it."""

    positions: NDArray[np.floating]
    method: Literal["UMAP", "t-SNE"]


def map_embeddings(embeddings: NDArray[np.floating], *, seed: int = 0) -> EmbeddingMap | None:
    """Places embeddings in the plane, neighbours near each other.

    UMAP (McInnes et al. 2018) where umap-learn is installed, or else t-SNE.

    Args:
        embeddings: (n, features).
        seed: of the map.

    Returns:
        The map, or None if there are too few embeddings, or they are all the same.
    """
    if len(embeddings) < MIN_MAPPED or np.ptp(embeddings, axis=0).max() == 0:
        return None
    components = min(COMPONENTS, *embeddings.shape)
    reduced = PCA(components, random_state=seed).fit_transform(embeddings)
    if find_spec("umap"):
        from umap import UMAP

        neighbours = min(NEIGHBOURS, len(reduced) - 1)
        # exact ones by a tree: UMAP's own for few points call Python for every pair
        distances, indices = (
            NearestNeighbors(n_neighbors=neighbours).fit(reduced).kneighbors(reduced)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of one thread, which is what makes it repeatable
            reducer = UMAP(
                n_neighbors=neighbours,
                random_state=seed,
                n_jobs=1,
                precomputed_knn=(indices, distances.astype(np.float32)),
                force_approximation_algorithm=True,  # or neighbours of few points are ignored
            )
            return EmbeddingMap(np.asarray(reducer.fit_transform(reduced)), "UMAP")
    perplexity = min(30.0, (len(reduced) - 1) / 3)
    reducer = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    return EmbeddingMap(reducer.fit_transform(reduced), "t-SNE")


_MIN_RESIDUAL_RANGE = 4.0
"""Least range of the residuals that is shown, in standard deviations of the sky noise."""

_RESIDUAL_QUANTILE = 0.98
"""Share of the pixels of all residuals within the range, if that is more."""


def draw_embedding(mapped: EmbeddingMap, table: pd.DataFrame) -> Figure:
    """The embedding map, by class and by axion mass.

    Args:
        mapped: positions of the images.
        table: predictions of the same images, in the same order.
    """
    positions, labels = mapped.positions, labels_of(table)
    masses = true_log_mass(table)
    has_mass = np.isfinite(masses)
    show_classes = len(np.unique(labels)) > 1 or not has_mass.any()
    panels = show_classes + bool(has_mass.any())
    figure = style.new_figure(4.6 * panels, 4.3)
    axes = iter(figure.subplots(1, panels, squeeze=False)[0])
    size = float(np.clip(9000 / len(table), 3, 20))
    if show_classes:
        left = next(axes)
        for label, name in enumerate(CLASSES):
            chosen = labels == label
            if chosen.any():
                left.scatter(
                    *positions[chosen].T,
                    s=size,
                    color=style.CLASS_COLOURS[name],
                    alpha=0.6,
                    linewidths=0,
                    label=style.CLASS_NAMES[name],
                )
        left.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, markerscale=2)
        left.set_title(f"{mapped.method}, by class")
        style.without_grid(left)
    if has_mass.any():
        right = next(axes)
        right.scatter(*positions[~has_mass].T, s=size, color="#dfe1e5", linewidths=0)
        coloured = right.scatter(
            *positions[has_mass].T, s=size, c=masses[has_mass], cmap=style.SEQUENTIAL, linewidths=0
        )
        bar = figure.colorbar(coloured, ax=right, pad=0.02, aspect=30)
        bar.outline.set_visible(False)
        bar.set_label(f"true {LOG_MASS}")
        right.set_title(f"{mapped.method}, by axion mass")
        style.without_grid(right)
    return figure


def draw_mistakes(
    images: FloatArray, table: pd.DataFrame, residuals: FloatArray | None = None
) -> Figure:
    """The worst mistakes, with their true and predicted values.

    Args:
        images: e-/s, (k, height, width).
        table: their predictions, in the same order.
        residuals: images minus their smooth lens, e-/s, as the images; drawn below them.
    """
    columns = min(4, len(images))
    rows = -(-len(images) // columns)
    heights = [1.0] if residuals is None else [1.0, 1.0]
    figure = style.new_figure(2.3 * columns, (0.5 + 2.35 * len(heights)) * rows)
    grid = figure.subplots(rows * len(heights), columns, squeeze=False)
    noise = _sky_noise(images)
    reach = _MIN_RESIDUAL_RANGE * noise or 1.0
    if residuals is not None:
        reach = max(reach, float(np.quantile(np.abs(residuals), _RESIDUAL_QUANTILE)))
    for axes in grid.ravel():
        axes.set_axis_off()
    for number, (_, row) in enumerate(table.iterrows()):
        line, column = divmod(number, columns)
        axes = grid[line * len(heights), column]
        axes.imshow(images[number], cmap=style.SKY, norm=_stretch(images, noise), origin="lower")
        axes.set_title(_caption(row), fontsize=8, pad=4)
        if residuals is not None:
            grid[line * 2 + 1, column].imshow(
                residuals[number], cmap=style.DIVERGING, vmin=-reach, vmax=reach, origin="lower"
            )
    return figure


def _sky_noise(images: FloatArray) -> float:
    """Standard deviation of the sky noise, e-/s, from the upper and lower edge."""
    edge = np.concatenate([images[:, :4].ravel(), images[:, -4:].ravel()])
    return float(1.4826 * np.median(np.abs(edge - np.median(edge))))


def _stretch(images: FloatArray, noise: float) -> Normalize:
    """An asinh stretch: noise in the dark third, arcs not burnt out."""
    brightest = float(np.quantile(images, 0.9995))
    if not noise > 0:
        return Normalize(float(images.min()), max(brightest, float(images.min()) + 1e-12))
    return AsinhNorm(linear_width=8 * noise, vmin=-3 * noise, vmax=max(brightest, 3 * noise))


def _caption(row: pd.Series) -> str:
    """What the image is, and what was predicted."""
    snr = row["substructure_snr"]
    shown_snr = f", S/N {snr:.0f}" if np.isfinite(snr) and row.get("class") != "no_sub" else ""
    if "log10_mass" in row:
        true = float(np.log10(row["axion_mass"]))
        sigma = rf" $\pm$ {row['log10_mass_sigma']:.2f}" if "log10_mass_sigma" in row else ""
        return f"true {true:.2f}{shown_snr}\npredicted {row['log10_mass']:.2f}{sigma}"
    classes = classes_of(row)
    probabilities = row[[f"p_{name}" for name in classes]].to_numpy(np.float64)
    predicted = style.CLASS_NAMES[classes[int(probabilities.argmax())]]
    return (
        f"true: {style.CLASS_NAMES[row['class']]}{shown_snr}\n"
        f"predicted: {predicted} ({probabilities.max():.2f})"
    )
