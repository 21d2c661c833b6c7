"""The axion mass: a standardised target in dex, and an uncertainty that is learned."""

import math

import pytest
import torch

from lensmodels.errors import DataError
from lensmodels.tasks import AxionMass, TaskSettings, measure_task, task_from_dict
from lensmodels.tasks.axion_mass import vortex_quadrupole

HUBER = TaskSettings(name="axion-mass")
GAUSSIAN = TaskSettings(name="axion-mass", loss="gaussian-nll")
BATCH = {"axion_mass": torch.tensor([1e-24, 1e-23, 1e-22], dtype=torch.float64)}


def test_target_is_standardised_by_the_train_masses():
    task = measure_task(HUBER, [BATCH])
    assert (task.mean, task.standard_deviation) == pytest.approx((-23.0, 1.0))
    right = torch.tensor([[-1.0], [0.0], [1.0]])
    assert task.loss(right, BATCH) == pytest.approx(0.0, abs=1e-12)
    assert task.predictions(right)["log10_mass"].tolist() == pytest.approx([-24, -23, -22])


def test_huber_is_quadratic_below_a_standard_deviation_and_linear_above():
    task = AxionMass(HUBER, mean=-23.0, standard_deviation=1.0)
    one = {"axion_mass": torch.tensor([1e-23], dtype=torch.float64)}
    assert task.loss(torch.tensor([[0.5]]), one) == pytest.approx(0.125)
    assert task.loss(torch.tensor([[3.0]]), one) == pytest.approx(2.5)


def test_gaussian_likelihood_is_least_at_the_true_error():
    task = AxionMass(GAUSSIAN, mean=-23.0, standard_deviation=0.5)
    one = {"axion_mass": torch.tensor([1e-23], dtype=torch.float64)}
    outputs = torch.tensor([[0.4, 0.0]], requires_grad=True)
    optimiser = torch.optim.Adam([outputs], lr=0.02)
    for _ in range(400):
        optimiser.zero_grad()
        task.loss(outputs, one).backward()
        outputs.grad[:, 0] = 0.0  # the error stays, its estimate is learned
        optimiser.step()
    assert task.predictions(outputs)["log10_mass_sigma"].item() == pytest.approx(0.2, rel=0.02)


def test_score_is_the_rmse_in_dex():
    task = AxionMass(HUBER, mean=-23.0, standard_deviation=0.5)
    outputs = torch.tensor([[-2.0], [0.2], [2.0]])
    expected = math.sqrt(0.1**2 / 3)
    assert task.score(outputs, BATCH) == {"val_rmse_dex": pytest.approx(expected, rel=1e-5)}


def test_only_images_with_an_axion_are_learned_from():
    assert AxionMass(HUBER).classes == ("axion",)


@pytest.mark.parametrize("masses", [[1e-23, 1e-23], [math.nan, 1e-23]])
def test_masses_that_cannot_be_learned_are_refused(masses):
    with pytest.raises(DataError, match="masses"):
        measure_task(HUBER, [{"axion_mass": torch.tensor(masses, dtype=torch.float64)}])


def test_the_quadrupole_grows_as_the_square_of_a_short_vortex_and_turns_twice_as_fast():
    short = torch.tensor([0.01, 0.02, 0.02])
    found = vortex_quadrupole(short, torch.tensor([0.0, 0.0, math.pi / 4]))
    assert float(found[1, 0] / found[0, 0]) == pytest.approx(4, rel=1e-3)
    assert found[2].tolist() == pytest.approx([0.0, float(found[1, 0])], abs=1e-8)
    half_turn = vortex_quadrupole(torch.ones(1), torch.tensor([math.pi]))
    assert torch.allclose(half_turn, vortex_quadrupole(torch.ones(1), torch.zeros(1)), atol=1e-5)


def test_the_second_loss_is_the_weighted_squared_error_of_the_quadrupole():
    batch = {"vortex_length": torch.ones(2), "vortex_angle": torch.zeros(2)}
    task = AxionMass(TaskSettings(name="axion-mass", quadrupole=3.0))
    assert task.auxiliary_size == 2
    assert task.auxiliary_loss(torch.tensor([[2.0, 0.0]] * 2), batch) == pytest.approx(0.0)
    # errors of 0 and 1 in the two components
    assert task.auxiliary_loss(torch.tensor([[2.0, 1.0]] * 2), batch) == pytest.approx(1.5)
    assert AxionMass(HUBER).auxiliary_size == 0


def test_a_second_target_asks_for_an_archive_that_knows_the_vortices():
    settings = TaskSettings(name="axion-mass", quadrupole=1.0)
    known = BATCH | {"vortex_length": torch.ones(3), "vortex_angle": torch.zeros(3)}
    assert measure_task(settings, [known]).mean == pytest.approx(-23.0)
    with pytest.raises(DataError, match="quadrupole"):
        measure_task(settings, [known | {"vortex_angle": torch.full((3,), math.nan)}])


@pytest.mark.parametrize("settings", [HUBER, GAUSSIAN])
def test_it_comes_back_from_its_dictionary(settings):
    task = AxionMass(settings, mean=-22.9, standard_deviation=0.6)
    again = task_from_dict(task.to_dict())
    assert again.to_dict() == task.to_dict()
    assert again.output_size == (1 if settings is HUBER else 2)
