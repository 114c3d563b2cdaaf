"""Potentials: energies with explicit, differentiable parameters."""

from mdsens.potentials.base import Blocks, LocalHessian, Potential, Squares, Sum
from mdsens.potentials.behler_parrinello import BehlerParrinello
from mdsens.potentials.eam import EAM
from mdsens.potentials.edip import EDIP
from mdsens.potentials.ionic import BKS, Buckingham
from mdsens.potentials.jaxmd import FromJaxMD, from_jax_md
from mdsens.potentials.pair import PairPotential
from mdsens.potentials.second_moment import FinnisSinclair, Gupta
from mdsens.potentials.site import SitePotential
from mdsens.potentials.smooth import LennardJones, Morse
from mdsens.potentials.soft_sphere import WCA, SoftSphere
from mdsens.potentials.stillinger_weber import StillingerWeber
from mdsens.potentials.tersoff import Tersoff
from mdsens.potentials.zhou import EAMZhou

__all__ = [
    "BKS",
    "EAM",
    "EDIP",
    "WCA",
    "BehlerParrinello",
    "Blocks",
    "Buckingham",
    "EAMZhou",
    "FinnisSinclair",
    "FromJaxMD",
    "Gupta",
    "LennardJones",
    "LocalHessian",
    "Morse",
    "PairPotential",
    "Potential",
    "SitePotential",
    "SoftSphere",
    "Squares",
    "StillingerWeber",
    "Sum",
    "Tersoff",
    "from_jax_md",
]
