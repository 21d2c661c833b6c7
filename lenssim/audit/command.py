"""The command `lenssim audit`."""

from __future__ import annotations

import click

from lenssim.command_line.command_group import Command
from lenssim.command_line.progress_bar import progress_bar
from lenssim.errors import ArchiveError


@click.command(cls=Command)
@click.argument("archive", metavar="DIR_OR_URL")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--images",
    default=10_000,
    show_default=True,
    type=click.IntRange(min=1),
    help="Images of each class to look at, at most.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Of the folds and the measurement errors.",
)
@click.option("--workers", type=int, help="Threads that render.  [default: all cores]")
@click.option("--no-record", is_flag=True, help="Leave audit.json and the card as they are.")
def audit(
    archive: str, as_json: bool, images: int, seed: int, workers: int | None, no_record: bool
) -> None:
    """Check that nothing but dark matter tells the classes of an archive apart.

    Gradient boosting is trained on what must not tell the class: ring radius, fluxes, noise, and
    the columns of the smooth lens and the source. Fails if its macro AUC is more than 3 standard
    errors from 0.5, or if one of them alone tells a class. The result stays in the archive's
    audit.json and in its card.
    """
    from lenssim.archive import open_archive
    from lenssim.audit import audit as audit_archive
    from lenssim.audit import check_counts, record_audit, why_not_recorded
    from lenssim.audit.table import failure, print_audit

    opened = open_archive(archive)
    not_recorded = "" if no_record else why_not_recorded(opened)
    total = sum(check_counts(opened, images).values())
    with progress_bar("auditing", total) as display:
        record = audit_archive(
            archive,
            images_per_class=images,
            seed=seed,
            workers=workers,
            progress=display.advance,
            phase=display.phase,
        )
    if as_json:
        click.echo(record.to_bytes().decode(), nl=False)
    else:
        print_audit(record, f"{archive}: what must not tell the class")
    if not_recorded is None:
        record_audit(archive, record)
    elif not_recorded:
        click.echo(f"The audit is not recorded: {not_recorded}.", err=True)
    if not record.passed:
        raise ArchiveError(f"{archive} {failure(record)}")
