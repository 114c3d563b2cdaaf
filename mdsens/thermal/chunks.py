"""A stretch of dynamics in compiled code, for all walkers, with lists made anew on the way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.thermal.dynamics import Bath, Dynamics, Flow
from mdsens.thermal.lists import Lister


class Watch(NamedTuple):
    """How the lists did.

    Attributes:
        approach: the largest that two particles came closer while a list lasted, over its slack.
        overflow: a list had no room.
    """

    approach: jax.Array
    overflow: jax.Array


@dataclass(frozen=True, eq=False)
class Chunk:
    """A stretch that is done.

    Attributes:
        samples: by name, (W, S, ...); empty for the equilibration.
        state: the leaves of the flow at its end.
        lists: (steps a list lasts, room, width, number of the chunk at whose start the candidates'
            room was made or -1).
    """

    samples: dict[str, np.ndarray]
    state: tuple[np.ndarray, ...]
    lists: tuple[int, int, int, int]


@partial(jax.jit, static_argnames="dynamics")
def begin(
    dynamics: Dynamics, bath: Bath, lister: Lister, positions: jax.Array, keys: jax.Array
) -> Flow:
    """All walkers at the same positions, each with velocities of its own."""
    pairs = lister.listed(dynamics.potential, bath.params, positions, bath.cell)
    return jax.vmap(lambda key: dynamics.begin(bath, key, positions, pairs))(keys)


@partial(jax.jit, static_argnames=("dynamics", "samples"))
def advance(
    dynamics: Dynamics,
    samples: int,
    bath: Bath,
    lister: Lister,
    flow: Flow,
    stride: Any,
    lists: Any,
) -> tuple[Flow, dict[str, jax.Array], Watch]:
    """`samples` times `stride` steps, with `lists` lists for each stride.

    Returns the flow, the samples (W, samples, ...), and how the lists did.
    """
    potential = dynamics.potential

    def listed(flow: Flow) -> Any:
        return lister.listed(potential, bath.params, flow.md.position, dynamics.cell(bath, flow))

    cutoff = potential.cutoff(bath.params)

    def step(carry: Any) -> Any:
        flow, pairs, watch = carry
        flow = dynamics.step(bath, flow, pairs)
        if lister.room is None:
            return flow, pairs, watch
        near = pairs.largest_approach(flow.md.position, dynamics.cell(bath, flow))
        room = pairs.radius - cutoff
        return flow, pairs, watch._replace(approach=jnp.maximum(watch.approach, near / room))

    def stretch(k: Any, carry: Any) -> Any:
        steps = stride * (k + 1) // lists - stride * k // lists
        flow, _, watch = carry = jax.lax.fori_loop(0, steps, lambda _, c: step(c), carry)
        pairs = listed(flow)
        # No room helps particles that are nowhere.
        lost = pairs.overflow & jnp.all(jnp.isfinite(flow.md.position))
        return flow, pairs, watch._replace(overflow=watch.overflow | lost)

    def sample(carry: Any, _: None) -> Any:
        carry = jax.lax.fori_loop(0, lists, stretch, carry)
        flow, pairs, _ = carry
        cell = dynamics.cell(bath, flow)
        energy = potential.energy(bath.params, flow.md.position, cell, pairs)
        return carry, {
            "positions": flow.md.position,
            "cells": cell,
            "energies": energy,
            "temperatures": 2.0 * dynamics.kinetic(flow) / dynamics.freedom,
            "conserved": dynamics.conserved(bath, flow, energy),
        }

    def walk(flow: Flow) -> Any:
        pairs = listed(flow)
        watch = Watch(jnp.zeros(()), jnp.asarray(pairs.overflow))
        (flow, _, watch), taken = jax.lax.scan(sample, (flow, pairs, watch), None, length=samples)
        return flow, taken, watch

    # One walker alone is faster without a batch of one.
    if flow.heat.shape == (1,):
        alone = walk(jax.tree.map(lambda a: a[0], flow))
        return jax.tree.map(lambda a: jnp.asarray(a)[None], alone)
    return jax.vmap(walk)(flow)
