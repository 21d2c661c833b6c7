"""`python -m lenssim` is the command lenssim."""

from lenssim.cli import main

main()
