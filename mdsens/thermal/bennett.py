"""Free energies from several trajectories, each at parameters of its own.

The multistate Bennett acceptance ratio takes all samples for all differences (Shirts, Chodera,
doi:10.1063/1.2978177).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import InputError, NotConverged
from mdsens.potentials import Potential
from mdsens.thermal.average import BATCH, measured, require_canonical
from mdsens.thermal.ensemble import NPT
from mdsens.thermal.statistics import inefficiency
from mdsens.thermal.trajectory import Surroundings, Trajectory

# The solution is our own: pymbar switches JAX to double precision by itself, fails where JAX is told not
# to broadcast, and takes half a second to import. The tests hold the two against each other.

# Largest error of a normalisation that the solution may have, and of the neighbours' overlap that
# there has to be.
_SOLVED, _OVERLAP = 1e-8, 0.01
# How far a known energy may be from the same one measured again, in k_B T and relative to it.
_KNOWN = 1e-6
# Steps to the solution: a handful where trajectories overlap, some tens where they hardly do.
_STEPS = 1000


@dataclass(frozen=True, eq=False)
class FreeEnergies:
    """Free energies of K states.

    Attributes:
        differences: (K, K) F_l - F_k in row k, column l; energies.
        errors: (K, K) one standard deviation.
        overlap: (K, K) the probability that a sample of state k could be one of l; rows sum to one.
        effective: (K,) independent samples of each trajectory.
    """

    differences: np.ndarray
    errors: np.ndarray
    overlap: np.ndarray
    effective: np.ndarray


def free_energies(potential: Potential, trajectories: Sequence[Trajectory]) -> FreeEnergies:
    """Differences of the free energy between the parameters of trajectories, with errors.

    Samples are thinned to independent ones; errors are the asymptotic ones of the method. At constant
    pressure the Gibbs energy.

    Raises:
        InputError: fewer than two trajectories, or of different systems, temperatures, pressures or
            potentials.
        NotConverged: trajectories that do not overlap; simulate at parameters between.
    """
    _require_alike(trajectories)
    kt = trajectories[0].kt
    states = [t.params for t in trajectories]
    parts = [_independent(potential, k, t, states) for k, t in enumerate(trajectories)]
    counts = np.array([p.shape[1] for p in parts])
    reduced = np.concatenate(parts, axis=1) / kt
    f = _solve(reduced, counts)
    weights = np.exp(_log_weights(f, reduced, counts))
    overlap = (weights @ weights.T) * counts[None, :]
    _require_overlap(overlap)
    _require_solved(weights)
    errors = kt * _errors(weights.T, counts)
    return FreeEnergies(kt * (f[None, :] - f[:, None]), errors, overlap, counts)


def _require_alike(trajectories: Sequence[Trajectory]) -> None:
    if len(trajectories) < 2:
        raise InputError("free_energies: one trajectory has no difference; give two or more")
    for t in trajectories:
        require_canonical(t)
    first = _shared(trajectories[0])
    for k, t in enumerate(trajectories):
        for what, value in _shared(t).items():
            if not _same(value, first[what]):
                raise InputError(
                    f"free_energies: trajectory {k} has not the {what} of the first; give trajectories "
                    "that differ in the values of parameters only"
                )


def _shared(t: Trajectory) -> dict[str, Any]:
    """What trajectories of one family have in common."""
    system, held = t.system, np.asarray(t.system.fixed)
    cell = np.asarray(system.cell)
    if isinstance(t.ensemble, NPT):  # where the volume comes and goes
        cell = cell / abs(np.linalg.det(cell)) ** (1.0 / system.dimension)
    names = jax.tree.structure(t.params)
    return {
        "ensemble": type(t.ensemble),
        "temperature": t.kt,
        "pressure": t.pressure,
        "species": system.species,
        "periodic directions": system.pbc,
        "cell": cell,
        "fixed particles": system.fixed,
        "places of fixed particles": np.asarray(system.positions)[held],
        "names of parameters": names,
        "shapes of parameters": [np.shape(a) for a in jax.tree.leaves(t.params)],
    }


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return np.allclose(one, other, rtol=1e-9, atol=1e-9 * np.max(np.abs(other), initial=0.0))
    return bool(one == other)


def _independent(
    potential: Potential, number: int, trajectory: Trajectory, states: Sequence[Any]
) -> np.ndarray:
    """(K, M) energies at all states' parameters, of as many samples as are independent."""
    rows = np.asarray(_energies(potential, states, trajectory.surroundings, trajectory.kept))
    if not np.all(np.isfinite(rows)):
        raise NotConverged(
            "free_energies: an energy is no number: the range of the potential grows beyond the lists "
            "of a trajectory; give parameters nearer to each other"
        )
    known = trajectory.energies[:, trajectory.start :].reshape(-1)
    off = np.abs(rows[:, number] - known)
    if np.max(off) > _KNOWN * trajectory.kt + _KNOWN * np.max(np.abs(known)):
        raise InputError(
            f"free_energies: trajectory {number} was sampled with another potential: its energies are "
            f"off by {np.max(off):.3g}; give the potential of all trajectories"
        )
    series = rows.reshape(*trajectory.shape, len(states))
    worst = float(np.max(inefficiency(series - series.mean(axis=2, keepdims=True))))
    return rows[:: int(np.ceil(worst))].T


