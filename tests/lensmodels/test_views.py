"""Views: each keeps what it should, and its randomness knows nothing of processes."""

import dataclasses

import numpy as np
import pytest
import torch

import lenssim
from lensmodels.data import InputScaling
from lensmodels.errors import UsageError
from lensmodels.methods.settings import METHODS, PRETRAINING_DEFAULTS, check_views
from lensmodels.views import (
    Draws,
    Views,
    ViewSettings,
    apply_dihedral,
    blur,
    cut_window,
    default_recipe,
    draw_view,
    enlarge,
    read_recipe,
    recipe_from,
    rotate,
)
from lenssim.observation import noise_sigma, pixel_noise

CPU = torch.device("cpu")
SKY = 0.02
UNSCALED = InputScaling(sky_noise=SKY, softening=1e6, standard_deviation=1e-6)


@pytest.fixture
def images():
    return torch.rand(8, 1, 12, 12, generator=torch.Generator().manual_seed(0))


def draws(count=8, seed=0, **part):
    return Draws(seed, count, CPU, **part)


def test_turning_gives_the_eight_symmetries_of_the_square(images):
    image = images[:1].expand(8, -1, -1, -1)
    turned = apply_dihedral(image, torch.arange(8))
    for quarter in range(4):
        assert torch.equal(turned[quarter], torch.rot90(image[0], quarter, (-2, -1)))
        mirrored = torch.rot90(image[0].transpose(-1, -2), quarter, (-2, -1))
        assert torch.equal(turned[4 + quarter], mirrored)
    assert len({tuple(view.flatten().tolist()) for view in turned}) == 8


def test_a_rotation_pretext_never_shows_the_image_itself(images):
    many = images[:1].expand(200, -1, -1, -1)
    views = draw_view(many, ViewSettings(symmetry="rotation"), draws(200), UNSCALED).image
    scaled = UNSCALED(images[0])
    expected = {tuple(torch.rot90(scaled, k, (-2, -1)).flatten().tolist()) for k in (1, 2, 3)}
    assert {tuple(view.flatten().tolist()) for view in views} == expected


def turned_lens(system, angle):
    """The same lens on the sky, turned."""
    source = complex(system.source_x, system.source_y) * np.exp(1j * angle)
    ellipticity = complex(system.source_e1, system.source_e2) * np.exp(2j * angle)
    return dataclasses.replace(
        system,
        source_x=source.real,
        source_y=source.imag,
        source_e1=ellipticity.real,
        source_e2=ellipticity.imag,
        vortex_angle=system.vortex_angle + angle,
    )


@pytest.mark.parametrize(("model", "most"), [("B", 25), ("A", 500)])
def test_an_image_turned_by_any_angle_is_that_of_the_lens_turned(model, most):
    spec, angles = lenssim.load_spec(model), [0.2, -0.7, 2.0]
    lenses = [
        lenssim.draw_system(
            spec, "axion", lenssim.random_stream(1, model, "test", "axion", i, "population")
        )
        for i in range(3)
    ]
    images = lenssim.render(lenses, spec)
    turned = [turned_lens(*pair) for pair in zip(lenses, angles, strict=True)]
    expected = lenssim.render(turned, spec)
    found = rotate(torch.from_numpy(images)[:, None], torch.tensor(angles))[:, 0].numpy()
    sigma = noise_sigma(expected, pixel_noise(spec.instrument))
    error = np.linalg.norm((found - expected) / sigma, axis=(1, 2))
    untouched = np.linalg.norm((images - expected) / sigma, axis=(1, 2))
    assert (error < most).all()
    assert (error < untouched / 5).all()


@pytest.mark.parametrize("size", [31, 32, 82])
def test_turning_by_any_angle_neither_smooths_noise_nor_colours_it(size):
    noise = torch.randn(100, 1, size, size, generator=torch.Generator().manual_seed(0))
    turned = rotate(noise, torch.full((100,), 0.6))
    assert float(turned.square().mean()) == pytest.approx(float(noise.square().mean()), rel=1e-5)
    neighbours = (turned[..., 1:] * turned[..., :-1]).mean()
    assert abs(neighbours) < 0.01


def angle_of_bars(images):
    """From the first moments."""
    y, x = torch.meshgrid(*2 * [torch.arange(images.shape[-1]) - 15.5], indexing="ij")
    return ((x + 1j * y) * images[:, 0]).sum((1, 2)).angle()


