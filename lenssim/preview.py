"""A picture of an archive: its classes side by side, with residuals against the smooth lens."""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lenssim.archive import Archive, open_archive
from lenssim.cutouts_preview import draw_cutouts
from lenssim.errors import ArchiveError
from lenssim.observation import pixel_noise
from lenssim.plotting import RESIDUAL_RANGE, asinh_stretch, set_flux_ticks
from lenssim.progress import Phase
from lenssim.simulation import compile_kernels, simulate, smooth_residual
from lenssim.spec import GROUP_CLASSES, SPLITS, UNLABELLED, Split, SubstructureClass
from lenssim.storage.atomic import replacing
from lenssim.storage.output_paths import check_output

EXAMPLES = 3
"""Images of each class."""

PICTURE_SUFFIXES = (".png", ".pdf", ".svg")
"""What `draw_preview` can write."""

_TITLE = "lenssim preview"
"""Title in the metadata of a picture, by which it is recognised."""

_CONSIDERED = 256
_TITLES = {
    "axion": "axion vortex",
    "cdm": "CDM subhalos",
    "no_sub": "no substructure",
}
_SORTED_BY = {
    "axion": "axion_mass",
    "cdm": "substructure_snr",
    "no_sub": "sample",
}
_INK = "#e8e6e3"
_PAPER = "#14141a"
_TITLE_CHARACTER = 0.09
"""Inches, the mean width of a character of the title."""


def draw_preview(
    archive: str | os.PathLike[str] | Archive,
    out: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    phase: Phase | None = None,
) -> Path:
    """Draws a few images of each class, with their residuals against the smooth lens.

    The residual is (image - smooth) / sigma, where smooth is the noise-free image of the same
    lens with all of its mass in the halo: noise alone for the class without substructure. Imported
    images have no lens that could be rendered, so more of them are drawn instead.

    Args:
        archive: folder, URL, or an open archive.
        out: picture to write, PNG, PDF or SVG by its suffix.
        overwrite: replace a picture that this function wrote before.
        phase: called with a short text before kernels are compiled.

    Returns:
        The path of the picture.

    Raises:
        UsageError: if `out` has another suffix, or exists and may not be replaced.
        ArchiveError: if the archive holds no complete group, or the picture cannot be written.
    """
    path = check_output(out, PICTURE_SUFFIXES, is_preview, overwrite)
    opened = archive if isinstance(archive, Archive) else open_archive(archive)
    groups = _groups_to_show(opened)
    if not groups:
        raise ArchiveError(f"{opened.location} holds no complete group yet: run generate first.")
    if opened.manifest.imported is None:
        compile_kernels(phase)
    figure = _draw(opened, groups)
    try:
        with replacing(path) as scratch:
            figure.savefig(
                scratch,
                format=path.suffix[1:].lower(),
                facecolor=_PAPER,
                metadata={"Title": _TITLE},
            )
    except OSError as error:
        raise ArchiveError(f"{path} cannot be written: {error.strerror}.") from None
    return path


def is_preview(path: Path) -> bool:
    """Whether a file is a picture that `draw_preview` wrote, by the title in its metadata."""
    content = path.read_bytes()
    return any(
        content.startswith(start) and title in content
        for start, title in (
            (b"\x89PNG", b"Title\0" + _TITLE.encode()),
            (b"%PDF", f"/Title ({_TITLE})".encode()),
            (b"<?xml", f"<dc:title>{_TITLE}</dc:title>".encode()),
        )
    )


def preview_png(archive: str | os.PathLike[str] | Archive) -> bytes:
    """The picture of `draw_preview` as the bytes of a PNG file, the same for the same archive.

    Raises:
        ArchiveError: if the archive holds no complete group.
    """
    opened = archive if isinstance(archive, Archive) else open_archive(archive)
    groups = _groups_to_show(opened)
    if not groups:
        raise ArchiveError(f"{opened.location} holds no complete group yet: run generate first.")
    picture = io.BytesIO()
    _draw(opened, groups).savefig(
        picture, format="png", facecolor=_PAPER, metadata={"Software": None}
    )
    return picture.getvalue()


