"""The commands, each a thin layer over a function of the package."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from lenssim.archive.schema import FORMATS
from lenssim.audit.command import audit
from lenssim.build.fit_command import fit
from lenssim.command_line.command_group import CommandGroup
from lenssim.command_line.interruption import handle_signals, resumable
from lenssim.command_line.progress_bar import progress_bar
from lenssim.cutouts.options import image_options, settings_from_options
from lenssim.errors import ArchiveError
from lenssim.spec import CLASSES, GROUP_CLASSES, label_of, load_spec, shipped_specs
from lenssim.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from lenssim.archive import Archive


@click.group("lenssim", cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="lenssim")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Simulated strong-lensing images of dark-matter substructure."""
    handle_signals()


@main.command()
@click.option(
    "--model",
    default="B",
    show_default=True,
    metavar="NAME|FILE.yaml",
    help=f"Specification: {', '.join(shipped_specs())}, or a YAML file.",
)
@click.option(
    "--class",
    "classes",
    multiple=True,
    type=click.Choice([*CLASSES, "all"]),
    default=["all"],
    show_default=True,
    help="Substructure class; repeat for several.",
)
@click.option("--train", default=30_000, show_default=True, help="Training images of each class.")
@click.option("--test", default=5_000, show_default=True, help="Test images of each class.")
@click.option("--out", metavar="DIR_OR_URL", help="Archive to write.  [default: archives/MODEL]")
@click.option("--seed", default=0, show_default=True, help="Seed of the random streams.")
@click.option("--workers", type=int, help="Cores to use.  [default: all]")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="dask.distributed cluster to use.")
@click.option(
    "--format",
    "storage",
    type=click.Choice([*FORMATS, "both"]),
    default="zarr",
    show_default=True,
    help="What the images are stored as.",
)
@click.option(
    "--engine",
    type=click.Choice(["fast", "lenstronomy"]),
    default="fast",
    show_default=True,
    help="What renders the images.",
)
@click.option(
    "--refit-snr",
    type=click.Choice(["all", "test", "none"]),
    help="Images whose S/N after a refit of the lens is computed.  [default: as specified]",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key; repeatable."
)
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
def generate(
    model: str,
    classes: tuple[str, ...],
    train: int,
    test: int,
    out: str | None,
    seed: int,
    workers: int | None,
    scheduler: str | None,
    storage: Any,
    engine: Any,
    refit_snr: str | None,
    overrides: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Simulate a data set and archive it.

    A second run into the same archive adds the classes that are missing and continues what was
    cut short.
    """
    if refit_snr is not None:
        overrides = (*overrides, f"observation.refit_snr={refit_snr}")
    spec = load_spec(model, overrides)
    from lenssim.build.generate import generate as generate_archive

    with resumable():
        archive = generate_archive(
            spec,
            CLASSES if "all" in classes else classes,  # type: ignore[arg-type]
            train=train,
            test=test,
            out=out,
            seed=seed,
            workers=workers,
            scheduler=scheduler,
            formats=FORMATS if storage == "both" else (storage,),
            engine=engine,
            overwrite=overwrite,
            progress=True,
            note=click.echo,
        )
    click.echo(f"{archive.location}: {_contents(archive)}")


@main.command()
@click.argument("archive", metavar="DIR_OR_URL")
@click.option("--to", type=click.Choice(["webdataset"]), required=True, help="Format to add.")
@click.option("--workers", type=int, help="Cores to use.  [default: all]")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="dask.distributed cluster to use.")
def export(archive: str, to: str, workers: int | None, scheduler: str | None) -> None:
    """Write WebDataset shards of an archive, beside its Zarr groups."""
    from lenssim.archive import open_archive
    from lenssim.build.export import export as export_archive
    from lenssim.build.export import layouts_to_export

    if not layouts_to_export(open_archive(archive)):
        click.echo(f"{archive} has its {to} shards already.")
        return
    with resumable():
        exported = export_archive(archive, workers=workers, scheduler=scheduler, progress=True)
    click.echo(f"{archive}: {_contents(exported)}")


@main.command()
@click.argument("archive", metavar="DIR_OR_URL")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(archive: str, as_json: bool) -> None:
    """Show what an archive holds."""
    from lenssim.archive import open_archive
    from lenssim.archive.content import SNR_PERCENTILES, snr_percentiles

    opened = open_archive(archive)
    manifest = opened.manifest
    size = manifest.size
    refit = {
        group.name: found
        for group in manifest.groups
        if (found := snr_percentiles(opened, group, "substructure_snr_refit")) is not None
    }
    if as_json:
        values = manifest.model_dump(mode="json", by_alias=True, exclude={"files"})
        if refit:
            names = [f"{share}%" for share in SNR_PERCENTILES]
            values["substructure_snr_refit"] = {
                name: dict(zip(names, map(float, percentiles), strict=True))
                for name, percentiles in refit.items()
            }
        click.echo(json.dumps({**values, "files": len(manifest.files), "bytes": size}, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    model, source = manifest.model, manifest.imported
    kind = f"model {model.name} {model.version}" if source is None else f"{model.name}, imported"
    table = Table(title=f"{archive}: {kind}")
    for heading in ("split", "class", "label"):
        table.add_column(heading, overflow="fold")
    table.add_column("images", justify="right", overflow="fold")
    if refit:
        shares = ", ".join(f"{share}" for share in SNR_PERCENTILES)
        table.add_column(f"S/N after a refit: {shares}%", justify="right", overflow="fold")
    for group in manifest.groups:
        label = str(label_of(group.substructure_class))
        snr = (
            ", ".join(f"{value:.1f}" for value in refit[group.name]) if group.name in refit else ""
        )
        cells = (group.split, group.substructure_class, label, f"{group.count:,}")
        table.add_row(*cells, *([snr] if refit else []))
    console = Console()
    console.print(table)
    console.print(
        f"seed {manifest.seed}, engine {manifest.engine}, {size / 1e6:,.1f} MB", highlight=False
    )
    console.print(f"made by lenssim {manifest.generator_version}", highlight=False)
    if source is None:
        console.print(f"spec sha256 {manifest.spec_sha256}", highlight=False, soft_wrap=True)
    else:
        console.print(
            f"imported from {source.source_files:,} files, no specification; "
            f"licence: {source.licence}",
            highlight=False,
            soft_wrap=True,
        )
        console.print(f"listing sha256 {source.listing_sha256}", highlight=False, soft_wrap=True)


@main.command()
@click.argument("archive", metavar="DIR_OR_URL")
@click.option(
    "--deep", default=0, metavar="N", help="Render N random images of each group again, too."
)
@click.option("--seed", type=int, help="Seed of that draw.  [default: another one each time]")
@click.option("--workers", type=int, help="Files read at a time.  [default: all cores]")
def verify(archive: str, deep: int, seed: int | None, workers: int | None) -> None:
    """Check every file of an archive, its structure, its columns and, with --deep, its images."""
    from lenssim.archive import open_archive

    open_archive(archive)  # its errors come before the second that importing the simulator takes
    from lenssim.reproduce import verify as verify_archive

    result = verify_archive(archive, deep=deep, seed=seed, workers=workers, progress=True)
    if result.problems:
        for problem in result.problems:
            click.echo(f"{problem}", err=True)
        raise ArchiveError(f"{archive} is not what its manifest says: see above.")
    click.echo(f"{result.files} files, {result.size / 1e6:,.1f} MB: all as the manifest says.")
    if deep:
        how = "bit for bit" if result.is_same_platform else "within the tolerance"
        click.echo(f"{result.images} images rendered again: the same {how}.")


main.add_command(audit)
main.add_command(fit)


@main.command()
@click.argument("archive", metavar="DIR")
@click.argument("url")
@click.option("--version", metavar="X.Y.Z", help="[default: that of the specification]")
def publish(archive: str, url: str, version: str | None) -> None:
    """Upload an archive as a version of a data set: to a folder, s3://... or hf://...

    A version is there as URL/X.Y.Z when it is complete, and never changes after.
    """
    from lenssim.archive import open_archive

    open_archive(archive)  # its errors come before the import of what publishing needs
    from lenssim.archive.publish import publish as publish_archive

    with resumable():
        published = publish_archive(archive, url, version=version, progress=True)
    click.echo(f"{published}: {_contents(open_archive(archive))}")


@main.command()
@click.argument("archive", metavar="DIR_OR_URL")
@click.option("--out", required=True, metavar="FILE.png", help="Picture to write.")
@click.option("--overwrite", is_flag=True, help="Replace a picture that preview wrote before.")
def preview(archive: str, out: str, overwrite: bool) -> None:
    """Draw a few images of each class, and their residuals against the smooth lens."""
    from lenssim.archive import open_archive

    opened = open_archive(archive)
    from lenssim.preview import draw_preview

    with progress_bar("drawing the picture", 0) as display:
        draw_preview(opened, out, overwrite=overwrite, phase=display.phase)
    click.echo(f"{out}: {archive} as a picture")


@main.command()
@click.argument("name", required=False)
def specs(name: str | None) -> None:
    """List the specifications that come with lenssim, or print one as YAML."""
    if name is None:
        for shipped in shipped_specs():
            click.echo(f"{shipped:12s} {load_spec(shipped).description.strip()}")
        return
    click.echo(load_spec(name).to_yaml(), nl=False)


@main.command("import-deeplense")
@click.argument("folder", metavar="FOLDER")
@click.option("--out", required=True, metavar="DIR_OR_URL", help="Archive to write.")
@click.option(
    "--split", type=float, help="Share of each class that is kept for testing.  [default: 0.1]"
)
@click.option("--train", type=int, help="Training images of each class, instead of --split.")
@click.option("--test", type=int, help="Test images of each class, instead of --split.")
@click.option(
    "--class-folder",
    "class_folders",
    multiple=True,
    metavar="FOLDER=CLASS",
    help="Class of a folder with a name of its own, as in no=no_sub; repeatable.",
)
@click.option("--seed", default=0, show_default=True, help="Chooses the test images.")
@click.option("--pixel-scale", type=float, metavar="ARCSEC", help="Of a pixel, where known.")
@click.option("--name", help="Name of the data set.  [default: that of the folder]")
@click.option("--licence", help="Licence of the images.  [default: not stated]")
@click.option("--workers", type=int, help="Cores to use.  [default: all]")
def import_deeplense(
    folder: str,
    out: str,
    split: float | None,
    train: int | None,
    test: int | None,
    class_folders: tuple[str, ...],
    licence: str | None,
    **options: Any,
) -> None:
    """Convert a DeepLense-style folder: axion/, cdm/ and no_sub/, or vort/, sphere/ and no/.

    Each holds .npy files of one image. The folders may be in train/, and test/ or val/: the images
    then stay in these splits. Images keep their pixels; what the files do not tell, such as an
    axion mass, is NaN. Nothing in them is executed.
    """
    from lenssim.build.importers import deeplense
    from lenssim.build.importers.folder import find_source, parse_class_folder

    source = find_source(folder, dict(map(parse_class_folder, class_folders)))
    if source.others:
        more = f" and {len(source.others) - 8} more" if len(source.others) > 8 else ""
        click.echo(f"Left out: {', '.join(source.others[:8])}{more}.", err=True)
    work = partial(
        deeplense.import_deeplense, source, out, split=split, train=train, test=test, **options
    )
    _run_import(work, licence)


@main.command("import-cutouts")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--out", required=True, metavar="DIR_OR_URL", help="Archive to write.")
@click.option(
    "--model",
    default="B",
    show_default=True,
    metavar="NAME|FILE.yaml",
    help="Specification whose image size, pixel scale and zero point the images get.",
)
@image_options
@click.option("--positions", metavar="TABLE", help="ra,dec or x,y, if wanted file, of cutouts.")
@click.option("--name", help="Name of the data set.  [default: that of the first input]")
@click.option("--licence", help="Licence of the images.  [default: not stated]")
@click.option("--workers", type=int, help="Cores to use.  [default: all]")
def import_cutouts(
    inputs: tuple[str, ...], out: str, model: str, licence: str | None, **options: Any
) -> None:
    """Convert telescope images into an archive without labels.

    INPUT is a FITS or .npy file, a folder of them, or a .csv table with a column file and, if
    wanted, ra and dec. Every image becomes e-/s at the zero point of --model, north up and east
    left, at its pixel scale. What a file does not say is asked for; images that cannot be taken
    are listed in refused.csv.
    """
    from lenssim.build.importers import cutouts

    settings = settings_from_options(options)
    work = partial(
        cutouts.import_cutouts,
        inputs,
        out,
        settings=settings,
        instrument=model,
        **options,
    )
    _run_import(work, licence)


def _run_import(work: Callable[..., Archive], licence: str | None) -> None:
    """Runs an import with a bar, then prints its notes and what the archive holds."""
    notes: list[str] = []
    stated = {} if licence is None else {"licence": licence}
    with resumable():
        archive = work(progress=True, note=notes.append, **stated)
    for note in notes:
        click.echo(note, err=True)
    click.echo(f"{archive.location}: {_contents(archive)}")


def _contents(archive: Archive) -> str:
    """One-line summary of an archive."""
    groups = archive.manifest.groups
    images = sum(group.count for group in groups)
    classes = [name for name in GROUP_CLASSES if any(g.substructure_class == name for g in groups)]
    return f"{images:,} images ({', '.join(classes)}), {archive.manifest.size / 1e6:,.1f} MB"
