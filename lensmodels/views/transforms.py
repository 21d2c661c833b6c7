"""Views of a batch: the random changes that a method should not mind, on the device.

What is a symmetry of a lens and what is not decides what a method can learn here:

    rotation, parity   the laws of lensing know no direction: an image turned or mirrored is as
                       likely as itself. By right angles and flips this is exact, pixel for pixel,
                       and by other angles as good as the pixels sample the PSF.
    noise              another exposure of the same lens: a symmetry as long as the perturbations
                       of the arc, a few sky sigmas a pixel, still stand out.
    shift              nearly one; but the lens is in the centre of every image.
    scale              none: the Einstein radius is the mass. A crop that is resized changes it.
    crop               none: a part of the arc is lost, and with it the subhalos that sat there.
    blur               none: it removes what tells the classes apart, and keeps what does not.

The data come with subtle signals, so the aggressive views that work for photographs teach the
wrong invariance here. The recipes of the methods are in views.yaml, each with its reason.

Everything random is drawn for the whole batch, over all processes that share it, from the seed
and the step alone: an image looks the same on one device or on eight, and after a resume.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor, nn
from torch.nn import functional

from lensmodels.data import InputScaling
from lensmodels.errors import UsageError
from lensmodels.views.recipes import Recipe, ViewSettings


class Draws:
    """Random numbers for one batch, the part of this process of those for all processes.

    Args:
        seed: of this step.
        count: images in this process's part of the batch.
        device: of the images.
        rank, world_size: which images of the whole batch these are: every `world_size`-th, as
            the streams share a batch.
    """

    def __init__(
        self, seed: int, count: int, device: torch.device, *, rank: int = 0, world_size: int = 1
    ) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)
        self.total = count * world_size
        self.part = slice(rank, None, world_size)
        self.device = device

    def uniform(self, low: float, high: float, columns: int = 1) -> Tensor:
        """Uniform numbers for this process's part of the batch, (n, columns).

        Args:
            low, high: range of the numbers.
            columns: numbers an image.
        """
        numbers = torch.rand(self.total, columns, generator=self.generator, device=self.device)
        return low + (high - low) * numbers[self.part]

    def integers(self, low: int, high: int) -> Tensor:
        """Integers from low up to and without high, (n,)."""
        size = (self.total,)
        numbers = torch.randint(low, high, size, generator=self.generator, device=self.device)
        return numbers[self.part]

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers, (n, *shape)."""
        size = (self.total, *shape)
        return torch.randn(size, generator=self.generator, device=self.device)[self.part]


@dataclass(frozen=True)
class Orientation:
    """How views show the sky: an angle phi on it is seen at parity * phi + rotation.

    Angles are in radians, from x, along columns, to y, along rows.

    Attributes:
        rotation: radians, (n,).
        parity: 1, or -1 of a mirror image, (n,).
    """

    rotation: Tensor
    parity: Tensor

    def of_angle(self, angle: Tensor) -> Tensor:
        """Where an angle on the sky, (n,), is seen."""
        return self.parity * angle + self.rotation

    @classmethod
    def upright(cls, count: int, device: torch.device) -> Orientation:
        """Of images as they are."""
        return cls(torch.zeros(count, device=device), torch.ones(count, device=device))

    def rotated(self, angle: Tensor) -> Orientation:
        """After `rotate`."""
        return Orientation(self.rotation + angle, self.parity)

    def after_dihedral(self, element: Tensor) -> Orientation:
        """After `apply_dihedral`."""
        mirrored, quarter = element >= 4, (element % 4) * (math.pi / 2)
        rotation = torch.where(mirrored, math.pi / 2 - self.rotation, self.rotation)
        return Orientation(rotation - quarter, torch.where(mirrored, -self.parity, self.parity))


class View(NamedTuple):
    """What an encoder is given of each image of a batch.

    Attributes:
        image: scaled, (n, 1, height, width).
        orientation: of the sky in it.
    """

    image: Tensor
    orientation: Orientation


