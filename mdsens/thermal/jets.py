"""Values and slopes by the parameters at every sample: all that estimates and their errors are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial

from mdsens.derivatives.named import replaced, select
from mdsens.equilibrium import Progress
from mdsens.potentials import Potential
from mdsens.thermal.average import BATCH, measured
from mdsens.thermal.trajectory import Surroundings, Trajectory

# Samples between two calls of `progress`; the last ones are filled up to a multiple of the second
# number, so that trajectories of other lengths need no other program.
_PIECE, _ROUND = 256, 64


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
    functions: Sequence[Partial],
    potential: Potential,
    wrt: Sequence[str],
    trajectory: Trajectory,
    progress: Progress | None = None,
) -> Jets:
    """Of functions (potential, params, sample) -> pytree, one after the other, by parameters `wrt`."""
    tell = progress or (lambda *_: None)
    samples = (*trajectory.kept, trajectory.sampled_kt)
    around, names = trajectory.surroundings, tuple(wrt)
    parts = []
    count = len(samples[0])
    for k in range(0, count, _PIECE):
        tell("measure", k, count, "")
        taken = np.arange(k, min(k + _PIECE, count))
        rows = np.pad(taken, (0, -len(taken) % _ROUND), mode="edge")
        found = _at_samples(
            tuple(functions), potential, names, around, tuple(a[rows] for a in samples)
        )
        parts.append([np.asarray(a)[: len(taken)] for a in found])
    values, slopes = (
        np.concatenate(part).reshape(*trajectory.shape, *part[0].shape[1:])
        for part in zip(*parts, strict=True)
    )
    return Jets(values[..., :-1], slopes[..., :-1, :], slopes[..., -1, :])


@partial(jax.jit, static_argnames=("potential", "names"))
def _at_samples(
    functions: tuple[Partial, ...],
    potential: Potential,
    names: tuple[str, ...],
    around: Surroundings,
    piece: tuple[jax.Array, ...],
) -> tuple[jax.Array, jax.Array]:
    """Values (M, k + 1), of which the energy is the last, and their slopes (M, k + 1, p)."""
    # A list: a dict would be flattened in alphabetical order.
    theta, parts = ravel_pytree(list(select(around.params, list(names)).values()))

    def rows(*args: Any) -> jax.Array:
        return ravel_pytree([f(*args) for f in functions])[0]

    def at_sample(here: Any) -> tuple[jax.Array, ...]:
        *place, kt = here
        there = replace(around, kt=kt)

        def everything(t: jax.Array) -> jax.Array:
            params = replaced(around.params, dict(zip(names, parts(t), strict=True)))
            values, energy = measured(rows, potential, there, params, *place)
            return jnp.append(values, energy)

        value = everything(theta)
        if not names:
            return (value,)
        cheaper = jax.jacfwd if theta.size <= value.size else jax.jacrev
        return value, cheaper(everything)(theta)

    values, *slopes = jax.lax.map(at_sample, piece, batch_size=BATCH)
    return values, slopes[0] if slopes else jnp.zeros((*values.shape, 0))
