"""Pair potentials once more, from their equations, in NumPy alone; complex numbers differentiate them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mdsens.system import System
from tests.neighbors.cells import every_pair


def soft_sphere(r, p):
    overlap = 1 - r / p["diameter"]
    return p["epsilon"] / p["alpha"] * overlap ** p["alpha"] if overlap.real > 0 else 0.0 * r


def lennard_jones(r, p):
    s = p["sigma"] / r
    return 4 * p["epsilon"] * (s**12 - s**6)


def lennard_jones_slope(r, p):
    s = p["sigma"] / r
    return 4 * p["epsilon"] * (-12 * s**12 + 6 * s**6) / r


def morse(r, p):
    return p["D0"] * ((1 - np.exp(-p["alpha"] * (r - p["r0"]))) ** 2 - 1)


def morse_slope(r, p):
    x = np.exp(-p["alpha"] * (r - p["r0"]))
    return 2 * p["alpha"] * p["D0"] * (1 - x) * x


def buckingham(r, p):
    return p["A"] * np.exp(-r / p["rho"]) - p["C"] / r**6


def buckingham_slope(r, p):
    return -p["A"] / p["rho"] * np.exp(-r / p["rho"]) + 6 * p["C"] / r**7


def wca(r, p):
    inside = r.real < 2 ** (1 / 6) * p["sigma"].real
    return lennard_jones(r, p) + p["epsilon"] if inside else 0.0 * r


def cut(bare: Callable, slope: Callable, smoothing: str) -> Callable:
    def energy(r, p):
        rc = p["cutoff"]
        if r.real >= rc.real:
            return 0.0 * r
        if smoothing == "energy_shift":
            return bare(r, p) - bare(rc, p)
        if smoothing == "force_shift":
            return bare(r, p) - bare(rc, p) - (r - rc) * slope(rc, p)
        if smoothing == "xplor" and r.real > p["onset"].real:
            # HOOMD-blue's manual, "Pair Potentials": S(r).
            on, off = p["onset"] ** 2, rc**2
            return bare(r, p) * (off - r**2) ** 2 * (off + 2 * r**2 - 3 * on) / (off - on) ** 3
        return bare(r, p)

    return energy


def of_pair(value: Any, i: int, j: int, species: tuple[str, ...]) -> complex:
    """The parameter of a pair: the number, the table's entry, or the mean of two."""
    if isinstance(value, dict):
        a, b = species[i], species[j]
        if a in value:
            return (value[a] + value[b]) / 2
        return value[f"{a}-{b}"] if f"{a}-{b}" in value else value[f"{b}-{a}"]
    if np.ndim(value):
        return (value[i] + value[j]) / 2
    return value


def vectors(system: System, radius: float) -> list[tuple[int, int, np.ndarray]]:
    """(i, j, r_ij) of every pair of images closer than `radius`."""
    d, x, h = system.dimension, system.positions, system.cell
    return [
        (i, j, x[j] - x[i] + np.array(shift) @ h)
        for i, j, *shift in ((p[0], p[1], *p[2 : 2 + d]) for p in every_pair(system, radius))
    ]


def energy_and_forces(
    energy: Callable, given: dict[str, Any], system: System, radius: float
) -> tuple[complex, np.ndarray, np.ndarray]:
    """(E, forces (N, d), virial sum_pairs r (x) dE/dr (d, d)); E is complex where `given` is."""
    total, step = 0.0 + 0.0j, 1e-100
    forces = np.zeros(system.positions.shape)
    virial = np.zeros(system.cell.shape)
    for i, j, r in vectors(system, radius):
        p = {k: np.complex128(of_pair(v, i, j, system.species)) for k, v in given.items()}
        length = np.linalg.norm(r)
        total += energy(np.complex128(length), p)
        real = {k: np.complex128(v.real) for k, v in p.items()}
        pull = energy(length + 1j * step, real).imag / step * r / length
        forces[i] += pull
        forces[j] -= pull
        virial += np.outer(r, pull)
    return total, forces, virial
