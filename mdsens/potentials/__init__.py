"""Potentials: energies with explicit, differentiable parameters."""

from mdsens.potentials.base import LocalHessian, Potential
from mdsens.potentials.smooth import LennardJones, Morse
from mdsens.potentials.soft_sphere import WCA, SoftSphere
from mdsens.potentials.sum import Sum

__all__ = [
    "WCA",
    "LennardJones",
    "LocalHessian",
    "Morse",
    "Potential",
    "SoftSphere",
    "Sum",
]
