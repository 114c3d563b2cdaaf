"""Crystals with few atoms per cell, shared by the tests of vibrations."""

from __future__ import annotations

from functools import cache

import numpy as np

from mdsens.potentials import LennardJones, StillingerWeber
from mdsens.system import System
from tests.examples import Example, make
from tests.potentials.crystals import SW_SILICON, primitive

SILICON = primitive(5.43094978)


def fcc(a: float, species: str = "X", units: str = "reduced") -> System:
    return make(np.zeros((1, 3)), 0.5 * a * (1.0 - np.eye(3)), (True,) * 3, [species], units=units)


@cache
def silicon() -> Example:
    potential = StillingerWeber()
    return Example(potential, potential.parameters(SILICON, **SW_SILICON), SILICON)


@cache
def argon() -> Example:
    """One atom per cell, 0.6 of the cutoff away from its nearest image."""
    system, potential = fcc(1.56), LennardJones(smoothing="force_shift")
    params = potential.parameters(system, epsilon=1.3, sigma=1.0, cutoff=1.9)
    return Example(potential, params, system)
