"""Mass profiles: deflection, its derivatives and its mean over the ring, as pure functions.

ellipticity            axis ratio and angle, and their components
elliptical_power_law   the main halo of the wide specifications
multipole              angular structure of order m = 3 and 4 on top of it
tnfw                   subhalos, truncated NFW
tnfw_table             the same from tables, for the many evaluations of an image
ring_mean              what a mass adds to the radius of the Einstein ring, profile by profile

To add a profile: 1. a module with a scalar function (x, y, parameters) -> (alpha_x, alpha_y),
positions relative to its centre, decorated with `lenssim.compilation.inlined`; 2. its second
derivatives (f_xx, f_xy, f_yy), under the name with `_hessian`; 3. its mean radial deflection over
the ring; 4. a test of each against lenstronomy or an analytic limit.
"""
