"""Averages over the Brillouin zone."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from mdsens.errors import InputError
from mdsens.potentials import Potential
from mdsens.vibrations.density import DensityOfStates
from mdsens.vibrations.phonons import phonon_frequencies


def monkhorst_pack(mesh: tuple[int, ...]) -> np.ndarray:
    """(n_1 n_2 ..., d) wave vectors (2 k - n - 1)/(2 n), k = 1 ... n, along each direction.

    Even n leave q = 0 out, odd n have it. The k-th from the front is minus the k-th from the back.

    Raises:
        InputError: a number that is not positive.

    Source: Monkhorst, Pack, doi:10.1103/PhysRevB.13.5188.
    """
    if not mesh or min(mesh) < 1:
        raise InputError(f"phonons: mesh {tuple(mesh)}; every number must be positive")
    return np.array(list(product(*((2.0 * np.arange(n) - n + 1.0) / (2.0 * n) for n in mesh))))


def half_zone(mesh: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(q, weights): one of each q and -q of a mesh, which have the same frequencies; weights add up
    to one. Arguments and errors as for `monkhorst_pack`."""
    q = monkhorst_pack(mesh)
    half = q[: (len(q) + 1) // 2]
    weights = np.full(len(half), 2.0 / len(q))
    weights[len(q) // 2 :] = 1.0 / len(q)
    return half, weights


def phonon_dos(
    potential: Potential,
    params: Any,
    state: Any,
    mesh: tuple[int, ...],
    masses: Any = None,
    *,
    units: str | None = None,
    points: int = 400,
    width: float | None = None,
) -> DensityOfStates:
    """The density of phonon frequencies on a mesh of wave vectors, normalised to one.

    D(omega) = sum_qm g(omega - omega_qm) / (N d Q), g a Gaussian.

    Args:
        potential, params, state, masses, units: as for `phonon_frequencies`.
        mesh: numbers of wave vectors along the d reciprocal lattice vectors (`monkhorst_pack`);
            1 along directions that are not periodic. 20 and more for curves, 8 for averages.
        points: of the frequency grid, which extends by five widths beyond all frequencies.
        width: standard deviation of g, in units of frequencies; 1/100 of the highest if None.

    Raises:
        InputError: as for `phonon_frequencies`, or a mesh or width that is not positive.
    """
    half, weight = half_zone(mesh)
    found = np.asarray(phonon_frequencies(potential, params, state, half, masses, units=units))
    weights = np.repeat(weight[:, None], found.shape[1], axis=1) / found.shape[1]
    sigma = float(np.abs(found).max() / 100.0 if width is None else width)
    if sigma <= 0.0:
        raise InputError(f"phonons: width {sigma}; it must be positive")
    grid = np.linspace(min(found.min(), 0.0) - 5.0 * sigma, found.max() + 5.0 * sigma, points)
    density = np.zeros(points)
    # Row by row of the mesh: all distances at once would be points times frequencies.
    for values, weight in zip(found, weights, strict=True):
        reach = (grid[:, None] - values[None]) / sigma
        density += np.exp(-0.5 * reach**2) @ weight
    return DensityOfStates(grid, density / (sigma * np.sqrt(2.0 * np.pi)), sigma)
