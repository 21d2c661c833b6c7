"""The program lensmodels, also as `python -m lensmodels`."""

from __future__ import annotations

from typing import Any

from lenssim.command_line.interruption import start_program


def main() -> Any:
    """Run the command line."""
    return start_program("lensmodels.cli")


if __name__ == "__main__":
    main()
