"""Vibrations of all particles of a relaxed state: modes, participation ratios, density of states.

    H e_m = lambda_m e_m,    omega_m = sqrt(lambda_m)    (all masses one)

on the complement of rigid motions, fixed particles and rattlers. An eigenvalue below zero, at a
saddle, is reported as a negative frequency -sqrt(-lambda).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.derivatives.linearization import Linearization, linearize
from mdsens.equilibrium import search
from mdsens.errors import InputError, NotConverged
from mdsens.linear import SparseFactor
from mdsens.linear.lanczos import largest_eigenpairs
from mdsens.potentials import Potential
from mdsens.system import System
from mdsens.vibrations.density import DensityOfStates

# Up to this many unknowns all modes are had from the dense matrix.
_DENSE = 6000
# The dense route to a few modes, below which the factorisation is not worth its overhead.
_SMALL = 1000
_RTOL = 1e-10
_TOL = 1e-10


@dataclass(frozen=True, eq=False)
class Modes:
    """Vibrational modes, lowest first.

    Attributes:
        eigenvalues: (k,) of the Hessian, energy/length^2.
        vectors: (k, N, d) unit eigenvectors; zero on rattlers and fixed particles.
        removed: degrees of freedom that are no vibrations.
    """

    eigenvalues: np.ndarray
    vectors: np.ndarray
    removed: int

    @property
    def frequencies(self) -> np.ndarray:
        """(k,) omega, signed."""
        return np.sign(self.eigenvalues) * np.sqrt(np.abs(self.eigenvalues))

    @property
    def participation(self) -> np.ndarray:
        """(k,) p = (sum_i e_i^2)^2 / (N sum_i e_i^4): 1 for a plane wave of equal amplitudes, 1/N
        for one particle moving alone."""
        weights = np.sum(self.vectors**2, axis=2)
        n = self.vectors.shape[1]
        return np.sum(weights, axis=1) ** 2 / (n * np.sum(weights**2, axis=1))

    def eigenvalue(self, m: int) -> Callable[[Potential, Any, Any], jax.Array]:
        """lambda_m as an observable for `sensitivity`: e_m . H(x, theta) e_m with e_m held.

        For a simple eigenvalue the derivative of e_m drops out (Hellmann, Feynman), so that
        sensitivity's derivative is d(lambda_m)/d(parameter) in total. In a degenerate subspace
        single eigenvalues have no derivative, and this gives that of one arbitrary vector.
        """
        vector = jnp.asarray(self.vectors[m])

        def eigenvalue(potential: Potential, params: Any, state: Any) -> jax.Array:
            def gradient(x: jax.Array) -> jax.Array:
                return jax.grad(potential.energy, argnums=1)(params, x, state.cell, state.neighbors)

            return jnp.sum(vector * jax.jvp(gradient, (state.positions,), (vector,))[1])

        eigenvalue.__name__ = f"eigenvalue_{m}"
        return eigenvalue


def modes(
    potential: Potential,
    params: Any,
    system: System,
    k: int | None = None,
    **relax_options: Any,
) -> Modes:
    """The k lowest vibrational modes of the minimum next to `system`, all of them if k is None.

    Args:
        potential, params, system, **relax_options: as for `relax`.
        k: how many. A few of many: block Lanczos on the sparse inverse, to 1e-10 relative.

    Raises:
        InputError: k is not positive, or all modes of more than 6000 degrees of freedom are asked
            for (see `density_of_states`).
        NotConverged: the state was not relaxed.
    """
    if k is not None and k < 1:
        raise InputError(f"modes: k = {k}; it must be positive")
    line = _line(potential, params, system, relax_options)
    n, d = line.setting.positions.shape
    if k is None or n * d <= _SMALL:
        values, vectors = _all_modes(line)
    else:
        values, vectors = _few_modes(line, k)
    kept = slice(None, k)
    return Modes(values[kept], vectors.T[kept].reshape(-1, n, d), n * d - _rank(line))


def density_of_states(
    potential: Potential,
    params: Any,
    system: System,
    *,
    moments: int = 400,
    probes: int = 16,
    points: int = 400,
    seed: int = 0,
    **relax_options: Any,
) -> DensityOfStates:
    """D(omega) of the minimum next to `system` by the kernel polynomial method, for any number of
    particles.

    D(omega) = 2 omega rho(omega^2), rho expanded in Chebyshev polynomials of H with Jackson's
    damping, their moments from random probes: `moments` x `probes` products with H and no
    eigenvalue. Relative noise about 1/sqrt(probes n), resolution pi lambda_max/(2 moments).

    Args:
        potential, params, system, **relax_options: as for `relax`.
        moments: of the expansion.
        probes: random vectors.
        points: of the frequency grid.
        seed: of the probes.

    Weisse, Wellein, Alvermann, Fehske 2006, doi:10.1103/RevModPhys.78.275.
    """
    line = _line(potential, params, system, relax_options)
    top = 1.02 * line.largest
    mu = _moments(line, top, moments, probes, seed)
    mu = mu * _jackson(moments)
    frequencies = np.sqrt(top) * (np.arange(points) + 0.5) / points
    x = 2.0 * frequencies**2 / top - 1.0
    series = np.cos(np.arange(moments)[:, None] * np.arccos(x)[None])
    rho = (mu[0] + 2.0 * mu[1:] @ series[1:]) / (np.pi * np.sqrt(1.0 - x**2)) * 2.0 / top
    return DensityOfStates(frequencies, 2.0 * frequencies * rho, np.pi * top / (2.0 * moments))


def _line(potential: Potential, params: Any, system: System, options: Any) -> Linearization:
    found = search(potential, params, system, **options)
    if found.why:
        raise NotConverged(f"modes: {found.why}")
    solver = "sparse" if potential.is_local else "auto"
    # A cell that was relaxed is held while the particles vibrate.
    problem = replace(found.problem, cell_mode="fixed")
    return linearize(problem, found.setting, solver, _RTOL)


def _rank(line: Linearization) -> int:
    mask, basis = np.asarray(line.projector.mask), np.asarray(line.projector.basis)
    return round(float(np.sum(mask) - np.sum(basis**2)))


def _all_modes(line: Linearization) -> tuple[np.ndarray, np.ndarray]:
    if line.operator.size > _DENSE:
        raise InputError(
            f"modes: all modes of {line.operator.size} degrees of freedom; ask for the lowest k, "
            "or for density_of_states"
        )
    matrix = line.operator.matrix
    h = np.asarray(line.operator.dense()) if matrix is None else matrix.toarray()
    removed = np.eye(len(h)) - line.project(np.eye(len(h)))
    # What is removed goes above everything that vibrates.
    top = 4.0 * max(line.largest, np.abs(h).sum(axis=1).max())
    values, vectors = np.linalg.eigh(line.project(line.project(h).T) + top * removed)
    return values[: _rank(line)], vectors[:, : _rank(line)]


def _few_modes(line: Linearization, k: int) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(line.solver, SparseFactor) or line.solver.inertia != 0:
        raise InputError(
            "modes: a few modes of many need a stable state of a potential with local terms; "
            "ask for all of them (k = None)"
        )
    inverse, vectors = largest_eigenpairs(
        line.solver.apply, line.project, line.operator.size, min(k, _rank(line)), _TOL, 0, 200
    )
    return 1.0 / inverse, vectors


def _moments(line: Linearization, top: float, count: int, probes: int, seed: int) -> np.ndarray:
    """(count,) Tr T_m(2 H / top - 1) / rank, estimated with random signs."""

    def product(x: np.ndarray) -> np.ndarray:
        return line.project(2.0 / top * _applied(line, x) - x)

    n = line.operator.size
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(n, probes))
    before = line.project(signs)
    weight = float(np.sum(before * before))
    here = product(before)
    mu = np.empty(count)
    mu[0], mu[1] = 1.0, float(np.sum(before * here)) / weight
    start = before
    for m in range(2, count):
        before, here = here, 2.0 * product(here) - before
        mu[m] = float(np.sum(start * here)) / weight
    return mu


def _applied(line: Linearization, x: np.ndarray) -> np.ndarray:
    matrix = line.operator.matrix
    return np.asarray(line.operator.columns(jnp.asarray(x))) if matrix is None else matrix @ x


def _jackson(count: int) -> np.ndarray:
    m = np.arange(count)
    q = np.pi / (count + 1)
    return ((count - m + 1) * np.cos(q * m) + np.sin(q * m) / np.tan(q)) / (count + 1)
