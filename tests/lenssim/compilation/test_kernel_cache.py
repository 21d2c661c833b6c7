"""Compiled kernels: kept where they can be, made anew when any formula changes, never needed."""

import os
import shutil
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner
from llvmlite.binding import Linkage
from numba.core import caching

import lenssim
from lenssim import compilation
from lenssim.cli import main
from lenssim.compilation import kernel
from lenssim.errors import LenssimWarning

# the package has a function of the same name
kernel_cache = import_module("lenssim.compilation.kernel_cache")

BRIGHTNESS = """
import sys
sys.path.insert(0, ".")
import numpy as np
from lenssim.rendering import picture_source, ray_tracing
numbers = dict.fromkeys(ray_tracing.RayTracer._fields, 1.0) | {"source_e1": 0.0, "source_e2": 0.0}
numbers["picture"] = picture_source.NO_PICTURE
out = np.empty(1)
beta = np.full(1, 3.0)
ray_tracing._profile(beta, beta, ray_tracing.RayTracer(**numbers), np.empty(1, np.int64), out)
print(out[0])
"""

NOT_COMPILED = """
import sys
from importlib import import_module
from lenssim import compilation
from lenssim.simulation import warm_up
for module in sys.argv[1:]:
    import_module(module)
warm_up()
print([kernel.__name__ for kernel in compilation._kernels if not kernel.signatures])
"""

IMAGES = """
import hashlib
import lenssim
sha256 = hashlib.sha256()
for model, name in [("B", "axion"), ("B", "cdm"), ("B-wide", "cdm"), ("A-deeplense", "cdm")]:
    spec = lenssim.load_spec(model)
    for index in range(4):
        sha256.update(lenssim.simulate(spec, name, index).noise_free.tobytes())
print(sha256.hexdigest())
"""


def python(*arguments, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


@pytest.fixture
def unwarned(monkeypatch):
    monkeypatch.setattr(kernel_cache, "_has_warned", False)
    monkeypatch.setattr(compilation, "_kernels", [])


@pytest.fixture
def no_cache_folder(monkeypatch):
    def refuse(self):
        raise PermissionError("read-only")

    for locator in caching.CompileResultCacheImpl._locator_classes:
        monkeypatch.setattr(locator, "ensure_cache_path", refuse)


def double(x):
    return 2.0 * x


def triple(x):
    return 3.0 * x


def test_an_edited_formula_changes_the_kernels_that_use_it(tmp_path):
    package = tmp_path / "lenssim"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(lenssim.__file__).parent, package, ignore=ignored)
    run = {"cwd": tmp_path, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": ""}
    before = float(python("-c", BRIGHTNESS, **run).stdout)
    formulas = package / "rendering" / "source.py"
    formulas.write_text(formulas.read_text().replace("return -b *", "return -2.0 * b *"))
    after = float(python("-c", BRIGHTNESS, **run).stdout)
    assert after == pytest.approx(before**2)


def test_without_a_cache_folder_kernels_are_compiled_with_one_warning(no_cache_folder, unwarned):
    first, second = kernel(double), kernel(triple)
    with pytest.warns(LenssimWarning, match="NUMBA_CACHE_DIR") as caught:
        assert first(2.0) == 4.0
        assert second(2.0) == 6.0
    assert len(caught) == 1


def test_nothing_is_said_where_nothing_is_compiled(no_cache_folder, unwarned):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel(double)


def test_a_cache_folder_that_fails_later_costs_no_image(unwarned, monkeypatch):
    compiled = kernel(double)

    def full(self, *arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "load", full)
    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    with pytest.warns(LenssimWarning, match="NUMBA_CACHE_DIR"):
        assert compiled(2.0) == 4.0


@pytest.mark.parametrize("error", [AttributeError("Point"), ValueError("bad pickle"), EOFError()])
def test_cached_kernel_that_cannot_be_loaded_is_compiled_again(unwarned, monkeypatch, error):
    compiled = kernel(double)

    def fail(self, *arguments):
        raise error

    monkeypatch.setattr(caching.IndexDataCacheFile, "load", fail)
    assert compiled(2.0) == 4.0


def functions_of(compiled):
    """Names of the functions in a kernel's machine code that other code could call or replace."""
    [overload] = compiled.overloads.values()
    module = overload.library._final_module
    return {each.name for each in module.functions if each.linkage == Linkage.linkonce_odr}


def test_kernels_share_no_code_with_each_other():
    """Which copy of a function runs would depend on what the process has loaded before."""
    inner = kernel(double)
    assert inner(1.0) == 2.0

    def twice(x):
        return inner(inner(x))

    def thrice(x):
        return inner(inner(inner(x)))

    first, second = kernel(twice), kernel(thrice)
    assert (first(1.0), second(1.0)) == (4.0, 8.0)
    shared = functions_of(first) & functions_of(second)
    assert not [name for name in shared if not name.startswith("NRT_")]


def test_kernel_sources_are_the_modules_of_all_packages_with_kernels():
    names = {f"{file.parent.name}/{file.name}" for file in kernel_cache.kernel_sources()}
    assert {"lenssim/observation.py", "profiles/tnfw.py", "rendering/source.py"} <= names


def test_a_warning_is_one_line_on_the_command_line(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    CliRunner().invoke(main, ["specs"])
    assert (
        warnings.formatwarning(LenssimWarning("A."), LenssimWarning, "f.py", 1) == "Warning: A.\n"
    )
    assert "f.py:1: UserWarning: B." in warnings.formatwarning(
        UserWarning("B."), UserWarning, "f.py", 1
    )


def test_an_empty_cache_holds_no_kernels(tmp_path):
    code = "import lenssim.simulation, lenssim.rendering as r; print(r.kernels_are_compiled())"
    assert python("-c", code, NUMBA_CACHE_DIR=str(tmp_path)).stdout == "False\n"


@pytest.mark.timeout(900)
@pytest.mark.slow  # compiles all kernels once more, which takes minutes on a busy machine
def test_warming_up_compiles_every_kernel_and_later_processes_give_the_same_bits(tmp_path):
    package = Path(lenssim.__file__).parent
    sources = [file.relative_to(package.parent) for file in kernel_cache.kernel_sources()]
    modules = [".".join(source.with_suffix("").parts) for source in sources]
    first = python("-c", NOT_COMPILED + IMAGES, *modules, NUMBA_CACHE_DIR=str(tmp_path))
    left, images = first.stdout.splitlines()
    assert left == "[]", first.stderr
    later = python("-c", IMAGES, NUMBA_CACHE_DIR=str(tmp_path))
    assert later.stdout.split() == [images]


@pytest.mark.parametrize("threads", ["0", "-3"])
def test_no_threads_for_numba_are_refused_in_one_sentence(threads):
    words = ("generate", "--class", "no_sub", "--train", 1, "--test", 0, "--out", "out")
    result = python("-m", "lenssim", *map(str, words), NUMBA_NUM_THREADS=threads)
    assert result.returncode == 2
    assert result.stderr == (
        f"Error: NUMBA_NUM_THREADS = {threads} must be at least 1: change or unset it.\n"
    )
