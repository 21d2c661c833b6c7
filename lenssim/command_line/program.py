"""Starting a command line so that Ctrl-C is one line from the first moment on.

This module imports nothing slow: importing a command line takes tenths of a second, in which the
user may press Ctrl-C as well as later.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def start_program(module: str) -> Any:
    """Import a command line and run it; Ctrl-C exits with code 1 and the line "Stopped.".

    Args:
        module: that has the function `main`.
    """
    try:
        return import_module(module).main()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(1)
