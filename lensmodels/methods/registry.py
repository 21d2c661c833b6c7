"""Methods of pretraining by name."""

from __future__ import annotations

from importlib import import_module

from lensmodels.methods.base import Pretraining
from lensmodels.methods.settings import ENTRIES


def _load(place: str) -> type[Pretraining]:
    module, name = place.split(":")
    return getattr(import_module(f"lensmodels.methods.{module}"), name)


PRETRAINING: dict[str, type[Pretraining]] = {
    name: _load(entry.place) for name, entry in ENTRIES.items()
}
"""Methods of pretraining by name, as `settings.ENTRIES` registers them."""
