"""The posterior of the axion mass: a mixture that is trained to be right, and says where not."""

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import norm

from lensmodels.evaluation.posterior import central_coverage, posterior_metrics
from lensmodels.tasks import TaskSettings, measure_task, task_from_dict
from lensmodels.tasks.axion_mass_posterior import CLOSER, QUANTILES, RANK

POSTERIOR = TaskSettings(name="axion-mass", head="posterior", components=2)


@pytest.fixture(scope="module")
def task():
    mass = torch.tensor([1e-24, 1e-23, 1e-22], dtype=torch.float64)
    return measure_task(POSTERIOR, [{"axion_mass": mass}])


def one_normal(place, sigma):
    """Outputs, (n, 6), of one normal distribution with standardised mean and width, each (n,)."""
    outputs = torch.zeros(len(place), 6, dtype=torch.float64)
    outputs[:, 0] = 40.0  # the first component alone
    outputs[:, 2] = place + 1.5  # where it begins
    outputs[:, 4] = 3.5 * torch.atanh(sigma.log() / 3.5)
    return outputs


def batch_of(log_mass):
    return {"axion_mass": 10**log_mass, "sample": torch.arange(len(log_mass))}


def test_predictions_of_one_normal_distribution_are_its_own(task):
    assert task.output_size == 6
    place, sigma = torch.tensor([0.5, -1.0]).double(), torch.tensor([0.3, 0.05]).double()
    found = task.predictions(one_normal(place, sigma))
    np.testing.assert_allclose(found["log10_mass"], -23 + place, atol=1e-6)
    np.testing.assert_allclose(found["log10_mass_sigma"], sigma, rtol=1e-6)
    for name, probability in QUANTILES.items():
        expected = -23 + norm(place, sigma).ppf(probability)
        np.testing.assert_allclose(found[name], expected, atol=1e-6)


def test_loss_is_the_negative_log_density(task):
    place, sigma = torch.tensor([0.5, -1.0]).double(), torch.tensor([0.3, 0.05]).double()
    true = torch.tensor([-22.4, -24.02]).double()
    expected = -norm(place, sigma).logpdf(true + 23).mean()
    found = task.loss(one_normal(place, sigma), batch_of(true))
    assert float(found) == pytest.approx(expected, rel=1e-6)


def table_of(task, outputs, true):
    columns = task.predictions(outputs) | task.diagnostics(outputs, batch_of(true))
    return pd.DataFrame({name: values.numpy() for name, values in columns.items()})


def test_ranks_of_a_right_posterior_are_uniform_and_those_of_a_narrow_or_biased_one_not(task):
    generator = torch.Generator().manual_seed(2)
    place = torch.randn(4000, generator=generator, dtype=torch.float64)
    sigma = 0.1 + torch.rand(4000, generator=generator, dtype=torch.float64)
    true = -23 + place + sigma * torch.randn(4000, generator=generator, dtype=torch.float64)

    right = table_of(task, one_normal(place, sigma), true)
    found = posterior_metrics(right)
    assert sum(found["ranks"]) == 4000
    assert min(found["rank_p_value"], found["tarp_p_value"]) > 0.01
    np.testing.assert_allclose(found["tarp"]["observed"], found["tarp"]["nominal"], atol=0.03)
    np.testing.assert_allclose(central_coverage(right), found["tarp"]["nominal"], atol=0.03)
    error = right["log10_mass"] - true.numpy()
    assert found["sigma_rms"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=0.05)

    narrow = posterior_metrics(table_of(task, one_normal(place, sigma / 2), true))
    assert max(narrow["rank_p_value"], narrow["tarp_p_value"]) < 1e-6
    assert narrow["ranks"][0] > 2 * 4000 / 20
    biased = posterior_metrics(table_of(task, one_normal(place + 0.3, sigma), true))
    assert biased["rank_p_value"] < 1e-6
    assert biased["ranks"][0] > 2 * biased["ranks"][-1]


def test_diagnostics_do_not_depend_on_the_batch(task):
    outputs = one_normal(torch.zeros(4).double(), torch.ones(4).double())
    batch = batch_of(torch.linspace(-24, -22, 4).double())
    whole = task.diagnostics(outputs, batch)
    part = task.diagnostics(outputs[2:], {name: values[2:] for name, values in batch.items()})
    for name in (RANK, CLOSER):
        torch.testing.assert_close(whole[name][2:], part[name])


def test_it_is_learned_to_be_the_posterior(task):
    """Two masses at even odds, which no image tells apart."""
    generator = torch.Generator().manual_seed(3)
    sign = torch.randint(2, (2000,), generator=generator, dtype=torch.float64) * 2 - 1
    noise = 0.1 * torch.randn(2000, generator=generator, dtype=torch.float64)
    batch = batch_of(-23 + 0.8 * sign + noise)
    head = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([head], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        task.loss(head.expand(2000, 6), batch).backward()
        optimiser.step()
    found = task.predictions(head.detach()[None])
    assert found["log10_mass_q16"].item() == pytest.approx(-23.85, abs=0.05)
    assert found["log10_mass_q84"].item() == pytest.approx(-22.15, abs=0.05)


def test_it_comes_back_from_its_dictionary(task):
    again = task_from_dict(task.to_dict())
    assert type(again) is type(task) and again.to_dict() == task.to_dict()


@pytest.mark.parametrize(
    "settings",
    [{"name": "classification"}, {"name": "axion-mass", "loss": "gaussian-nll"}],
)
def test_posterior_is_of_the_axion_mass_and_has_its_own_loss(settings):
    with pytest.raises(ValidationError, match="posterior"):
        TaskSettings(**settings, head="posterior")
