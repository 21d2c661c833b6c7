"""Which extension of a FITS file is the image, and which are its noise, its mask and its PSF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from lenssim.cutouts.fits_file import Companion, Extension, companion_of, letters, listed
from lenssim.cutouts.settings import NoiseKind
from lenssim.errors import ImportFileError, UsageError

_WHAT_FLUX_IS = ("SCI", "SCIENCE", "BGSUB", "IMAGE", "FLUX", "DATA")
"""Words of an image's name that those of its noise, mask and PSF do not have."""

_NOISE_KINDS: dict[str, NoiseKind] = {
    **dict.fromkeys(("VAR", "VARIANCE"), "variance"),
    **dict.fromkeys(("IVAR", "INVVAR", "IVM"), "inverse-variance"),
    **dict.fromkeys(("WHT", "WGT", "WT", "WEIGHT"), "weight"),
}
_NOISE_ORDER: tuple[NoiseKind, ...] = ("rms", "variance", "inverse-variance", "weight")
"""Which of several maps is taken: the one that needs least."""


def choose_image(
    name: str,
    extensions: Sequence[Extension],
    *,
    band: str | None = None,
    hdu: str | int | None = None,
    filters: Mapping[int, str] | None = None,
    num_pix: int | None = None,
) -> Extension:
    """The extension that is the image.

    Args:
        name: of the file.
        extensions: of the file that hold images.
        band: part of the name of the extension, or FILTER of its header.
        hdu: EXTNAME or number of the extension, or EXTNAME,EXTVER. With neither, the only one that
            can be meant: the one called SCI, or else the only one that is not called like a noise
            map, weights, flags or a PSF.
        filters: FILTER of the header of each extension, by its number.
        num_pix: side of a model's images, pixels, which tells one of several images.

    Raises:
        ImportFileError: if there is none, or several can be meant.
        UsageError: if `band` or `hdu` names none of them.
    """
    if not extensions:
        raise ImportFileError(f"{name} holds no image.")
    if hdu is not None:
        return named_extension(name, extensions, hdu)
    candidates = [extension for extension in extensions if extension.companion is None]
    if band is not None:
        return _of_band(name, candidates, band, filters or {})
    candidates = [extension for extension in candidates if extension.is_science] or candidates
    if not candidates:
        raise ImportFileError(
            f"{name} holds only {listed(extensions)}, whose names are not those of an image of "
            "the sky; if one of them is, choose it by --hdu NAME."
        )
    if len(candidates) > 1:
        fitting = [each for each in candidates if num_pix is not None and each.has_size(num_pix)]
        if len(fitting) == 1:
            return fitting[0]
        bands = band_names(candidates)
        choices = "--band NAME" if len(set(bands)) == len(bands) and all(bands) else "--hdu NUMBER"
        shown = ", ".join(bands) if "band" in choices else listed(candidates)
        raise ImportFileError(
            f"{name} holds {len(candidates)} images: {shown}; choose one by {choices}."
        )
    chosen = candidates[0]
    if not chosen.name and _is_map(name):
        raise ImportFileError(
            f"{name} is named like a noise map, weights, flags or a PSF; take it by "
            f"--hdu {chosen.number} if it is an image of the sky."
        )
    return chosen


def _of_band(
    name: str, candidates: Sequence[Extension], band: str, filters: Mapping[int, str]
) -> Extension:
    wanted = tuple(word for word in band.upper().replace("-", "_").split("_") if word)
    if not wanted:
        raise UsageError("--band is empty: name a filter, as in --band VIS.")
    matching = [each for each in candidates if _contains(each.words, wanted)]
    if not matching:
        named = {number: _words_of(text) for number, text in filters.items()}
        matching = [each for each in candidates if _contains(named.get(each.number, ()), wanted)]
    if len(matching) > 1:
        matching = [each for each in matching if each.is_science] or matching
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(
            f"{name} holds {len(matching)} images of band {band}: {listed(matching)}; choose one "
            "by --hdu NUMBER."
        )
    held = dict.fromkeys(filter(None, band_names(candidates)))
    held |= dict.fromkeys(text for text in filters.values() if text)
    has = f"it has {', '.join(held)}" if held else "it does not say which bands it has"
    raise UsageError(f"{name} has no band {band}: {has}.")


def band_names(extensions: Sequence[Extension]) -> list[str]:
    """Names of extensions without the words that say that they are images."""
    return [
        "_".join(word for word in extension.words if word not in _WHAT_FLUX_IS)
        for extension in extensions
    ]


def named_extension(name: str, extensions: Sequence[Extension], hdu: str | int) -> Extension:
    """The extension that `--hdu` names.

    Args:
        name: of the file, for messages.
        extensions: of the file that hold images.
        hdu: EXTNAME or number of the extension, or EXTNAME,EXTVER.

    Raises:
        UsageError: if it names none of them, or several.
    """
    wanted, _, version = str(hdu).strip().upper().partition(",")
    if wanted.isdigit() and not version:
        matching = [extension for extension in extensions if extension.number == int(wanted)]
    else:
        matching = [extension for extension in extensions if extension.name == wanted]
        if version:
            matching = [
                extension for extension in matching if str(extension.version) == version.strip()
            ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(
            f"{name} holds {len(matching)} images {wanted}: {listed(matching)}; choose one by its "
            "number."
        )
    images_first = sorted(extensions, key=lambda each: each.companion is not None)
    raise UsageError(f"{name} holds no image {hdu}; it holds {listed(images_first)}.")


def companion_extension(
    image: Extension, extensions: Sequence[Extension], kind: Companion
) -> Extension | None:
    """The noise map, mask or PSF that goes with an image, by its name; None if there is none.

    Args:
        image: chosen by `choose_image`.
        extensions: of the file that hold images.
        kind: of the companion.
    """
    is_only = sum(each.companion is None for each in extensions) == 1
    flux = tuple(word for word in image.words if word not in _WHAT_FLUX_IS)
    found = []
    for each in extensions:
        if each.companion != kind or (kind != "psf" and each.shape != image.shape):
            continue
        rest = tuple(word for word in each.words if companion_of(word) is None)
        is_version = each.version == image.version or is_only
        if rest == flux and (flux or (is_version and (is_only or image.is_science))):
            found.append(each)
    if kind == "noise":
        found.sort(key=lambda each: _NOISE_ORDER.index(noise_kind(each.name)))
    return found[0] if found else None


def noise_kind(name: str) -> NoiseKind:
    """What a noise map holds, by its name."""
    kinds = (_NOISE_KINDS.get(word.rstrip("S")) for word in letters(name))
    return next((kind for kind in kinds if kind), "rms")


def _contains(words: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether some words hold others, one after another."""
    size = len(wanted)
    starts = range(len(words) - size + 1)
    return any(tuple(words[start : start + size]) == tuple(wanted) for start in starts)


def _words_of(text: Any) -> tuple[str, ...]:
    return tuple(word for word in str(text).upper().replace("-", "_").split("_") if word.strip())


def _is_map(name: str) -> bool:
    """Whether a file's name ends like that of a noise map, weights, flags or a PSF."""
    file = PurePosixPath(name.partition("?")[0]).name.upper()
    parts = letters(file.partition(".FIT")[0])
    while len(parts) > 1 and parts[-1] in ("MAP", "IMAGE", "IMG"):
        parts.pop()
    return bool(parts) and companion_of(parts[-1]) is not None
