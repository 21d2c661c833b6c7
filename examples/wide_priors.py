# %% [markdown]
# # Wide priors
#
# The shipped specifications fix most of the lens, as the study does. Here every lens and source is
# different; the example looks at what that does to the S/N of the substructure.

# %%
import numpy as np

import lenssim

IMAGES = 40  # of each class

narrow = lenssim.load_spec("B")
wide = lenssim.load_spec(
    "B",
    [
        "name=B-varied",  # a name of its own: it is part of the key of every random stream
        "lens.einstein_mass={log_uniform: [5e11, 2e12]}",
        "source.magnitude={uniform: [19, 22]}",
        "source.r_sersic={log_uniform: [0.1, 0.4]}",
        "source.n_sersic={uniform: [0.7, 4]}",
        "substructure.f_sub={log_uniform: [0.005, 0.02]}",
    ],
)

# %% [markdown]
# Every value that was drawn is an attribute of the system, in the units of the
# [columns](../docs/reference/columns.md).

# %%
for spec in (narrow, wide):
    simulations = [lenssim.simulate(spec, "cdm", index) for index in range(IMAGES)]
    radius = [simulation.system.lens_theta_e for simulation in simulations]
    snr = [simulation.substructure_snr for simulation in simulations]
    low, median, high = np.quantile(snr, [0.05, 0.5, 0.95])
    print(
        f"{spec.name}: theta_E {min(radius):.2f} to {max(radius):.2f} arcsec, "
        f"substructure S/N {median:.0f} (5% to 95%: {low:.0f} to {high:.0f})"
    )

# %% [markdown]
# The specification as a file, for `lenssim generate --model wide.yaml`:

# %%
print(wide.to_yaml())
