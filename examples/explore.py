# %% [markdown]
# # Explore a simulation
#
# One system from the priors, one changed by hand, and a small archive. About ten seconds, after the
# first run has compiled the simulator.

# %%
from dataclasses import replace
from tempfile import TemporaryDirectory

import numpy as np

import lenssim
from lenssim.observation import noise_sigma, pixel_noise

TRAIN = 200  # images of each class

# %% [markdown]
# A specification is data: every prior can be read, and changed on the way in.

# %%
spec = lenssim.load_spec("B", ["source.magnitude={uniform: [19, 22]}"])
print(f"{spec.name}: magnitude {spec.source.magnitude}, f_sub {spec.substructure.f_sub}")

# %% [markdown]
# One image, the same bits that `lenssim generate` would archive at index 7.

# %%
simulation = lenssim.simulate(spec, "axion", 7)
system = simulation.system
print(f"axion of {system.axion_mass:.2e} eV, vortex {system.vortex_length:.2f} arcsec long")
print(f"substructure S/N {simulation.substructure_snr:.0f}")
simulation.plot(spec)

# %% [markdown]
# The same lens with its vortex turned by 90 degrees: how much does the image change?

# %%
turned = replace(system, vortex_angle=system.vortex_angle + np.pi / 2)
difference = lenssim.render(turned, spec) - lenssim.render(system, spec)
sigma = noise_sigma(simulation.noise_free, pixel_noise(spec.instrument))
print(f"turning the vortex changes the image by {np.linalg.norm(difference / sigma):.0f} sigma")

# %% [markdown]
# A small archive, read back lazily as xarray Datasets.

# %%
with TemporaryDirectory() as folder:
    archive = lenssim.generate(
        spec, ["cdm", "no_sub"], train=TRAIN, test=0, out=f"{folder}/mine", progress=True
    )
    subhalos = archive.dataset("train", "cdm")
    peak = subhalos["image"].max(dim=("y", "x"))
    print(
        f"{subhalos.sizes['sample']} images; peaks from {float(peak.min()):.1f} "
        f"to {float(peak.max()):.1f} {subhalos['image'].attrs['units']}"
    )
