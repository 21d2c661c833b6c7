"""What every part of a specification has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Frozen(BaseModel):
    """Immutable, and without keys that it does not know."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class AddedKey:
    """Marks a key that specifications of version 1.0.0 did not have.

    Its default means what they did. It is left out of the canonical form where it has that value,
    so that the hashes of these specifications stay what they were.
    """


ADDED = AddedKey()


class Section(Frozen):
    """A part of a specification."""

    @model_serializer(mode="wrap")
    def _canonical(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = serialise(self)
        for name, field in type(self).model_fields.items():
            if ADDED in field.metadata and getattr(self, name) == field.default:
                values.pop(name, None)
        return values
