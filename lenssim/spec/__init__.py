"""The specification of a data set.

schema     every key, readable in one sitting
priors     a number, or the distribution that it is drawn from
loading    reading specifications, and what is wrong with one in a sentence
shipped/   the specifications that come with the package
"""

from lenssim.spec.loading import load_spec, shipped_specs, spec_from_mapping
from lenssim.spec.priors import Prior, poisson_bound
from lenssim.spec.schema import (
    CLASSES,
    MAX_SUBHALOS,
    NAME_PATTERN,
    NAME_RULE,
    SPLITS,
    Cosmology,
    Instrument,
    Sampling,
    Specification,
    Split,
    Subhalos,
    SubstructureClass,
)

__all__ = [
    "CLASSES",
    "MAX_SUBHALOS",
    "NAME_PATTERN",
    "NAME_RULE",
    "SPLITS",
    "Cosmology",
    "Instrument",
    "Prior",
    "Sampling",
    "Specification",
    "Split",
    "Subhalos",
    "SubstructureClass",
    "load_spec",
    "poisson_bound",
    "shipped_specs",
    "spec_from_mapping",
]
