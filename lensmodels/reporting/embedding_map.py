"""Embeddings in two dimensions, to look at."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

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
        The map, or None where there are too few embeddings, or they are all the same.
    """
    if len(embeddings) < MIN_MAPPED or np.ptp(embeddings, axis=0).max() == 0:
        return None
    components = min(COMPONENTS, *embeddings.shape)
    reduced = PCA(components, random_state=seed).fit_transform(embeddings)
    if find_spec("umap"):
        from umap import UMAP

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of one thread, which is what makes it repeatable
            reducer = UMAP(
                n_neighbors=min(NEIGHBOURS, len(reduced) - 1), random_state=seed, n_jobs=1
            )
            return EmbeddingMap(np.asarray(reducer.fit_transform(reduced)), "UMAP")
    perplexity = min(30.0, (len(reduced) - 1) / 3)
    reducer = TSNE(perplexity=perplexity, init="pca", random_state=seed)
    return EmbeddingMap(reducer.fit_transform(reduced), "t-SNE")
