"""lenssim: strong-lensing images of dark-matter substructure, simulated, archived, verifiable.

    load_spec      a specification, by name or from a YAML file
    generate       simulate a data set and archive it
    open_archive   read an archive, from a folder or a URL
    simulate       one image with everything it was made from
    render         the noise-free image of one system, drawn or made by hand
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lenssim.version import VERSION as __version__

if TYPE_CHECKING:
    from lenssim.archive import Archive, open_archive
    from lenssim.errors import ArchiveError, LenssimError, SpecError, UsageError
    from lenssim.pipeline import generate
    from lenssim.population import LensSystem, draw_system, random_stream
    from lenssim.preview import preview
    from lenssim.simulation import Simulation, render, simulate, smooth_system
    from lenssim.spec import CLASSES, SPLITS, Specification, load_spec, shipped_specs

_HOMES = {
    "lenssim.archive": ("Archive", "open_archive"),
    "lenssim.errors": ("ArchiveError", "LenssimError", "SpecError", "UsageError"),
    "lenssim.pipeline": ("generate",),
    "lenssim.population": ("LensSystem", "draw_system", "random_stream"),
    "lenssim.preview": ("preview",),
    "lenssim.simulation": ("Simulation", "render", "simulate", "smooth_system"),
    "lenssim.spec": ("CLASSES", "SPLITS", "Specification", "load_spec", "shipped_specs"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that reading needs no simulator."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'lenssim' has no attribute '{name}'")
    return getattr(import_module(_HOME_OF[name]), name)
