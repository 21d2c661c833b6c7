"""Tables of the scores of a run, for its page and its card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lensmodels.reporting import style
from lensmodels.reporting.tables import (
    Table,
    TableCell,
    format_difference,
    format_interval,
    format_share,
    format_value,
    text_cells,
)

_SNR_HEADINGS = {"all": "macro AUC of all"}


def class_table(metrics: Mapping[str, Any]) -> Table:
    """Scores by class."""
    counts = np.array(metrics["confusion"])
    return Table(
        ["class", "images", "AUC", "95% interval", "recall", "precision"],
        [
            text_cells(
                [
                    style.CLASS_NAMES[name],
                    f"{counts[label].sum():,}",
                    format_value(metrics["auc"][name]),
                    format_interval(metrics["ci95"]["auc"][name]),
                    format_share(counts[label, label], counts[label].sum()),
                    format_share(counts[label, label], counts[:, label].sum()),
                ]
            )
            for label, name in enumerate(metrics["auc"])
        ],
    )


def snr_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """AUC of each class against no_sub, above rising S/N; no table where it is not known."""
    rows = metrics.get("auc_above_snr")
    if not rows:
        return []
    after = "after a refit of the lens and the source" if metrics["snr"] == "refit" else "as it is"
    most = {(row["above"], row["class"]): row["auc"] for row in metrics.get("auc_bound", ())}
    cells = {}
    for row in rows:
        key = row["above"], row["class"]
        note = f"{row['count']:,} images"
        if key in most:
            note += f", at most {format_value(most[key], 3)}"
        cells[key] = TableCell(
            format_value(row["auc"], 3), interval=format_interval(row["ci95"], 3), note=note
        )
    sentence = f"AUC against all images without substructure; S/N {after}."
    if most:
        sentence += " No classifier has more than what stands as at most: it is for one that knows "
        sentence += "the pattern of each image's substructure."
    long = metrics.get("auc_long_vortices")
    if long:
        sentence += (
            f" Vortices of axions below 10^{long['below']:g} eV: {format_value(long['auc'], 3)} "
            f"({format_interval(long['ci95'], 3)}; {long['count']:,} images)."
        )
    names = list(dict.fromkeys(row["class"] for row in rows))
    return [
        Table(
            ["above", *(_SNR_HEADINGS.get(name) or style.CLASS_NAMES[name] for name in names)],
            [
                [
                    TableCell(f"{above:g}"),
                    *(cells.get((above, name), TableCell("")) for name in names),
                ]
                for above in dict.fromkeys(row["above"] for row in rows)
            ],
            title="Above an S/N of the substructure",
            sentence=sentence,
        )
    ]


def mass_table(metrics: Mapping[str, Any]) -> Table:
    """Errors by mass."""
    return Table(
        [
            "log10(m / eV)",
            "images",
            "RMSE, dex",
            "95% interval",
            "mean |error|",
            "bias",
            "95% interval",
        ],
        [
            text_cells(
                [
                    format_interval([row["low"], row["high"]], 2),
                    f"{row['count']:,}",
                    format_value(row["rmse_dex"], 3),
                    format_interval(row["ci95"]["rmse_dex"], 3),
                    format_value(row["mae_dex"], 3),
                    format_difference(row["bias_dex"], 3),
                    format_interval(row["ci95"]["bias_dex"], 3),
                ]
            )
            for row in metrics["by_mass"]
        ],
    )
