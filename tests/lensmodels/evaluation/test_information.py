"""The shipped limits are those of the specifications 1.0.0 of models A and B."""

from pathlib import Path

import numpy as np
import pytest

from lensmodels.evaluation.information import information_limit
from lenssim import load_spec

SPECIFICATIONS = Path(__file__).parents[2] / "lenssim" / "specifications_1_0_0"


@pytest.mark.parametrize(("model", "limit"), [("A", 0.184), ("B", 0.225)])
def test_models_a_and_b_have_a_limit(model, limit):
    """A change of a specification asks for experiments/information.py to be run again."""
    found = information_limit(load_spec(SPECIFICATIONS / f"{model}.yaml").sha256)
    assert found is not None
    assert found.limit == pytest.approx(limit, abs=0.005)
    assert (found.log10_mass[0], found.log10_mass[-1]) == (-24, -22)


def test_the_bound_rises_a_thousandfold_from_long_vortices_to_short_ones():
    found = information_limit(load_spec(SPECIFICATIONS / "B.yaml").sha256)
    assert found.bound[0] < 0.01
    assert found.bound[-1] > 5


def test_the_prior_bounds_the_best_estimate_only_where_the_image_does_not():
    found = information_limit(load_spec(SPECIFICATIONS / "A.yaml").sha256)
    assert found.limit_by_mass.max() < 1
    seen = found.bound < 0.05
    assert (found.limit_by_mass[seen] >= found.bound[seen]).all()
    assert (found.limit_by_mass[found.bound < 0.01] < 0.02).all()
    assert (found.limit_by_mass[-4:] < 0.5 * found.bound[-4:]).all()


def test_where_the_quadrupole_is_faint_the_best_estimate_does_worse_than_the_bound():
    found = information_limit(load_spec(SPECIFICATIONS / "B.yaml").sha256)
    faint = np.abs(found.log10_mass + 23.1) < 0.1
    assert (found.limit_by_mass[faint] > 1.2 * found.bound[faint]).all()


def test_specifications_2_0_0_have_none_yet():
    assert information_limit(load_spec("B").sha256) is None


def test_another_specification_has_none():
    changed = load_spec("B", ["substructure.f_sub=0.02"])
    assert information_limit(changed.sha256) is None