@pytest.mark.parametrize(
    "settings",
    [
        ViewSettings(),
        ViewSettings(angle=45),
        ViewSettings(symmetry="any"),
        ViewSettings(symmetry="rotation"),
        ViewSettings(angle=180, symmetry="any"),
    ],
    ids=str,
)
def test_a_view_knows_where_it_shows_an_angle_of_the_sky(settings, bars):
    angle = torch.linspace(0, 3, 50)
    view = draw_view(bars(angle), settings, draws(50), UNSCALED)
    difference = angle_of_bars(view.image) - view.orientation.of_angle(angle)
    assert difference.sin().abs().max() < 5e-3  # the bar leaves the image
    assert difference.cos().min() > 0


def test_zoom_enlarges_the_part_that_it_keeps():
    ramp = torch.linspace(-1, 1, 12).expand(1, 1, 12, 12)
    half = enlarge(ramp, torch.full((1,), 0.5), torch.zeros(1, 2))
    slope = (half[0, 0, 0, 1:] - half[0, 0, 0, :-1]).mean()
    assert slope == pytest.approx(0.5 * 2 / 11, rel=1e-4)


def test_noise_is_in_units_of_the_sky_noise_and_added_to_raw_images():
    flat = torch.full((50, 1, 32, 32), 3.0)
    noisy = draw_view(flat, ViewSettings(noise=(1.5, 1.5)), draws(50), UNSCALED).image
    assert noisy.mean() == pytest.approx(3.0, abs=1e-3)
    assert noisy.std() == pytest.approx(1.5 * SKY, rel=0.02)


def test_a_window_is_a_part_of_the_image_at_its_own_scale(images):
    windows = cut_window(images, 5, torch.tensor([[0.0, 0.999]]).expand(8, 2))
    assert torch.equal(windows, images[:, :, :5, 7:])


def test_blur_keeps_the_light_and_of_no_width_the_image():
    star = torch.zeros(2, 1, 21, 21)
    star[:, :, 10, 10] = 1.0
    blurred = blur(star, torch.tensor([0.0, 1.5]))
    assert torch.allclose(blurred[0], star[0], atol=1e-6)
    assert blurred[1].sum() == pytest.approx(1.0, abs=1e-3)
    offset = torch.arange(21) - 10
    width = (blurred[1, 0].sum(0) * offset**2).sum().sqrt()
    assert width == pytest.approx(1.5, rel=0.05)


@pytest.mark.parametrize("world_size", [2, 4])
@pytest.mark.parametrize("method", [*METHODS, None])
def test_an_image_is_seen_alike_however_many_processes_share_the_batch(method, world_size):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(8, 1, 64, 64, generator=generator)
    any_angle = (ViewSettings(angle=45, symmetry="any"),)
    views = Views(default_recipe(method) if method else any_angle, InputScaling(sky_noise=SKY))
    whole = views(images, draws())
    for rank in range(world_size):
        mine = images[rank::world_size]
        part = views(mine, draws(len(mine), rank=rank, world_size=world_size))
        for one, all_ in zip(part, whole, strict=True):
            assert torch.equal(one, all_[rank::world_size])


def test_views_change_with_the_seed_alone(images):
    settings = ViewSettings(symmetry="any", angle=30, noise=(0, 1), zoom=(0.5, 1))
    first, again, other = (
        draw_view(images, settings, draws(seed=seed), UNSCALED).image for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_method_comes_with_views_that_it_can_use():
    for method in METHODS:
        recipe = default_recipe(method)
        if method in PRETRAINING_DEFAULTS:
            check_views(method, recipe)
        else:
            assert sum(view.count for view in recipe) == 1


def test_default_views_are_symmetries_of_a_lens():
    for method in METHODS:
        for view in default_recipe(method):
            assert view.zoom == (1.0, 1.0)  # the Einstein radius is the mass
            assert view.blur == (0.0, 0.0)  # it removes the substructure


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([{"noise": [1.0, 0.5]}], "lower bound"),
        ([{"colour": 1}], "colour"),
        ({"noise": 1}, "list"),
        ([{"symmetry": "all"}], "symmetry"),
    ],
)
def test_a_wrong_recipe_is_named(values, word):
    with pytest.raises(UsageError, match=word):
        recipe_from(values, "views.yaml")


def test_a_file_that_is_no_recipe_is_named(tmp_path):
    file = tmp_path / "views.yaml"
    with pytest.raises(UsageError, match=r"views\.yaml"):
        read_recipe(file)
    file.write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(UsageError, match=r"views\.yaml"):
        read_recipe(file)


def test_every_second_view_of_a_pair_is_of_its_second_image(images):
    views = Views((ViewSettings(count=3),), UNSCALED)
    second = images + 1
    drawn = views(images, draws(len(images)), second)
    for view, expected in zip(drawn, (images, second, images), strict=True):
        torch.testing.assert_close(view, UNSCALED(expected))
