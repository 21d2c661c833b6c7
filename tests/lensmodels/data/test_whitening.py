"""Whitening: what the images have in common is no louder than their differences."""

import pytest
import torch

from lensmodels.data import InputScaling
from lensmodels.data.whitening import Whitening, symmetric_components
from lensmodels.errors import DataError
from lensmodels.views import Draws, ViewSettings, apply_dihedral, cut_window, draw_view

NOISE = 0.05


def family(count=400, size=16, noise=NOISE, seed=0):
    """Smooth images of a few patterns, the first a hundred times as strong as the last."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.linspace(-1, 1, size)
    x, y = axis[None, :].expand(size, size), axis[:, None].expand(size, size)
    patterns = torch.stack([10 * x, 3 * y * x, 1 - x**2, 0.1 * torch.cos(9 * x) * y])
    amplitudes = torch.randn(count, len(patterns), generator=generator)
    light = torch.einsum("np,pij->nij", amplitudes, patterns) + 2.0
    return (light + noise * torch.randn(count, size, size, generator=generator))[:, None]


def all_symmetries(images):
    return torch.cat([apply_dihedral(images, torch.full((len(images),), k)) for k in range(8)])


@pytest.mark.parametrize("size", [8, 9])
def test_components_are_those_of_the_images_under_all_symmetries(size):
    images = family(60, size)
    mean, variances, components = symmetric_components(images[:, 0], size**2)
    every = all_symmetries(images)[:, 0].double()
    assert torch.allclose(mean.double(), every.mean(0), atol=1e-5)
    flat = (every - every.mean(0)).flatten(1)
    covariance = flat.T @ flat / len(flat)
    expected = torch.linalg.eigvalsh(covariance).flip(0)
    # of float32 images, the largest variance is known to its seven digits
    assert torch.allclose(variances.double(), expected, rtol=1e-5, atol=3e-7 * float(expected[0]))
    assert torch.allclose(components @ components.T, torch.eye(size**2), atol=1e-5)
    rebuilt = components.T @ torch.diag(variances) @ components
    assert torch.allclose(rebuilt.double(), covariance, atol=1e-3)


@pytest.mark.parametrize("size", [16, 17])
def test_components_of_few_images_are_found_from_their_scalar_products(size):
    images = family(3, size)
    count = 24  # all that three images and their mirror images can span
    mean, variances, components = symmetric_components(images[:, 0], count)
    every = all_symmetries(images)[:, 0].double()
    assert torch.allclose(mean.double(), every.mean(0), atol=1e-5)
    flat = (every - every.mean(0)).flatten(1)
    covariance = flat.T @ flat / len(flat)
    expected = torch.linalg.eigvalsh(covariance).flip(0)[:count]
    assert torch.allclose(variances.double(), expected, rtol=1e-5, atol=3e-7 * float(expected[0]))
    rebuilt = components.T @ torch.diag(variances) @ components
    assert torch.allclose(rebuilt.double(), covariance, atol=1e-3)
    loud = components[variances > 1e-5 * variances[0]]
    assert torch.allclose(loud @ loud.T, torch.eye(len(loud)), atol=1e-4)


def test_components_far_above_the_noise_come_out_alike_and_noise_fades():
    images = family()
    whitening = Whitening.measure(images, 40)
    white = all_symmetries(whitening(images)).flatten(1)
    variances = (white @ whitening.components.T).var(0)
    assert variances[:4].max() < 1.1 * variances[:4].min()
    assert variances[20:].max() < 0.2 * variances[0]
    assert white.mean() == pytest.approx(0, abs=1e-3)
    assert white.var() == pytest.approx(1, rel=0.02)


def test_a_faint_pattern_is_heard_beside_a_loud_one():
    whitening = Whitening.measure(family(), 40)
    loud, faint = family(1, noise=0.0), family(1, noise=0.0)
    axis = torch.linspace(-1, 1, 16)
    faint = faint + 0.3 * torch.cos(9 * axis) * axis[:, None]
    assert (faint - loud).std() < 0.1 * (loud - loud.mean()).std()
    assert (whitening(faint) - whitening(loud)).std() > 1


def test_whitening_commutes_with_the_symmetries_of_the_square():
    images = family(8)
    whitening = Whitening.measure(family(), 40)
    for element in range(8):
        which = torch.full((8,), element)
        turned_first, turned_last = (
            whitening(apply_dihedral(images, which)),
            apply_dihedral(whitening(images), which),
        )
        assert torch.allclose(turned_first, turned_last, atol=1e-3)


def test_rounding_errors_of_images_without_noise_are_not_made_loud():
    images = family(noise=0.0)
    whitening = Whitening.measure(images, 100)
    again = Whitening.measure(images.double().float() * (1 + 1e-7), 100)
    assert torch.isfinite(whitening(images)).all()
    assert torch.allclose(whitening(images), again(images), atol=0.05)


def test_few_images_have_few_components():
    assert len(Whitening.measure(family(40), 256).gain) == 10


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("components", [1, 2, 256])
def test_few_images_or_components_are_whitened_to_finite_ones(count, components):
    images = family(count)
    white = Whitening.measure(images, components)(images)
    assert white.isfinite().all()
    assert white.abs().max() < 20


def test_images_that_do_not_differ_are_refused():
    alike = torch.ones(10, 1, 8, 8)
    with pytest.raises(DataError, match="too much alike"):
        Whitening.measure(alike, 4)


def test_an_image_with_nan_is_found_before_it_spoils_the_constants():
    images = family()
    images[3, 0, 2, 2] = torch.nan
    with pytest.raises(DataError, match="not finite"):
        InputScaling.measure([{"image": images}])


def test_precision_does_not_depend_on_the_training():
    scaling = InputScaling.measure([{"image": family()}])
    images = family(8)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = scaling(images)
    assert torch.equal(mixed, scaling(images))


def test_tensors_make_the_same_whitening():
    whitening = Whitening.measure(family(), 40)
    again = Whitening.from_tensors(whitening.tensors())
    assert torch.equal(again(family()), whitening(family()))
    with pytest.raises(KeyError):
        Whitening.from_tensors({"mean": torch.zeros(4, 4), "gain": torch.ones(2)})


def test_windows_are_cut_from_whitened_images_and_noise_comes_before():
    scaling = InputScaling.measure([{"image": family()}])
    images = family(6)
    draws = Draws(0, 6, torch.device("cpu"))
    window = draw_view(images, ViewSettings(window=8), draws, scaling).image
    position = Draws(0, 6, torch.device("cpu")).uniform(0, 1, 2)
    assert torch.equal(window, cut_window(scaling(images), 8, position))
    noisy = draw_view(images, ViewSettings(noise=(3.0, 3.0)), draws, scaling).image
    # noise beyond the components is gone
    added = (noisy - scaling(images)).flatten(1)
    seen = added @ scaling.whitening.components.T
    assert seen.square().sum() == pytest.approx(added.square().sum().item(), rel=1e-3)
