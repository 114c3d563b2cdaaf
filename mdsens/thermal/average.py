"""Averages as functions of the parameters: reweighted means whose derivatives are covariances.

A trajectory is distributed by p(x; theta_0) ~ exp(-beta U(x; theta_0)). Then

    <A>(theta) = sum_i w_i A_i(theta) / sum_i w_i,   w_i = exp(-beta (U_i(theta) - U_i(theta_0)))

At theta_0 it is the plain mean, and its derivatives are those of the ensemble's average,

    d<A>/dtheta = <dA/dtheta> - beta (<A dU/dtheta> - <A><dU/dtheta>)

and of every order the formulas with cumulants, by JAX, forward and in reverse. The stationary law is
the fixed point of the thermostat's transitions; this is its implicit derivative. At constant pressure
the enthalpy stands for U, whose P V does not depend on theta.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from mdsens.errors import InputError, NotConverged
from mdsens.linear import require_float64
from mdsens.observables.configuration import is_traced
from mdsens.potentials import Potential
from mdsens.thermal.trajectory import Surroundings, Trajectory

# Below this share of its samples a reweighted trajectory says nothing about other parameters.
LEAST_SHARE = 0.1
# Samples measured at a time.
BATCH = 8

Observable = Callable[..., Any]


def average(
    observable: Observable,
    potential: Potential,
    params: Any,
    trajectory: Trajectory,
    *,
    least: float = LEAST_SHARE,
) -> Any:
    """The average of an observable at `params`, from samples at `trajectory.params`.

    Differentiable in params: grad, jvp, jacfwd, jacrev, hessian, vmap, jit. It has no error bar; for
    numbers to be quoted see `thermal_sensitivity`.

    Args:
        observable: f(potential, params, state) -> array or pytree of arrays, differentiable; `state`
            is a Sample, a configuration with `kt` and `pressure`.
        least: effective share of the samples (Kish: (sum w)^2 / (M sum w^2)) below which there is no
            answer.

    Raises:
        NotConverged: fewer effective samples than that; simulate again at `params`; or an observable
            that is no number at some samples. NaN under jit.
        InputError: the ensemble is not canonical (NVE).
    """
    require_float64(params)
    require_canonical(trajectory)
    found, share = _weighted(observable, potential, params, trajectory)
    enough = share >= least
    if not is_traced(share) and not bool(jax.lax.stop_gradient(enough)):
        raise NotConverged(
            f"average: of {trajectory.shape[0] * trajectory.shape[1]} samples "
            f"{float(jax.lax.stop_gradient(share)):.2%} count at these parameters (limit {least:.0%}); "
            "simulate at them, or at parameters between"
        )
    leaves = jax.tree.leaves(jax.lax.stop_gradient(found))
    numbers = [jnp.all(jnp.isfinite(a)) for a in leaves]
    if not is_traced(numbers) and not all(map(bool, numbers)):
        raise NotConverged(
            "average: the observable is no number at some samples; see where it is defined"
        )
    return jax.tree.map(lambda a: jnp.where(enough & jnp.isfinite(a), a, jnp.nan), found)


def effective_share(potential: Potential, params: Any, trajectory: Trajectory) -> jax.Array:
    """(sum w)^2 / (M sum w^2), (): one at the parameters of the trajectory, 1/M far away."""
    require_canonical(trajectory)
    return _weighted(lambda *_: jnp.zeros(()), potential, params, trajectory)[1]


def require_canonical(trajectory: Trajectory) -> None:
    """Raise InputError where averages do not follow the canonical formulas."""
    if not trajectory.ensemble.is_canonical:
        raise InputError(
            "ensemble: nve: an average at constant energy has no derivative here; use nvt or npt"
        )


def _weighted(
    observable: Observable, potential: Potential, params: Any, trajectory: Trajectory
) -> tuple[Any, jax.Array]:
    known = trajectory.energies[:, trajectory.start :].reshape(-1)
    return _reweighted(
        Partial(observable), potential, params, trajectory.surroundings, trajectory.kept, known
    )


@partial(jax.jit, static_argnames="potential")
def _reweighted(
    observable: Partial,
    potential: Potential,
    params: Any,
    around: Surroundings,
    kept: Any,
    known: Any,
) -> tuple[Any, jax.Array]:
    """The weighted mean, and the effective share of samples `kept` whose energies were `known`."""
    # The list of a sample would be kept for the reverse pass; it is made again instead.
    measure = jax.checkpoint(partial(measured, observable, potential, around))
    values, energies = jax.lax.map(lambda at: measure(params, *at), kept, batch_size=BATCH)
    weights = jax.nn.softmax(-(energies - known) / around.kt)
    share = 1.0 / (len(known) * jnp.sum(weights**2))
    return jax.tree.map(lambda a: jnp.tensordot(weights, a, axes=1), values), share


def measured(
    observable: Observable,
    potential: Potential,
    around: Surroundings,
    params: Any,
    positions: jax.Array,
    cell: jax.Array,
) -> tuple[Any, jax.Array]:
    """An observable and the energy at one sample; NaN where its list does not hold at `params`."""
    state = around.sample(potential, positions, cell)
    known = jax.lax.stop_gradient(params)
    holds = state.neighbors.holds_for(positions, cell, potential.cutoff(known))
    energy = potential.energy(params, positions, cell, state.neighbors)
    values = jax.tree.map(jnp.asarray, observable(potential, params, state))
    return jax.tree.map(lambda a: jnp.where(holds, a, jnp.nan), (values, energy))
