"""The columns of the fits of a group: the smooth model that fits each image best."""

from __future__ import annotations

from lenssim.archive.column import Column

FIT_COLUMNS: tuple[Column, ...] = (
    Column(
        "residual",
        "float32",
        "image less the smooth model that fits it best, over the noise of that model",
        "1",
        ("sample", "y", "x"),
    ),
    Column(
        "value",
        "float64",
        "parameters of the smooth model, named in the attribute names (NaN without a fit)",
        "various",
        ("sample", "parameter"),
    ),
    Column(
        "error",
        "float64",
        "standard errors of the parameters (NaN without a fit)",
        "various",
        ("sample", "parameter"),
        least=0.0,
    ),
    Column(
        "reduced_chi_square", "float32", "chi-square over pixels less parameters", "1", least=0.0
    ),
    Column(
        "converged",
        "int8",
        "whether the fit has reached a minimum of chi-square",
        "1",
        extra={"flag_values": [0, 1], "flag_meanings": "failed converged"},
        least=0.0,
        most=1.0,
    ),
    Column("iterations", "int32", "steps of the fit, over all of its starts", "1", least=0.0),
)
