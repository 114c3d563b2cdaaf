"""Potentials: energies with explicit, differentiable parameters."""

from mdsens.potentials.base import Blocks, LocalHessian, Potential, Squares, Sum
from mdsens.potentials.edip import EDIP
from mdsens.potentials.jaxmd import FromJaxMD, from_jax_md
from mdsens.potentials.site import SitePotential
from mdsens.potentials.smooth import LennardJones, Morse
from mdsens.potentials.soft_sphere import WCA, SoftSphere
from mdsens.potentials.stillinger_weber import StillingerWeber
from mdsens.potentials.tersoff import Tersoff

__all__ = [
    "EDIP",
    "WCA",
    "Blocks",
    "FromJaxMD",
    "LennardJones",
    "LocalHessian",
    "Morse",
    "Potential",
    "SitePotential",
    "SoftSphere",
    "Squares",
    "StillingerWeber",
    "Sum",
    "Tersoff",
    "from_jax_md",
]
