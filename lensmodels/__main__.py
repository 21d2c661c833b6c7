"""`python -m lensmodels` is the command lensmodels."""

from lensmodels.cli import main

main()
