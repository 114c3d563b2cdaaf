"""Disordered crystals for potentials with angles: silicon, and two species that sit anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from mdsens.potentials import EDIP, SitePotential, StillingerWeber, Tersoff
from mdsens.system import System
from tests.examples import make

FCC = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0]]) / 4
DIAMOND = np.vstack([FCC, FCC + 0.25])

SW_SILICON = {
    "epsilon": 2.1683, "sigma": 2.0951, "a": 1.80, "lambda": 21.0, "gamma": 1.20,
    "costheta0": -1.0 / 3.0, "A": 7.049556277, "B": 0.6022245584, "p": 4.0, "q": 0.0,
}  # fmt: skip
# The set of Phys. Rev. B 39, 5566.
TERSOFF_SILICON = {
    "m": 3.0, "gamma": 1.0, "lambda3": 0.0, "c": 100390.0, "d": 16.217, "costheta0": -0.59825,
    "n": 0.78734, "beta": 1.1e-6, "lambda2": 1.7322, "B": 471.18, "R": 2.85, "D": 0.15,
    "lambda1": 2.4799, "A": 1830.8,
}  # fmt: skip
EDIP_SILICON = {
    "A": 7.9821730, "B": 1.5075463, "cutoffA": 3.1213820, "cutoffC": 2.5609104, "alpha": 3.1083847,
    "beta": 0.0070975, "eta": 0.2523244, "gamma": 1.1247945, "lambda": 1.4533108, "mu": 0.6966326,
    "rho": 1.2085196, "sigma": 0.5774108, "Q0": 312.1341346, "u1": -0.165799, "u2": 32.557,
    "u3": 0.286198, "u4": 0.66,
}  # fmt: skip


def cubic(a: float, cells: int = 1, species: str = "Si") -> System:
    """Diamond, cells^3 cubic cells of eight atoms."""
    corners = np.array(list(product(range(cells), repeat=3)))
    positions = a * (corners[:, None, :] + DIAMOND).reshape(-1, 3)
    return make(
        positions, cells * a * np.eye(3), (True,) * 3, [species] * len(positions), units="metal"
    )


def primitive(a: float) -> System:
    h = 0.5 * a * (1.0 - np.eye(3))
    return make([[0.0] * 3, [a / 4] * 3], h, (True,) * 3, ["Si", "Si"], units="metal")


def disordered(system: System, size: float, seed: int) -> System:
    """Atoms off their sites, in a sheared cell."""
    rng = np.random.default_rng(seed)
    stretch = np.eye(3) + 0.04 * rng.standard_normal((3, 3))
    moved = system.positions + size * rng.uniform(-1.0, 1.0, system.positions.shape)
    return system.with_positions(moved @ stretch).with_cell(system.cell @ stretch)


def mixed(system: System, names: tuple[str, str]) -> System:
    """Every third atom of the second species."""
    species = [names[k % 3 == 0] for k in range(system.n_particles)]
    return make(system.positions, system.cell, system.pbc, species, units="metal")


def per_triple(first: dict[str, float], names: tuple[str, str], change: float) -> dict[str, Any]:
    """Tables whose entries differ, but for those of one pair: A-B-B and B-A-A."""

    def factor(triple: tuple[str, ...], k: int) -> float:
        pair = triple[1] == triple[2]
        which = triple[:2].count(names[1]) if pair else 3 + (triple[0] == names[1])
        return 1.0 + change * np.sin(1.0 + which + k)

    triples = list(product(names, repeat=3))
    return {
        name: value if name in ("m", "q") else {"-".join(t): value * factor(t, k) for t in triples}
        for k, (name, value) in enumerate(first.items())
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Crystal:
    """A potential with parameters as given, a configuration, and LAMMPS' name for the potential."""

    potential: SitePotential
    given: dict[str, Any]
    system: System
    style: str

    @property
    def params(self) -> dict[str, Any]:
        return self.potential.parameters(self.system, **self.given)


@cache
def crystals() -> dict[str, Crystal]:
    silicon = disordered(cubic(5.43), 0.15, 1)
    small = disordered(primitive(5.43), 0.1, 2)
    two = disordered(mixed(cubic(4.9), ("Si", "C")), 0.1, 3)
    sw, tersoff, edip = StillingerWeber(), Tersoff(), EDIP()
    short = {**SW_SILICON, "tol": 1e-4}
    other = per_triple({**SW_SILICON, "sigma": 1.9}, ("Si", "C"), 0.03)
    mild = {**TERSOFF_SILICON, "lambda3": 1.1, "c": 4.8, "d": 2.0, "costheta0": 0.1, "beta": 0.3}
    third = per_triple({**mild, "R": 2.6}, ("Si", "C"), 0.03)
    return {
        "sw, silicon": Crystal(sw, short, silicon, "sw"),
        "sw, two atoms": Crystal(sw, SW_SILICON, small, "sw"),
        "sw, two species": Crystal(sw, other, two, "sw"),
        "tersoff, silicon": Crystal(tersoff, TERSOFF_SILICON, silicon, "tersoff"),
        "tersoff, two species": Crystal(tersoff, third, two, "tersoff"),
        "tersoff, m = 1": Crystal(tersoff, {**mild, "m": 1.0}, small, "tersoff"),
        "edip, silicon": Crystal(edip, EDIP_SILICON, silicon, "edip/multi"),
        "edip, two atoms": Crystal(edip, EDIP_SILICON, small, "edip/multi"),
    }
