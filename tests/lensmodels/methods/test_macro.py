"""Macro parameters: how they turn with the image, and a loss by hand."""

import pytest
import torch

from lensmodels.errors import DataError
from lensmodels.methods.macro import COLUMNS, SCALARS, SPINORS, VECTORS, turned
from lensmodels.views import Orientation, apply_dihedral

ELEMENTS = torch.arange(8)


def batch_of(values):
    images = torch.randn(len(values), 1, 64, 64, generator=torch.Generator().manual_seed(2))
    return {"image": images} | dict(zip(COLUMNS, values.T, strict=True))


def grid(size=32):
    """Coordinates of pixels from the centre: x along columns, y along rows."""
    y, x = torch.meshgrid(*2 * [torch.arange(size) - (size - 1) / 2], indexing="ij")
    return x, y


def moments(images):
    """Centroid (x, y), and Q_xx - Q_yy and 2 Q_xy over their sum, of images (n, 1, size, size)."""
    x, y = grid(images.shape[-1])
    light = images[:, 0] / images.sum((-1, -2, -3))[:, None, None]
    centre = [(light * axis).sum((1, 2)) for axis in (x, y)]
    dx, dy = (axis - at[:, None, None] for axis, at in zip((x, y), centre, strict=True))
    xx, yy, xy = ((light * product).sum((1, 2)) for product in (dx * dx, dy * dy, dx * dy))
    return torch.stack(centre, 1), torch.stack([xx - yy, 2 * xy], 1) / (xx + yy)[:, None]


def test_parameters_turn_with_the_image():
    # an elongated spot off the centre has a position and an ellipticity
    x, y = grid()
    across, along = 0.8 * (x - 4) + 0.6 * (y + 2), -0.6 * (x - 4) + 0.8 * (y + 2)
    spot = torch.exp(-0.5 * (across**2 / 9 + along**2 / 2)).expand(8, 1, -1, -1)
    position, ellipticity = moments(spot)
    values = torch.arange(8.0)[:, None].expand(8, len(COLUMNS)).clone()
    places = {name: number for number, name in enumerate(COLUMNS)}
    for pairs, held in ((VECTORS, position), (SPINORS, ellipticity)):
        for pair in pairs:
            values[:, [places[name] for name in pair]] = held
    orientation = Orientation.upright(8, spot.device).after_dihedral(ELEMENTS)
    seen = turned(values, orientation)
    expected = moments(apply_dihedral(spot, ELEMENTS))
    assert torch.equal(seen[:, : len(SCALARS)], values[:, : len(SCALARS)])
    for pairs, held in zip((VECTORS, SPINORS), expected, strict=True):
        for pair in pairs:
            torch.testing.assert_close(seen[:, [places[name] for name in pair]], held)


def test_loss_by_hand_and_parameters_that_do_not_vary_have_no_weight(make):
    method = make("macro").eval()
    values = torch.zeros(6, len(COLUMNS))
    values[:, 0] = torch.tensor([1.0, 1, 1, 3, 3, 3])  # mean 2, spread 1
    values[:, 1] = torch.nan
    pair = COLUMNS.index("lens_e1")
    values[:, pair] = 0.2  # with the other component 0: the spread of both is 0.2 / sqrt(2)
    batch = batch_of(values)
    method.measure([batch])
    with torch.no_grad():
        for weights in method.head.parameters():
            weights.zero_()
    known = method.loss([batch["image"], values])
    assert known.item() == pytest.approx(1.0, rel=1e-5)  # each of three parameters has 1
    with torch.no_grad():
        method.head.bias[0] = 1.0  # right for three images, wrong by 2 for the others: as bad
        method.head.bias[pair] = 2**0.5  # right, and the other component is 0: nothing is left
    assert method.loss([batch["image"], values]).item() == pytest.approx(2 / 3, rel=1e-5)


def test_the_loss_of_a_view_does_not_depend_on_its_orientation_if_nothing_is_told(make):
    method = make("macro").eval()
    batch = batch_of(torch.randn(6, len(COLUMNS), generator=torch.Generator().manual_seed(0)))
    method.measure([batch])
    with torch.no_grad():
        for weights in method.head.parameters():
            weights.zero_()
    losses = [method.loss(method.draw_views(batch, seed=seed)).item() for seed in range(4)]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-4)
    first, second = (method.draw_views(batch, seed=seed)[1] for seed in (0, 1))
    assert not torch.equal(first, second)


def test_images_without_parameters_are_refused(make):
    with pytest.raises(DataError, match="live:B"):
        make("macro").measure([batch_of(torch.full((6, len(COLUMNS)), torch.nan))])