def _groups_to_show(archive: Archive) -> list[tuple[Split, SubstructureClass]]:
    """The training group of each class, or else its test group."""
    held = {
        (group.split, group.substructure_class)
        for group in archive.manifest.groups
        if "zarr" in group.formats
    }
    shown: list[tuple[Split, SubstructureClass]] = []
    for name in GROUP_CLASSES:
        shown += [(split, name) for split in SPLITS if (split, name) in held][:1]
    return shown


def _examples(
    dataset: xr.Dataset, substructure_class: SubstructureClass, examples: int = EXAMPLES
) -> NDArray[np.int64]:
    """Sample indices that span the class: by axion mass, or by how much there is to see."""
    count = min(dataset.sizes["sample"], _CONSIDERED)
    key = dataset[_SORTED_BY[substructure_class]].isel(sample=slice(count)).values
    ranks = np.unique(np.linspace(0, count - 1, examples + 2).round().astype(int)[1:-1])
    return np.argsort(key, kind="stable")[ranks]


def _draw(archive: Archive, groups: list[tuple[Split, SubstructureClass]]) -> Figure:
    if any(name == UNLABELLED for _, name in groups):
        return draw_cutouts(archive)
    if archive.manifest.imported is not None:
        return _draw_imported(archive, groups)
    spec, seed = archive.spec, archive.manifest.seed
    noise = pixel_noise(spec.instrument)
    images: dict[tuple[int, int], NDArray[np.float64]] = {}
    residuals: dict[tuple[int, int], NDArray[np.float64]] = {}
    captions: dict[tuple[int, int], str] = {}
    for column, (split, name) in enumerate(groups):
        dataset = archive.dataset(split, name)
        for row, index in enumerate(_examples(dataset, name)):
            sample = archive.load(dataset.isel(sample=int(index)))
            drawn = simulate(spec, name, int(index), seed=seed, split=split)
            place = row, column
            images[place] = sample["image"].values.astype(np.float64)
            residuals[place] = smooth_residual(images[place], drawn.system, spec)
            captions[place] = _caption(sample, name)

    stacked = np.stack(list(images.values()))
    floor = float(np.sqrt(noise.background_variance)) * spec.observation.flux_factor
    stretch = asinh_stretch(stacked, floor)
    limits = Normalize(-RESIDUAL_RANGE, RESIDUAL_RANGE)
    half = 0.5 * spec.instrument.num_pix * spec.instrument.pixel_scale

    with mpl.rc_context({"text.color": _INK, "axes.labelcolor": _INK, "font.size": 10}):
        figure, axes = _panels(2 * len(groups), extra_height=1.35, bottom=0.17)
        extent = (-half, half, -half, half)
        for (row, column), image in images.items():
            left, right = axes[row, 2 * column], axes[row, 2 * column + 1]
            shown = left.imshow(image, cmap="inferno", norm=stretch, origin="lower", extent=extent)
            seen = right.imshow(
                residuals[row, column], cmap="RdBu_r", norm=limits, origin="lower", extent=extent
            )
            left.text(
                0.04, 0.95, captions[row, column], transform=left.transAxes, va="top", fontsize=8.5
            )
        _scale_bar(axes[0, 0], half)
        _add_headings(
            figure,
            axes,
            [name for _, name in groups],
            f"Model {spec.name}: image (left) and residual against the smooth lens (right)",
        )
        is_narrow = len(groups) == 1
        flux, unit = "surface flux, e$^-$/s per pixel", "(asinh stretch)"
        bars = (
            (shown, (0.06, 0.11, 0.4, 0.022), f"{flux}\n{unit}" if is_narrow else f"{flux} {unit}"),
            (seen, (0.54, 0.11, 0.4, 0.022), r"(image $-$ smooth lens) / $\sigma$"),
        )
        for mappable, box, label in bars:
            bar = figure.colorbar(
                mappable, cax=figure.add_axes(box), orientation="horizontal", extend="both"
            )
            bar.set_label(label, size=8 if is_narrow else None)
            if mappable is shown:
                set_flux_ticks(bar)
            bar.ax.tick_params(color=_INK, labelcolor=_INK)
            bar.outline.set_edgecolor(_INK)
    return figure


