"""What is drawn for each image: the lens, the source, and the substructure.

streams       the random stream of an image
lens_system   what is drawn: the parameters that an image is rendered from
draw          a system from the priors of a specification
vortex        substructure of the axion class
subhalos      substructure of the CDM class
"""

from lenssim.population.draw import draw_system
from lenssim.population.lens_system import LensSystem
from lenssim.population.streams import GroupStreams, random_stream
from lenssim.population.subhalos import subhalo_masses
from lenssim.population.vortex import vortex_as_point_masses

__all__ = [
    "GroupStreams",
    "LensSystem",
    "draw_system",
    "random_stream",
    "subhalo_masses",
    "vortex_as_point_masses",
]