class Views(nn.Module):
    """Draws the views of a recipe from raw images, and scales them for the encoder.

    Args:
        recipe: the views.
        scaling: of the encoder's input; it knows the unit of the added noise.
    """

    def __init__(self, recipe: Recipe, scaling: InputScaling) -> None:
        super().__init__()
        self.recipe = recipe
        self.scaling = scaling

    def forward(
        self, images: Tensor, draws: Draws, second_images: Tensor | None = None
    ) -> list[Tensor]:
        """The images of the views of `draw`, with its arguments; each (n, 1, height, width)."""
        return [view.image for view in self.draw(images, draws, second_images)]

    def draw(self, images: Tensor, draws: Draws, second_images: Tensor | None = None) -> list[View]:
        """Views, one after the other as in the recipe.

        Args:
            images: e-/s, (n, 1, height, width).
            draws: the step's random numbers.
            second_images: of pairs, like `images`: every second view is one of these.

        Returns:
            One view for each that the recipe names.
        """
        with torch.autocast(images.device.type, enabled=False):  # pixels keep all their digits
            sources = (images, images if second_images is None else second_images)
            wanted = [settings for settings in self.recipe for _ in range(settings.count)]
            return [
                draw_view(sources[number % 2].float(), settings, draws, self.scaling)
                for number, settings in enumerate(wanted)
            ]


def draw_view(images: Tensor, settings: ViewSettings, draws: Draws, scaling: InputScaling) -> View:
    """A random view of each image, scaled.

    What changes the light or rotates it about the centre comes before the scaling, in e-/s, and
    what moves it otherwise comes after: a scaling that whitens knows where the ring is, and has to
    see all of it. For rotations by right angles and mirror images, which commute with every
    scaling, there is no difference.

    Args:
        images: e-/s, (n, 1, height, width).
        settings: which view.
        draws: the random numbers.
        scaling: of the encoder's input; it knows the unit of the added noise.
    """
    orientation = Orientation.upright(len(images), images.device)
    if settings.blur[1]:
        images = blur(images, draws.uniform(*settings.blur)[:, 0])
    if settings.noise[1]:
        unit = torch.tensor(scaling.noise_units, device=images.device)[:, None, None]
        level = draws.uniform(*settings.noise)[:, :, None, None] * unit
        images = images + level * draws.normal(images.shape[1:])
    if settings.angle:
        angle = torch.deg2rad(draws.uniform(-settings.angle, settings.angle)[:, 0])
        images = rotate(images, angle)
        orientation = orientation.rotated(angle)
    images = scaling(images)
    if settings.zoom != (1.0, 1.0):
        zoom = draws.uniform(*settings.zoom)[:, 0]
        offset = draws.uniform(-1, 1, 2) * (1 - zoom)[:, None]
        images = enlarge(images, zoom, offset)
    if settings.symmetry != "none":
        first, last = (1, 4) if settings.symmetry == "rotation" else (0, SYMMETRIES)
        element = draws.integers(first, last)
        images = apply_dihedral(images, element)
        orientation = orientation.after_dihedral(element)
    if settings.window is not None:
        images = cut_window(images, settings.window, draws.uniform(0, 1, 2))
    return View(images, orientation)


SYMMETRIES = 8
"""Of the square: rotations by right angles, and their mirror images."""


def apply_dihedral(images: Tensor, element: Tensor) -> Tensor:
    """Images under the symmetries of the square, exactly.

    Args:
        images: (n, 1, size, size).
        element: (n,), k from 0 to 7: k % 4 quarter turns as in torch.rot90, after a transpose if
            k >= 4.

    Returns:
        Images of the same shape, their pixels in other places.
    """
    quarter, mirrored = element % 4, element >= 4

    def where(chosen: Tensor, changed: Tensor, kept: Tensor) -> Tensor:
        return torch.where(chosen[:, None, None, None], changed, kept)

    transposed = (quarter % 2 == 1) != mirrored
    images = where(transposed, images.transpose(-1, -2), images)
    upside_down = (quarter == 1) | (quarter == 2)
    images = where(upside_down, images.flip(-2), images)
    return where(quarter >= 2, images.flip(-1), images)