@partial(jax.jit, static_argnames="potential")
def _energies(
    potential: Potential, states: Sequence[Any], around: Surroundings, kept: Any
) -> jax.Array:
    """(M, K) of every sample at all states' parameters."""

    def at_sample(here: Any) -> jax.Array:
        nothing = lambda *_: jnp.zeros(0)  # noqa: E731
        return jnp.stack([measured(nothing, potential, around, p, *here)[1] for p in states])

    return jax.lax.map(at_sample, kept, batch_size=BATCH)


def _log_weights(f: np.ndarray, reduced: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(K, n) log of exp(f_k - u_kn) / sum_l N_l exp(f_l - u_ln)."""
    exponents = f[:, None] - reduced
    return exponents - np.logaddexp.reduce(exponents + np.log(counts)[:, None], axis=0)


def _solve(reduced: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """f (K,), f_0 = 0, of which the weights of every state sum to one, or the nearest that is found.

    The equations are followed, not the function whose minimum they are: energies are large, and in
    their sum over all samples what is left to gain is lost. Newton's step, or that of
    self-consistency, f_k - log sum_n w_kn, which is safe far away, is taken, whichever is better.
    """
    # What all states have in common at a sample has no part in it.
    reduced = reduced - reduced.mean(axis=0)
    f = reduced.mean(axis=1)
    f, weights = f - f[0], np.exp(_log_weights(f, reduced, counts))
    for _ in range(_STEPS):
        if _unsolved(weights) <= 1e-3 * _SOLVED:
            break
        shares = counts[:, None] * weights
        curvature = np.diag(shares.sum(axis=1)) - shares @ shares.T
        slope = shares.sum(axis=1) - counts
        newton = f - np.append(0.0, np.linalg.lstsq(curvature[1:, 1:], slope[1:])[0])
        consistent = f - np.logaddexp.reduce(_log_weights(f, reduced, counts), axis=1)
        tried = [(g - g[0], np.exp(_log_weights(g, reduced, counts))) for g in (newton, consistent)]
        f, weights = min(tried, key=lambda one: _unsolved(one[1]))
    return f


def _unsolved(weights: np.ndarray) -> float:
    """The largest error of a normalisation."""
    return float(np.max(np.abs(weights.sum(axis=1) - 1.0)))


def _require_solved(weights: np.ndarray) -> None:
    if not _unsolved(weights) <= _SOLVED:
        raise NotConverged(
            f"free_energies: weights sum to one but for {_unsolved(weights):.1e} (limit {_SOLVED:g}); "
            "give longer trajectories, or fewer at a time"
        )


def _require_overlap(overlap: np.ndarray) -> None:
    """The states hang together if the chain over them has no second eigenvalue of one."""
    second = np.sort(np.abs(np.linalg.eigvals(overlap)))[-2]
    if 1.0 - second < _OVERLAP:
        raise NotConverged(
            f"free_energies: the trajectories hardly overlap ({1.0 - second:.1e}, limit {_OVERLAP:g}); "
            "simulate at parameters between"
        )


def _errors(weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(K, K) deviations of f_l - f_k, from W (n, K): eq. 8 of the source, in the space of states."""
    left, size, right = np.linalg.svd(weights, full_matrices=False)
    core = np.eye(len(size)) - (size[:, None] * right) @ np.diag(counts) @ (right.T * size)
    covariance = (right.T * size) @ np.linalg.pinv(core, rcond=1e-10) @ (size[:, None] * right)
    variance = np.diag(covariance)
    return np.sqrt(np.maximum(variance[:, None] + variance[None, :] - 2.0 * covariance, 0.0))
