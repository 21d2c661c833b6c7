"""The specification of a data set.

schema           a whole specification, and what must fit together in it
lens_and_source  the main halo and the source behind it
source_images    pictures of galaxies that sources are made of
substructure     what the halos of the classes axion and cdm hold
selection        which of the lenses and sources that are drawn become images
instrument       detector, PSF and exposure
distributions    what priors are drawn from
priors           a number, or the distribution that it is drawn from
quantities       names and ranges
section          what every part has in common; the keys that 1.0.0 did not have
loading          reading specifications, and what is wrong with one in a sentence
shipped/         the specifications that come with the package
"""

from lenssim.spec.instrument import Instrument
from lenssim.spec.lens_and_source import Lens, Source
from lenssim.spec.loading import load_spec, shipped_specs, spec_from_mapping
from lenssim.spec.priors import Prior, poisson_bound
from lenssim.spec.quantities import (
    CLASSES,
    GROUP_CLASSES,
    MAX_SUBHALOS,
    NAME_PATTERN,
    NAME_RULE,
    SPLITS,
    UNLABELLED,
    Split,
    SubstructureClass,
    label_of,
)
from lenssim.spec.schema import Cosmology, Sampling, Specification
from lenssim.spec.selection import Selection
from lenssim.spec.source_images import SourceImages
from lenssim.spec.substructure import Subhalos

__all__ = [
    "CLASSES",
    "GROUP_CLASSES",
    "MAX_SUBHALOS",
    "NAME_PATTERN",
    "NAME_RULE",
    "SPLITS",
    "UNLABELLED",
    "Cosmology",
    "Instrument",
    "Lens",
    "Prior",
    "Sampling",
    "Selection",
    "Source",
    "SourceImages",
    "Specification",
    "Split",
    "Subhalos",
    "SubstructureClass",
    "label_of",
    "load_spec",
    "poisson_bound",
    "shipped_specs",
    "spec_from_mapping",
]
