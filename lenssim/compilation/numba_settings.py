"""Refuses settings that numba cannot be imported with; imported before numba is."""

from __future__ import annotations

import os

from lenssim.errors import UsageError


def check_thread_count(value: str | None) -> None:
    """Refuses a value of NUMBA_NUM_THREADS below 1; numba itself ignores what is no number.

    Raises:
        UsageError: if the value is a whole number below 1.
    """
    try:
        threads = int(value) if value else 1
    except ValueError:
        return
    if threads < 1:
        raise UsageError(f"NUMBA_NUM_THREADS = {value} must be at least 1: change or unset it.")


check_thread_count(os.environ.get("NUMBA_NUM_THREADS"))
