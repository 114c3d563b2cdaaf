"""Short lists taken from long ones inside compiled code."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.neighbors import NoPairs, count_nearby, nearby, pair_list
from tests.neighbors.cells import CELLS, listed

short = partial(jax.jit, static_argnames="room")(nearby)


def wide(kind: str):
    system, radius = CELLS[kind]
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 1.5 * radius))
    return system, jnp.asarray(system.positions), jnp.asarray(system.cell), radius, pairs


@pytest.mark.parametrize("kind", ["square", "triclinic", "fcc, one atom"])
def test_holds_what_is_near_and_nothing_else(kind: str):
    system, x, h, radius, pairs = wide(kind)
    reach = jnp.where(pairs.i % 2 == 0, 0.8, 1.0) * radius
    slack = 0.1 * radius
    found = short(pairs, x, h, reach, slack, radius, room=len(pairs.valid))
    distance = np.asarray(pairs.distances(x, h))
    near = np.asarray(pairs.valid & (distance <= reach + slack))
    assert 0 < near.sum() < np.asarray(pairs.valid).sum()
    assert int(count_nearby(pairs, x, h, reach + slack)) == near.sum() == np.sum(found.valid)
    for name in ("i", "j", "shift"):
        kept = np.asarray(getattr(found, name))[: near.sum()]
        assert np.array_equal(kept, np.asarray(getattr(pairs, name))[near])
    assert not found.overflow and float(found.radius) == pytest.approx(1.1 * radius)
    assert bool(found.holds_for(x, h, radius))


def test_lacks_no_pair_while_it_holds(rng: np.random.Generator):
    system, x, h, radius, pairs = wide("square")
    reach = jnp.full(pairs.valid.shape, radius)
    found = short(pairs, x, h, reach, 0.2 * radius, radius, room=len(pairs.valid))
    held = 0
    for size in np.linspace(0.01, 0.15, 12) * radius:
        there = x + size * rng.uniform(-1.0, 1.0, x.shape)
        if found.holds_for(there, h, radius):
            held += 1
            exact = pair_list(system.with_positions(np.asarray(there)), radius)
            expected = listed(exact, there, h, radius)
            assert set(expected) <= set(listed(found, there, h, radius))
    assert 3 < held < 12


def test_lack_of_room_is_told():
    _, x, h, radius, pairs = wide("square")
    reach = jnp.full(pairs.valid.shape, radius)
    near = int(count_nearby(pairs, x, h, reach))
    assert not short(pairs, x, h, reach, 0.0, radius, room=near).overflow
    assert short(pairs, x, h, reach, 0.0, radius, room=near - 1).overflow


def test_no_pairs_stay_none():
    system, x, h, _, _ = wide("square")
    none = NoPairs().build(system)
    found = short(none, x, h, jnp.zeros(1), 0.0, 0.0, room=16)
    assert not np.any(found.valid) and bool(found.holds_for(x + 5.0, h, 0.0))
