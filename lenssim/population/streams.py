"""The random streams of images.

Every image has its own counter-based random stream (Philox 4x64, Salmon et al. 2011), keyed by
seed, model name, split and class and counted by the sample index. So image i is the same bits
whatever the number of workers, the chunk size, the order, or how many images are asked for.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lenssim.spec import Split

Purpose = Literal["population", "noise", "pair", "pair_noise"]
_PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


class GroupStreams:
    """The random streams of one group's images, all through one generator.

    Moving a generator to an image's stream costs a tenth of making one. So what `at` returns is
    good until the next call of it; for a generator of its own, see `random_stream`.
    """

    def __init__(self, seed: int, model: str, split: Split, substructure_class: str) -> None:
        self.split = split
        self._philox = np.random.Philox(key=_stream_key(seed, model, split, substructure_class))
        self._generator = np.random.Generator(self._philox)
        self._state: Any = self._philox.state

    def at(self, index: int, purpose: Purpose) -> np.random.Generator:
        """The generator, at the start of one image's stream for one purpose.

        Args:
            index: sample index in the group.
            purpose: "population" or "noise"; of the second image of a pair, "pair" or "pair_noise".
                No two overlap.
        """
        # the state of a new generator with this counter: numpy's buffer of four words is empty
        self._state["state"]["counter"][:] = (0, 0, _PURPOSES.index(purpose), index)
        self._philox.state = self._state
        return self._generator


def random_stream(
    seed: int, model: str, split: Split, substructure_class: str, index: int, purpose: Purpose
) -> np.random.Generator:
    """The random stream of one image, for one purpose, as a generator of its own.

    Args:
        seed: the archive's seed, a non-negative integer.
        model: name of the specification.
        split, substructure_class: the group that the image is in.
        index: sample index in its group.
        purpose: as `GroupStreams.at` takes it.
    """
    return GroupStreams(seed, model, split, substructure_class).at(index, purpose)


@lru_cache(maxsize=256)
def _stream_key(seed: int, model: str, split: str, substructure_class: str) -> NDArray[np.uint64]:
    """Philox key of a group: 128 bits of the hash of its names."""
    key = f"lenssim/1/{seed}/{model}/{split}/{substructure_class}"
    return np.frombuffer(hashlib.sha256(key.encode()).digest()[:16], dtype="<u8")
