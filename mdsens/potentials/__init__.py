"""Potentials: energies with explicit, differentiable parameters."""

from mdsens.potentials.base import Blocks, LocalHessian, Potential, Squares, Sum
from mdsens.potentials.jaxmd import FromJaxMD, from_jax_md
from mdsens.potentials.smooth import LennardJones, Morse
from mdsens.potentials.soft_sphere import WCA, SoftSphere

__all__ = [
    "WCA",
    "Blocks",
    "FromJaxMD",
    "LennardJones",
    "LocalHessian",
    "Morse",
    "Potential",
    "SoftSphere",
    "Squares",
    "Sum",
    "from_jax_md",
]