def _draw_imported(archive: Archive, groups: list[tuple[Split, SubstructureClass]]) -> Figure:
    """Twice as many images of each class, without residuals."""
    with mpl.rc_context({"text.color": _INK, "font.size": 10}):
        figure, axes = _panels(2 * len(groups), extra_height=0.75, bottom=0.03)
        for column, (split, name) in enumerate(groups):
            dataset = archive.dataset(split, name)
            for place, index in enumerate(_examples(dataset, name, 2 * EXAMPLES)):
                sample = archive.load(dataset.isel(sample=int(index)))
                axis = axes[place // 2, 2 * column + place % 2]
                image = sample["image"].values
                limits = np.quantile(image, [0.01, 0.999])
                axis.imshow(image, "inferno", vmin=limits[0], vmax=limits[1], origin="lower")
                axis.text(
                    0.04, 0.95, _caption(sample, name), transform=axis.transAxes, va="top",
                    fontsize=8.5,
                )  # fmt: skip
        _add_headings(
            figure,
            axes,
            [name for _, name in groups],
            f"{archive.manifest.name}, imported: each image in its own range, 1% to 99.9%",
        )
    return figure


def _panels(columns: int, *, extra_height: float, bottom: float) -> tuple[Figure, NDArray[Any]]:
    """A figure of `EXAMPLES` rows of images without axes, and room above and below them.

    Args:
        columns: images in a row.
        extra_height: inches beside those of the images.
        bottom: share of the height that is below the images.
    """
    figure = Figure(figsize=(2.05 * columns, 2.05 * EXAMPLES + extra_height), dpi=150)
    axes = figure.subplots(EXAMPLES, columns, squeeze=False)
    edge = 0.35 / columns
    figure.subplots_adjust(edge / 2, bottom, 1 - edge / 2, 0.885, wspace=0.03, hspace=0.03)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def _add_headings(
    figure: Figure, axes: NDArray[Any], classes: Sequence[SubstructureClass], title: str
) -> None:
    """Writes what the picture shows above it, and the name of each class above its two columns."""
    for column, name in enumerate(classes):
        left, right = (axes[0, place].get_position() for place in (2 * column, 2 * column + 1))
        figure.text((left.x0 + right.x1) / 2, 0.905, _TITLES[name], ha="center", fontsize=13)
    left = axes[0, 0].get_position().x0
    width = (1 - 2 * left) * figure.get_figwidth() / _TITLE_CHARACTER
    wrapped = textwrap.fill(title, int(width))
    figure.text(left, 0.965, wrapped, fontsize=11, alpha=0.8, va="center")


def _caption(sample: xr.Dataset, substructure_class: SubstructureClass) -> str:
    """What tells one image from another of its class."""
    if substructure_class == "no_sub":
        return ""
    snr = _snr(sample)
    if substructure_class == "cdm":
        subhalos = int(np.isfinite(sample["subhalo_mass"].values).sum())
        return f"{subhalos} subhalos\n{snr}" if subhalos else snr
    mass = float(sample["axion_mass"])
    if np.isnan(mass):  # of an imported image
        return snr
    exponent = int(np.floor(np.log10(mass)))
    return rf"$m = {mass / 10.0**exponent:.1f}\times10^{{{exponent}}}$ eV" + f"\n{snr}"


def _snr(sample: xr.Dataset) -> str:
    """S/N of the substructure of an image, and after a refit where that is known."""
    raw = float(sample["substructure_snr"])
    refit = float(sample.get("substructure_snr_refit", np.nan))
    if not np.isfinite(raw):
        return ""
    return f"S/N {raw:.0f}, refitted {refit:.1f}" if np.isfinite(refit) else f"S/N {raw:.0f}"


def _scale_bar(axis: Axes, half: float) -> None:
    """One arcsec, in the lower left corner."""
    start, height = -0.9 * half, -0.88 * half
    axis.plot([start, start + 1], [height, height], color=_INK, linewidth=2)
    axis.text(start + 0.5, height + 0.05 * half, '1"', ha="center", va="bottom", fontsize=9)