def rotate(images: Tensor, angle: Tensor) -> Tensor:
    """Images turned about their centre by any angle, without smoothing them.

    The nearest right angle is exact, and the rest, of 45 degrees or less, is three shears (Unser,
    Thevenaz and Yaroslavsky 1995, IEEE Trans. Image Process. 4, 1371), each of which shifts rows or
    columns by a phase in their Fourier transform. A shift keeps the power at every frequency, so
    that noise stays white and as strong as it was: interpolation between pixels would smooth it,
    and the subhalos with it, by an amount that tells the angle. What leaves at one edge comes in at
    the other: light further from the centre than 0.92 of half the side may come out displaced.

    What the pixels undersample is turned with an error of its aliases. Against rendering the turned
    lens, root-sum-square over an image, it is below 25 noise sigmas in model B, where the noise
    itself has 64, and up to hundreds in model A, whose PSF is as narrow as a pixel: more than what
    the substructure changes (tests/lensmodels/test_views.py).

    Args:
        images: e-/s, (n, 1, size, size).
        angle: radians, (n,), from the first axis of the sky, x along columns, to the second, y
            along rows.

    Returns:
        Images of the same shape.
    """
    quarter = (angle / (math.pi / 2)).round()
    rest = angle - quarter * (math.pi / 2)
    images = apply_dihedral(images, (-quarter).long() % 4)
    along_x, along_y = -torch.tan(rest / 2), torch.sin(rest)
    images = _shear(images, along_x)
    images = _shear(images.transpose(-1, -2), along_y).transpose(-1, -2)
    return _shear(images, along_x)


def _shear(images: Tensor, amount: Tensor) -> Tensor:
    """Shifts the rows of each image, (n, 1, size, size), by `amount`, (n,), times their height."""
    size = images.shape[-1]
    height = torch.arange(size, device=images.device) - (size - 1) / 2
    shift = amount[:, None, None, None] * height[:, None]
    frequency = torch.fft.rfftfreq(size, device=images.device)
    if size % 2 == 0:  # the highest one has no phase to shift then: it stays, with its power
        frequency[-1] = 0
    angle = -2 * math.pi * shift * frequency
    phase = torch.polar(torch.ones_like(angle), angle)
    return torch.fft.irfft(torch.fft.rfft(images) * phase, n=size)


def enlarge(images: Tensor, zoom: Tensor, offset: Tensor) -> Tensor:
    """A part of each image, enlarged to its full size by bilinear interpolation.

    Args:
        images: (n, 1, size, size).
        zoom: share of the side that is kept, (n,).
        offset: centre of what is kept, in half sides from the image's centre, (n, 2).
    """
    nothing = torch.zeros_like(zoom)
    rows = [
        torch.stack([zoom, nothing, offset[:, 0]], dim=1),
        torch.stack([nothing, zoom, offset[:, 1]], dim=1),
    ]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def cut_window(images: Tensor, size: int, position: Tensor) -> Tensor:
    """A square cut out of each image at whole pixels.

    Args:
        images: (n, 1, height, width).
        size: of the square; no larger than the image.
        position: in [0, 1), of its corner, between the first place that it can have and the last.

    Returns:
        (n, 1, size, size).

    Raises:
        UsageError: if the images are smaller.
    """
    height, width = images.shape[-2:]
    if size > min(height, width):
        raise UsageError(f"A view's window of {size} pixels does not fit an image of {width}.")
    span = torch.arange(size, device=images.device)
    rows = (position[:, 0] * (height - size + 1)).long()[:, None] + span
    columns = (position[:, 1] * (width - size + 1)).long()[:, None] + span
    image = torch.arange(len(images), device=images.device)[:, None, None]
    return images[image, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Images blurred by a Gaussian, each by its own.

    Args:
        images: (n, 1, height, width).
        sigma: standard deviations in pixels, (n,).

    Returns:
        Images of the same shape.

    Raises:
        UsageError: if three of them are wider than the image.
    """
    radius = max(1, math.ceil(3 * float(sigma.max())))
    if radius >= min(images.shape[-2:]):
        raise UsageError(
            f"A view's blur of {float(sigma.max()):.3g} pixels is too wide for an image of "
            f"{images.shape[-1]}; choose one below {min(images.shape[-2:]) / 3:.3g}."
        )
    # a Gaussian of no width would divide by zero; this one is a single pixel
    both = sigma.clamp_min(0.05)[:, None].expand(-1, 2)
    return gaussian_blur2d(images, (2 * radius + 1, 2 * radius + 1), both)
