"""What all settings share: a text below a field is its description, in --help and in the docs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Settings that do not change, without other keys than their own."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
