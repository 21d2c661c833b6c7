"""The engines by name."""

from __future__ import annotations

from lenssim.rendering.contract import ENGINES, Engine, EngineName


def engine(name: EngineName) -> Engine:
    """The engine of a name; lenstronomy is imported only when it is asked for."""
    if name == "fast":
        from lenssim.rendering.fast import pixel_fluxes

        return pixel_fluxes
    if name == "lenstronomy":
        from lenssim.rendering.reference import pixel_fluxes as reference_fluxes

        return reference_fluxes
    raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {name!r}")
