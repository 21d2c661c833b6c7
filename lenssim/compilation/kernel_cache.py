"""Where compiled kernels are kept between processes.

numba keeps each kernel in the first folder that it can write: NUMBA_CACHE_DIR, the package's own
`__pycache__`, or the user's cache folder. It compiles a kernel anew when the kernel's own file has
changed, but not when a file has that the kernel takes functions from. Here the key holds a hash of
all kernel sources, so that an edited formula never goes on giving the old numbers.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache

from lenssim.errors import LenssimWarning

COMPILATION_TIME = "about two minutes"
"""Of all kernels by one process."""

_NO_CACHE = (
    "Compiled kernels cannot be kept, so every process compiles them again, for "
    f"{COMPILATION_TIME}: set NUMBA_CACHE_DIR to a folder that can be written."
)

_DECORATORS = b"compilation import"
"""How a module that has the decorators `kernel` and `inlined` imports them."""

_warning_lock = threading.Lock()
_has_warned = False


def kernel_sources() -> list[Path]:
    """Modules with kernels or formulas for them, and all others in the same sub-packages."""
    package = Path(__file__).parents[1]
    decorated = [file for file in package.rglob("*.py") if _DECORATORS in file.read_bytes()]
    folders = {file.parent for file in decorated} - {package}
    beside = [file for folder in folders for file in folder.glob("*.py")]
    return sorted({*decorated, *beside})


@cache
def kernel_sources_hash() -> str:
    """SHA-256 over the names and contents of all kernel sources."""
    sha256 = hashlib.sha256()
    for source in kernel_sources():
        sha256.update(f"{source.name}\n".encode())
        sha256.update(hashlib.sha256(source.read_bytes()).digest())
    return sha256.hexdigest()


def kernel_cache(function: Callable[..., Any]) -> KernelCache | MemoryCache:
    """The cache of a kernel: on disk where numba finds a folder that it can write, or else none."""
    try:
        return KernelCache(function)
    except (RuntimeError, OSError):  # numba: "no locator available"
        return MemoryCache()


class KernelCache(FunctionCache):
    """numba's cache of one function, with a key that holds a hash of all kernel sources.

    A folder that fails later, for example because the disk is full, costs a warning, no image.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=(self._impl.locator.get_source_stamp(), kernel_sources_hash()),
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function of a signature, or None if the cache does not hold it.

        A file that cannot be read is a miss, whatever the error: a cached type that has been
        renamed since raises AttributeError, a damaged file anything that pickle raises.
        """
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keeps a compiled function.

        numba now and then holds no object code of a function that it has just compiled into
        another (RuntimeError); that one is compiled again the next time.
        """
        try:
            super().save_overload(sig, data)
        except OSError:
            _warn_once()
        except RuntimeError as error:
            if "no compiled object" not in str(error):
                raise

    def holds_machine_code(self, processor: Any) -> bool:
        """Whether the cache holds the function as compiled for a processor.

        Args:
            processor: `magic_tuple()` of numba's code generator.
        """
        try:
            entries = self._cache_file._load_index()
        except Exception:
            return False
        return any(key[1] == processor for key in entries)


class MemoryCache(NullCache):
    """A cache that keeps nothing, and says so once, when a kernel has been compiled."""

    def save_overload(self, sig: Any, cres: Any) -> None:
        """Keeps nothing."""
        _warn_once()

    def holds_machine_code(self, processor: Any) -> bool:
        """False."""
        return False


def _warn_once() -> None:
    """Warns that kernels are compiled in memory, once a process."""
    global _has_warned  # noqa: PLW0603
    with _warning_lock:
        if _has_warned:
            return
        _has_warned = True
    warnings.warn(_NO_CACHE, LenssimWarning, stacklevel=2)
