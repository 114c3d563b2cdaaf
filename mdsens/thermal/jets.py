"""Values and slopes by the parameters at every sample: all that estimates and their errors are of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.equilibrium import Progress
from mdsens.thermal.average import BATCH, measured
from mdsens.thermal.trajectory import Trajectory

# Samples between two calls of `progress`.
_PIECE = 256


@dataclass(frozen=True, eq=False)
class Jets:
    """At W walkers' S samples, for p parameter components.

    Attributes:
        values: (W, S, k).
        slopes: (W, S, k, p) explicit, at fixed positions.
        energy_slopes: (W, S, p) dU/dtheta.
    """

    values: np.ndarray
    slopes: np.ndarray
    energy_slopes: np.ndarray


def jets(
    functions: Callable[..., jax.Array],
    potential: Any,
    with_theta: Callable[[jax.Array], Any],
    theta: jax.Array,
    trajectory: Trajectory,
    progress: Progress | None = None,
) -> Jets:
    """Of a function (potential, params, state) -> (k,), by theta (p,), params = with_theta(theta)."""
    tell = progress or (lambda *_: None)

    def at_sample(here: Any) -> Any:
        def everything(t: jax.Array) -> jax.Array:
            values, energy = measured(functions, potential, trajectory, with_theta(t), *here)
            return jnp.append(values, energy)

        value = everything(theta)
        if not theta.size:
            return (value,)
        cheaper = jax.jacfwd if theta.size <= value.size else jax.jacrev
        return value, cheaper(everything)(theta)

    evaluate = jax.jit(partial(jax.lax.map, at_sample, batch_size=BATCH))
    positions, cells = trajectory.kept
    parts = []
    for k in range(0, len(positions), _PIECE):
        tell("measure", k, len(positions), "")
        piece = (positions[k : k + _PIECE], cells[k : k + _PIECE])
        parts.append(jax.tree.map(np.asarray, evaluate(piece)))
    values, *slopes = (
        np.concatenate(part).reshape(*trajectory.shape, *part[0].shape[1:])
        for part in zip(*parts, strict=True)
    )
    slopes = slopes[0] if slopes else np.zeros((*values.shape, 0))
    return Jets(values[..., :-1], slopes[..., :-1, :], slopes[..., -1, :])
