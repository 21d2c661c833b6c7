"""Where two nested mappings differ, and one put over another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def differences(first: Any, second: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys at which two nested mappings or lists differ, with both values, in order.

    Args:
        first, second: mappings and lists of any depth; a key that one side lacks is None there.
        prefix: of every key.
    """
    first, second = (
        dict(enumerate(value)) if isinstance(value, list) else value for value in (first, second)
    )
    if not (isinstance(first, dict) and isinstance(second, dict)):
        if first != second:
            yield prefix, first, second
        return
    for key in first | second:
        name = f"{prefix}.{key}" if prefix else str(key)
        yield from differences(first.get(key), second.get(key), name)


def merged(values: Any, changes: Any) -> Any:
    """Nested mappings with the values of others put over theirs; lists are replaced whole.

    Args:
        values: mapping; unchanged.
        changes: mapping of any depth.
    """
    if not (isinstance(values, dict) and isinstance(changes, dict)):
        return changes
    both = {key: merged(values[key], changes[key]) for key in values if key in changes}
    return values | changes | both
