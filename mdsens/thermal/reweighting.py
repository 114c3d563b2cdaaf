"""Trajectories used again at other parameters, and free energies from several.

    F(theta_k) - F(theta_0),   dF/dtheta = <dU/dtheta>

A trajectory serves parameters near its own; where too few of its samples count there, it is simulated
again. Of several trajectories the multistate Bennett acceptance ratio takes all samples for all
differences (Shirts, Chodera, doi:10.1063/1.2978177).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.derivatives.named import replaced, select
from mdsens.equilibrium import Progress
from mdsens.errors import InputError, NotConverged
from mdsens.potentials import Potential
from mdsens.thermal.average import BATCH, LEAST_SHARE, effective_share, measured, require_canonical
from mdsens.thermal.simulate import simulate
from mdsens.thermal.statistics import inefficiency
from mdsens.thermal.trajectory import Sample, Surroundings, Trajectory

# The solution is our own: pymbar switches JAX to double precision by itself, fails where JAX is told not
# to broadcast, and takes half a second to import. The tests hold the two against each other.

# Largest error of a normalisation that the solution may have, and of the neighbours' overlap that
# there has to be.
_SOLVED, _OVERLAP = 1e-8, 0.01
# Steps to the solution: a handful where trajectories overlap, some tens where they hardly do.
_STEPS = 1000


def trajectory_for(
    potential: Potential,
    params: Any,
    trajectory: Trajectory,
    *,
    least: float = LEAST_SHARE,
    progress: Progress | None = None,
) -> Trajectory:
    """The trajectory itself if `average` can use it at `params`, else a new one there.

    The new one begins where the first walker ended, with the same ensemble.

    Args:
        least: the effective share of the samples, between 0 and 1, below which it is made anew.
        progress: as for `simulate`.

    Raises:
        InputError, NotConverged: as `simulate`.
    """
    if float(effective_share(potential, params, trajectory)) >= least:
        return trajectory
    end = trajectory.system.with_positions(trajectory.positions[0, -1])
    end = end.with_cell(trajectory.cells[0, -1])
    return simulate(potential, params, end, trajectory.ensemble, progress=progress)


def energy_slope(name: str) -> Callable[[Potential, Any, Sample], jax.Array]:
    """An observable: dU/d(parameter) at fixed positions, in the parameter's shape.

    Its average is dF/d(parameter), that of the Gibbs energy at constant pressure; the derivatives of
    the average by parameters are the second derivatives of F.
    """

    def slope(potential: Potential, params: Any, state: Sample) -> jax.Array:
        def energy(value: jax.Array) -> jax.Array:
            here = (state.positions, state.cell, state.neighbors)
            return potential.energy(replaced(params, {name: value}), *here)

        return jax.grad(energy)(select(params, [name])[name])

    slope.__name__ = f"energy_slope_{name}"
    return slope


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
        InputError: fewer than two trajectories, or of different systems, temperatures or pressures.
        NotConverged: trajectories that do not overlap; simulate at parameters between.
    """
    _require_alike(trajectories)
    kt = trajectories[0].kt
    parts = [_independent(potential, t, [o.params for o in trajectories]) for t in trajectories]
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
    first = trajectories[0]
    for k, t in enumerate(trajectories):
        same = (t.kt, t.pressure, t.system.species) == (
            first.kt,
            first.pressure,
            first.system.species,
        )
        if not same or type(t.ensemble) is not type(first.ensemble):
            raise InputError(
                f"free_energies: trajectory {k} is of another system, temperature or pressure than the "
                "first; give trajectories that differ in parameters only"
            )


def _independent(potential: Potential, trajectory: Trajectory, states: Sequence[Any]) -> np.ndarray:
    """(K, M) energies at all states' parameters, of as many samples as are independent."""
    rows = np.asarray(_energies(potential, states, trajectory.surroundings, trajectory.kept))
    if not np.all(np.isfinite(rows)):
        raise NotConverged(
            "free_energies: an energy is no number: the range of the potential grows beyond the lists "
            "of a trajectory; give parameters nearer to each other"
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
