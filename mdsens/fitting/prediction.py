"""What a potential predicts for many structures at once, and how that answers to its parameters.

Structures of nearly one size share compiled code: they are padded by ghosts, particles without
pairs, whose own energies are taken off again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import ceil, log
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.neighbors import (
    NoPairs,
    Pairs,
    most_neighbors,
    pair_list,
    places_for,
    room_for,
    tabulated,
)
from mdsens.potentials import Potential
from mdsens.system import System

# Steps in which the radius of lists grows with the cutoff: lists depend on the parameters alone, not
# on those before, so that a fit that goes on after an interruption sums in the same order.
_STEP = 1.1
# Structures at a time, and the parts of a structure's size that may be spent on ghosts.
_AT_ONCE, _PARTS = 8, 4


class Frames(NamedTuple):
    """S structures padded to N particles, an axis of structures in front.

    Attributes:
        positions, cells: (S, N, d), (S, d, d).
        pairs: their lists.
        lone: lists of a single ghost.
        count: (S,) true particles.
    """

    positions: Any
    cells: Any
    pairs: Pairs
    lone: Pairs
    count: Any


class Group(NamedTuple):
    """Structures that are computed at once, and their places among all."""

    places: tuple[int, ...]
    frames: Frames


def reach(potential: Potential, params: Any) -> float:
    """The radius of lists for these parameters: the next power of a step above the cutoff."""
    cutoff = float(potential.cutoff(params))
    return _STEP ** ceil(log(cutoff) / log(_STEP) + 1e-9) if cutoff > 0.0 else 0.0


def grouped(potential: Potential, systems: Sequence[System], radius: float) -> list[Group]:
    """All structures, sorted into groups."""
    names = tuple(sorted({name for system in systems for name in system.type_names}))
    sizes: dict[Any, list[int]] = {}
    for k, system in enumerate(systems):
        n = system.n_particles
        room = room_for(n - 1, _PARTS) if potential.uses_pairs else n
        sizes.setdefault((room, system.dimension), []).append(k)
    return [
        Group(tuple(places), _frames(potential, [systems[k] for k in places], names, radius))
        for places in sizes.values()
    ]


def prediction_size(frames: Frames) -> int:
    """P = 1 + N d + d d: energy per particle, forces, stress."""
    _, n, d = frames.positions.shape
    return 1 + n * d + d * d


def predictions(potential: Potential, params: Any, frames: Frames) -> np.ndarray:
    """(S, P) what the potential says of every structure."""
    return np.asarray(_predictions(potential, params, frames))


def slopes(
    potential: Potential, params: Any, tangents: Any, frames: Frames
) -> tuple[np.ndarray, np.ndarray]:
    """The same and its derivatives along each of k tangents (S, k, P), in forward mode."""
    values, found = _slopes(potential, params, tangents, frames)
    return np.asarray(values), np.asarray(found)


def slope(potential: Potential, params: Any, weights: np.ndarray, frames: Frames) -> Any:
    """The derivative of the sum of all, weighted (S, P), by the parameters, in reverse mode."""
    return jax.tree.map(np.asarray, _slope(potential, params, weights, frames))


@partial(jax.jit, static_argnames="potential")
def _predictions(potential: Potential, params: Any, frames: Frames) -> jax.Array:
    return jax.lax.map(
        lambda frame: _prediction(potential, params, frame), frames, batch_size=_AT_ONCE
    )


@partial(jax.jit, static_argnames="potential")
def _slopes(
    potential: Potential, params: Any, tangents: Any, frames: Frames
) -> tuple[jax.Array, jax.Array]:
    def one(frame: Frames) -> tuple[jax.Array, jax.Array]:
        def of(p: Any) -> jax.Array:
            return _prediction(potential, p, frame)

        return of(params), jax.vmap(lambda t: jax.jvp(of, (params,), (t,))[1])(tangents)

    return jax.lax.map(one, frames, batch_size=_AT_ONCE)


@partial(jax.jit, static_argnames="potential")
def _slope(potential: Potential, params: Any, weights: jax.Array, frames: Frames) -> Any:
    def one(row: tuple[jax.Array, Frames]) -> Any:
        return jax.grad(lambda p: row[0] @ _prediction(potential, p, row[1]))(params)

    each = jax.lax.map(one, (weights, frames), batch_size=_AT_ONCE)
    return jax.tree.map(lambda x: jnp.sum(x, axis=0), each)


def _prediction(potential: Potential, params: Any, frame: Frames) -> jax.Array:
    """(1 + N d + d d,) energy per particle, forces, stress."""
    x, h, pairs = frame.positions, frame.cells, frame.pairs

    def strained(positions: jax.Array, strain: jax.Array) -> jax.Array:
        symmetric = 0.5 * (strain + strain.T)
        return potential.strained_energy(params, positions, h, pairs, symmetric)

    energy, (slope, virial) = jax.value_and_grad(strained, argnums=(0, 1))(x, jnp.zeros_like(h))
    ghost = potential.energy(params, x[-1:], h, frame.lone)
    true = energy - (len(x) - frame.count) * ghost
    stress = virial / jnp.abs(jnp.linalg.det(h))
    return jnp.concatenate([true[None] / frame.count, -slope.ravel(), stress.ravel()])


def _frames(
    potential: Potential, systems: Sequence[System], names: tuple[str, ...], radius: float
) -> Frames:
    size = max(system.n_particles for system in systems)
    if potential.uses_pairs:
        size = room_for(size - 1, _PARTS)
    lists = [_list(potential, system, names, radius, size) for system in systems]
    room = max(len(p.valid) for p in lists)
    width = max(0 if p.table is None else p.table.shape[1] for p in lists)
    alike = [
        Frames(
            p.reference_positions, p.reference_cell, p.widened(room, width), _lone(p),
            np.int64(system.n_particles),
        )
        for system, p in zip(systems, lists, strict=True)
    ]  # fmt: skip
    return jax.tree.map(lambda *leaves: np.stack(leaves), *alike)


def _list(
    potential: Potential, system: System, names: tuple[str, ...], radius: float, size: int
) -> Pairs:
    """The list of a structure and its ghosts, which stand where the last particle stands."""
    more = size - system.n_particles
    pairs = pair_list(system, radius) if potential.uses_pairs else NoPairs().build(system)
    types = np.array([names.index(s) for s in system.species], dtype=np.int32)
    positions = np.pad(np.asarray(system.positions, float), ((0, more), (0, 0)), mode="edge")
    pairs = replace(
        pairs,
        reference_positions=positions,
        types=np.pad(types, (0, more), mode="edge"),
        type_names=names,
    )
    pairs = jax.tree.map(np.asarray, pairs)
    if potential.uses_sites:
        here = (positions, pairs.reference_cell)
        most = int(most_neighbors(pairs, *here, radius))
        pairs = tabulated(pairs, *here, radius, places_for(most, size))
    return jax.tree.map(np.asarray, pairs)


def _lone(pairs: Pairs) -> Pairs:
    """A list of the last particle alone."""
    nobody, d = np.zeros(1, np.int32), pairs.shift.shape[1]
    return replace(
        pairs, i=nobody, j=nobody, shift=np.zeros((1, d), np.int32), valid=np.zeros(1, bool),
        reference_positions=pairs.reference_positions[-1:], types=pairs.types[-1:],
        table=None if pairs.table is None else np.full((1, 4), -1),
    )  # fmt: skip
