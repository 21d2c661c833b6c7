"""Errors within a second: settings, runs and grids are checked without importing torch."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["cli", "settings", "runs", "study", "methods", "tasks", "views", "data"]
)
def test_module_is_imported_without_torch(module):
    code = (
        f"import sys, lensmodels.{module}; print(*{{'torch', 'numpy', 'zarr'}} & {{*sys.modules}})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("package", ["data", "encoders", "methods", "runs", "tasks", "views"])
def test_every_public_name_of_a_lazy_package_is_found(package):
    from importlib import import_module

    module = import_module(f"lensmodels.{package}")
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name
