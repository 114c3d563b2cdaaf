"""Who is held by d + 1 contacts, when those that are not have gone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.gauge import rattlers
from mdsens.neighbors import Pairs, pair_list
from mdsens.potentials import SoftSphere
from tests.examples import make


def bonds(n: int, *pairs: tuple[int, int], room: int = 40) -> Pairs:
    """A list of contacts by name; places do not matter."""
    i, j = np.pad(np.array(pairs, int).reshape(-1, 2).T, ((0, 0), (0, room - len(pairs))))
    return Pairs(
        jnp.asarray(i), jnp.asarray(j), jnp.zeros((room, 2), jnp.int32),
        jnp.arange(room) < len(pairs), jnp.asarray(1.0), jnp.zeros((n, 2)), jnp.eye(2),
        jnp.asarray(False), jnp.zeros(n, jnp.int32), ("X",),
    )  # fmt: skip


def loose(n: int, *pairs: tuple[int, int], fixed=(), d: int = 2) -> list[int]:
    held = jnp.asarray(np.isin(np.arange(n), list(fixed)))
    listed = bonds(n, *pairs)
    found = jax.jit(rattlers, static_argnums=3)(listed, listed.valid, held, d)
    return np.flatnonzero(found).tolist()


CLIQUE = [(i, j) for i in range(5) for j in range(i)]  # everybody touches four others


def test_enough_contacts_hold():
    assert loose(5, *CLIQUE, d=2) == []
    assert loose(5, *CLIQUE, d=3) == []
    assert loose(4, *[p for p in CLIQUE if 4 not in p], d=2) == []
    assert loose(4, *[p for p in CLIQUE if 4 not in p], d=3) == [0, 1, 2, 3]


def test_nobody_is_held_by_nobody():
    assert loose(3) == [0, 1, 2]


def test_one_after_another_falls():
    # A ladder leaning on the clique: each rung has three contacts while the next one is there.
    ladder = [(5, 0), (5, 1), (5, 6), (6, 1), (6, 7), (7, 2), (7, 8), (8, 4)]
    assert loose(9, *CLIQUE, *ladder) == [5, 6, 7, 8]
    # One more contact at its end and all of it stands.
    assert loose(9, *CLIQUE, *ladder, (0, 8)) == []


def test_a_long_chain_falls_to_its_end():
    n = 30
    chain = [(k, k + 1) for k in range(n - 1)]
    ties = [(k, n + k % 5) for k in range(n - 1)]
    clique = [(n + i, n + j) for i, j in CLIQUE]
    # All but the last have three contacts; two suffice for nobody.
    listed = bonds(n + 5, *chain, *ties, *clique, (0, n + 1), room=80)
    found = rattlers(listed, listed.valid, jnp.zeros(n + 5, bool), 2)
    assert np.flatnonzero(found).tolist() == list(range(n))


def test_fixed_particles_are_walls():
    # One particle on three walls stands, on two it falls; walls are never removed.
    assert loose(4, (0, 1), (0, 2), (0, 3), fixed=(1, 2, 3)) == []
    assert loose(4, (0, 1), (0, 2), fixed=(1, 2, 3)) == [0]


def test_images_of_oneself_count_twice():
    # A disc in a cell too small for it touches itself to the left and to the right.
    assert loose(1, (0, 0), d=2) == [0]
    assert loose(1, (0, 0), (0, 0), d=2) == []
    system = make(np.zeros((1, 2)), np.eye(2), (True, True))
    for diameter, expected in ((0.99, [True]), (1.01, [False])):
        params = SoftSphere().parameters(system, diameter=diameter)
        pairs = jax.tree.map(jnp.asarray, pair_list(system, 1.2))
        contacts = SoftSphere().contacts(params, jnp.zeros((1, 2)), jnp.eye(2), pairs)
        assert rattlers(pairs, contacts, jnp.zeros(1, bool), 2).tolist() == expected


def test_contacts_that_are_none_do_not_hold():
    listed = bonds(5, *CLIQUE)
    nothing = jnp.zeros_like(listed.valid)
    assert np.all(rattlers(listed, nothing, jnp.zeros(5, bool), 2))


@pytest.mark.parametrize("seed", range(5))
def test_against_taking_away_one_by_one(seed: int):
    rng = np.random.default_rng(seed)
    n = 25
    pairs = {tuple(sorted(p)) for p in rng.integers(0, n, (38, 2)) if p[0] != p[1]}
    fixed = set(rng.choice(n, 2).tolist())
    alive = set(range(n))
    while True:
        degree = {k: sum(k in p and set(p) <= alive for p in pairs) for k in alive - fixed}
        weak = [k for k, number in degree.items() if number < 3]
        if not weak:
            break
        alive.remove(weak[0])
    assert loose(n, *pairs, fixed=fixed) == sorted(set(range(n)) - alive)
