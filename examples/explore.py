"""A first look: one system by hand, one from the priors, and a small archive.

Run from anywhere: python examples/explore.py
"""

from dataclasses import replace
from tempfile import TemporaryDirectory

import numpy as np

import lenssim
from lenssim.observation import noise_sigma, pixel_noise

# A specification is data: every prior can be read, and changed on the way in.
spec = lenssim.load_spec("B", ["source.magnitude={uniform: [19, 22]}"])
print(f"{spec.name}: magnitude {spec.source.magnitude}, f_sub {spec.substructure.f_sub}")

# One image, the same bits that `lenssim generate` would archive at index 7.
simulation = lenssim.simulate(spec, "axion", 7)
system = simulation.system
print(f"axion of {system.axion_mass:.2e} eV, vortex {system.vortex_length:.2f} arcsec long")
print(f"substructure stands out of the noise with S/N {simulation.substructure_snr:.0f}")

# The same lens with its vortex turned by a quarter: what does the image see of that?
turned = replace(system, vortex_angle=system.vortex_angle + np.pi / 2)
difference = lenssim.render(turned, spec) - lenssim.render(system, spec)
sigma = noise_sigma(simulation.noise_free, pixel_noise(spec.instrument))
print(f"turning the vortex changes the image by {np.linalg.norm(difference / sigma):.0f} sigma")

# A small archive, read back lazily as xarray Datasets.
with TemporaryDirectory() as folder:
    archive = lenssim.generate(spec, ["cdm", "no_sub"], train=20, test=0, out=f"{folder}/mine")
    subhalos = archive.dataset("train", "cdm")
    brightest = subhalos["image"].max(dim=("y", "x"))
    print(
        f"{subhalos.sizes['sample']} images; peaks from {float(brightest.min()):.1f} "
        f"to {float(brightest.max()):.1f} {subhalos['image'].attrs['units']}"
    )
