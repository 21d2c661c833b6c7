"""The images of a file, checked against what a model takes."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmodels.data.contract import ImageContract
from lensmodels.errors import DataError
from lensmodels.image_files.fits_file import (
    Extension,
    choose_extension,
    image_extensions,
    opened_fits,
)
from lensmodels.image_files.fits_header import (
    HeaderFacts,
    brightness_problem,
    header_notes,
)
from lensmodels.image_files.geometry import geometry_problem
from lensmodels.image_files.inputs import Input, InputKind, classify_input, read_bytes


def read_array(name: str, content: bytes) -> NDArray[Any]:
    """The array of a .npy file, or the only one of a .npz file; nothing is unpickled.

    Args:
        name: of the file, for messages.
        content: of the file.

    Raises:
        DataError: if it holds anything else.
    """
    try:
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            if len(loaded.files) == 1:
                return np.asarray(loaded[loaded.files[0]])
            held = ", ".join(loaded.files) or "none"
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile):
        # numpy's own message advises to unpickle the file
        raise DataError(
            f"{name} is not an array of numbers in NumPy's format; write it with numpy.save, from "
            "an array whose dtype is not object."
        ) from None
    raise DataError(
        f"{name} holds {len(loaded.files)} arrays ({held}) where one is read; write the images "
        "alone with numpy.save."
    )


@dataclass(frozen=True)
class ImageFile:
    """The images of a file.

    Attributes:
        images: float32, shape (n, num_pix, num_pix), as stored.
        notes: what was assumed, for the user, each a clause.
    """

    images: NDArray[np.float32]
    notes: tuple[str, ...] = ()


def read_images(
    file: Input | str | os.PathLike[str],
    num_pix: int,
    contract: ImageContract | None = None,
    *,
    hdu: str | int | None = None,
) -> ImageFile:
    """Images of a .npy, .npz or FITS file, local or remote.

    Args:
        file: path or URL.
        num_pix: side of the images that the model takes, pixels.
        contract: of the run, which headers are held against; None if the run keeps none.
        hdu: of a FITS file, as in `choose_extension`.

    Returns:
        Images in e-/s per pixel, shape (n, y, x), with what the header says of them.

    Raises:
        DataError: naming the file, what is wrong with it, and what to do.
        UsageError: if the file's format is not read, or `hdu` names none of its images.
    """
    source = file if isinstance(file, Input) else classify_input(file)
    content = read_bytes(source)
    if source.kind is InputKind.FITS:
        images = _from_fits(source.name, content, num_pix, contract, hdu)
    else:
        images = ImageFile(_from_array(source.name, content, num_pix, contract))
    is_finite = np.isfinite(images.images)
    bad = np.flatnonzero(~is_finite.all(axis=(1, 2)))
    if len(bad):
        raise DataError(
            f"{source.name}: image {bad[0]} has {int((~is_finite[bad[0]]).sum())} pixels that "
            "are NaN or infinite; fill them in (with their neighbours' median, say) or leave that "
            "image out."
        )
    return images


def _from_array(
    name: str, content: bytes, num_pix: int, contract: ImageContract | None
) -> NDArray[np.float32]:
    array = read_array(name, content)
    if not _holds_images(array):
        raise DataError(
            f"{name} holds {array.dtype} of shape {array.shape}; the model takes real numbers of "
            f"shape ({num_pix}, {num_pix}) or (n, {num_pix}, {num_pix})."
        )
    problem = geometry_problem(
        array.shape, num_pix, pixel_scales=None, expected_pixel_scale=_pixel_scale(contract)
    )
    if problem is not None:
        raise DataError(f"{name}: {problem}.")
    return _as_stack(array)


def _from_fits(
    name: str,
    content: bytes,
    num_pix: int,
    contract: ImageContract | None,
    hdu: str | int | None,
) -> ImageFile:
    with opened_fits(name, content) as file:
        extensions = image_extensions(file)
        chosen = choose_extension(
            name, extensions, num_pix, hdu, expected_pixel_scale=_pixel_scale(contract)
        )
        place = f"{name}[{chosen.label}]" if len(file) > 1 else name
        facts = HeaderFacts.of(file[chosen.number].header, file[0].header)
        _check_extension(place, chosen, facts, num_pix, contract)
        pixels = file[chosen.number].data
        if not _holds_images(pixels):
            raise DataError(f"{place} holds {pixels.dtype} of shape {pixels.shape}, not an image.")
        images = _as_stack(pixels)
    return ImageFile(images, tuple(_fits_notes(chosen, extensions, facts, contract, hdu)))


def _check_extension(
    place: str,
    chosen: Extension,
    facts: HeaderFacts,
    num_pix: int,
    contract: ImageContract | None,
) -> None:
    """Says all that is wrong with an extension in one sentence, so that one mending is enough."""
    if len(chosen.shape) not in (2, 3):
        raise DataError(
            f"{place} has the shape {chosen.shape}; the model takes ({num_pix}, {num_pix}) or "
            f"(n, {num_pix}, {num_pix})."
        )
    geometry = geometry_problem(
        chosen.shape,
        num_pix,
        pixel_scales=facts.pixel_scales,
        expected_pixel_scale=_pixel_scale(contract),
    )
    brightness = None if contract is None else brightness_problem(facts, contract)
    problems = [problem for problem in (geometry, brightness) if problem is not None]
    if problems:
        raise DataError(f"{place}: {'; '.join(problems)}.")


def _fits_notes(
    chosen: Extension,
    extensions: Sequence[Extension],
    facts: HeaderFacts,
    contract: ImageContract | None,
    hdu: str | int | None,
) -> list[str]:
    notes = header_notes(facts, contract) if contract is not None else []
    if hdu is None and len(extensions) > 1:
        notes.insert(0, f"extension {chosen} is read, of {len(extensions)} that hold images")
    return notes


def _holds_images(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "iuf" and array.ndim in (2, 3) and array.size > 0


def _as_stack(array: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 cannot hold is found to be infinite
        return np.asarray(array, dtype=np.float32).reshape(-1, *array.shape[-2:])


def _pixel_scale(contract: ImageContract | None) -> float | None:
    return None if contract is None else contract.pixel_scale
