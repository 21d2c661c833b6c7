"""The result of an audit on a terminal."""

from __future__ import annotations

from lenssim.archive.audit_record import AuditedFeature, AuditRecord


def print_audit(record: AuditRecord, title: str) -> None:
    """Prints a table of the features, and the classifier's AUC."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for heading in ("feature", "error", "tells best", "AUC", "+-", "p (Holm)"):
        is_number = heading in ("error", "AUC", "+-", "p (Holm)")
        table.add_column(heading, no_wrap=True, justify="right" if is_number else "left")
    for feature in record.features:
        table.add_row(*_row(feature))
    console = Console()
    console.print(table)
    for line in summary(record):
        console.print(line, highlight=False, soft_wrap=True)


def summary(record: AuditRecord) -> list[str]:
    """What an audit found, one sentence a line."""
    counts = ", ".join(f"{count:,} {name}" for name, count in record.images.items())
    lines = [
        f"gradient boosting on all of them: macro AUC {record.auc:.4f} +- "
        f"{record.standard_error:.4f}, {record.deviation:+.1f} standard errors from 0.5",
        f"images: {counts}",
    ]
    if record.ring_excess:
        largest = ", ".join(f"{value:.1e} {name}" for name, value in record.ring_excess.items())
        lines.append(f"largest relative difference of a ring radius: {largest}")
    if record.with_substructure is not None:
        lines.append(
            "with flux and peak as the substructure's own lensing makes them, which is signal and "
            f"no leak: macro AUC {record.with_substructure:.4f}"
        )
    if record.not_rendered:
        lines.append("imported images: flux and peak have the substructure's own signal in them")
    return lines


def failure(record: AuditRecord) -> str:
    """What fails, in words that follow the name of the archive."""
    leaks = [
        f"{leak.name} ({leak.tells}, AUC {leak.auc:.3f})"
        for leak in sorted(record.leaks, key=lambda leak: -abs(leak.auc - 0.5))
    ]
    what = f"; {', '.join(leaks)}" if leaks else ""
    return (
        "fails the leak audit: what must not tell the class does, with macro AUC "
        f"{record.auc:.3f} +- {record.standard_error:.3f}{what}."
    )


def _row(feature: AuditedFeature) -> tuple[str, ...]:
    error = feature.measurement_error
    by = "" if feature.by == "value" else ", by spread"
    return (
        feature.name,
        "" if error is None else f"{error:.1e}",
        feature.tells + by,
        f"{feature.auc:.4f}",
        f"{feature.standard_error:.4f}",
        f"{feature.p_value:.2g}",
    )
