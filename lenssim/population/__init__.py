"""What is drawn for each image: the lens, the source, and the substructure.

streams          the random stream of an image
lens_system      what is drawn: the parameters that an image is rendered from
lens_and_source  the lens without its substructure, and the source
masses           mass in substructure; Einstein radii of masses
selection        which lenses and sources become images
draw             a system from the priors of a specification
ring             the size of the Einstein ring, which must not tell the class
vortex           substructure of the axion class
subhalos         substructure of the CDM class
"""

from lenssim.population.draw import draw_system
from lenssim.population.lens_system import LensSystem, replaced
from lenssim.population.streams import GroupStreams, random_stream
from lenssim.population.subhalos import subhalo_masses
from lenssim.population.vortex import vortex_as_point_masses

__all__ = [
    "GroupStreams",
    "LensSystem",
    "draw_system",
    "random_stream",
    "replaced",
    "subhalo_masses",
    "vortex_as_point_masses",
]
