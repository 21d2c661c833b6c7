"""An endless source of simulated images, made while they are used.

    from lenssim.live import live_source

    with live_source("B", batch_size=256, workers=4) as source:
        for batch in source:
            batch.images, batch.columns["label"]

source    the source: starts processes, takes their batches in order, stops them
worker    one process: makes every n-th batch and sends it
batches   which images a batch is of, and making it
pairs     the second image of a pair
"""

from __future__ import annotations

from lenssim.lazy_names import lazy_names

_HOMES = {
    "LiveBatch": "lenssim.live.batches",
    "LiveError": "lenssim.live.source",
    "LiveSource": "lenssim.live.source",
    "live_source": "lenssim.live.source",
}

__getattr__ = lazy_names(__name__, _HOMES)
