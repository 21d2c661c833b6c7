"""The version of this software, as installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("lenssim")
except PackageNotFoundError:  # run from a folder that is not installed
    VERSION = "0+unknown"

__version__ = VERSION
"""Its name in both packages."""
