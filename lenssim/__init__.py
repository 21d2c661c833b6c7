"""lenssim: strong-lensing images of dark-matter substructure, simulated, archived, verifiable.

load_spec      a specification, by name or from a YAML file
generate       simulate a data set and archive it
open_archive   read an archive, from a folder or a URL
export         add WebDataset shards to an archive
verify         check an archive, and render some of it again
publish        upload an archive as an immutable version
fit            fit the smooth model to the images of an archive
fit_image      the same to one image
draw_preview   a picture of an archive
simulate       one image with everything it was made from
render         the noise-free image of one system, drawn or made by hand
"""

from __future__ import annotations

from lenssim.lazy_names import lazy_names

_HOMES = {
    "__version__": "lenssim.version",
    "Archive": "lenssim.archive",
    "open_archive": "lenssim.archive",
    "publish": "lenssim.archive.publish",
    "ArchiveError": "lenssim.errors",
    "LenssimError": "lenssim.errors",
    "SpecError": "lenssim.errors",
    "UsageError": "lenssim.errors",
    "export": "lenssim.build.export",
    "fit": "lenssim.build.fit",
    "fit_image": "lenssim.lens_fit.image_fit",
    "generate": "lenssim.build.generate",
    "LensSystem": "lenssim.population",
    "draw_system": "lenssim.simulation",
    "random_stream": "lenssim.population",
    "draw_preview": "lenssim.preview",
    "Simulation": "lenssim.simulation",
    "render": "lenssim.simulation",
    "simulate": "lenssim.simulation",
    "smooth_system": "lenssim.simulation",
    "CLASSES": "lenssim.spec",
    "SPLITS": "lenssim.spec",
    "Specification": "lenssim.spec",
    "load_spec": "lenssim.spec",
    "shipped_specs": "lenssim.spec",
    "Verification": "lenssim.reproduce",
    "verify": "lenssim.reproduce",
}


__getattr__ = lazy_names(__name__, _HOMES)
"""Imports a public name when it is first used: reading an archive needs no simulator."""


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
