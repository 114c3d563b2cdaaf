"""Every list names the same pairs as plain enumeration, each once, whatever the cell."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.errors import InputError
from mdsens.neighbors import AllPairs, CellList, NoPairs, find_pairs, pair_list
from mdsens.system import System, heights
from tests.examples import make
from tests.neighbors.cells import CELLS, TRICLINIC, every_pair, listed


@pytest.mark.parametrize("kind", CELLS)
def test_the_tree_finds_every_pair_once(kind: str):
    system, radius = CELLS[kind]
    expected = every_pair(system, radius)
    assert len(expected) > 3
    pairs = pair_list(system, radius)
    assert listed(pairs, system.positions, system.cell, radius) == expected
    assert np.sum(pairs.valid) == len(expected)
    assert np.all(pairs.i <= pairs.j)


def test_one_atom_has_half_its_images_for_neighbours():
    system, _ = CELLS["fcc, one atom"]
    for radius, shells in ((1.2, 12), (1.7, 12 + 6), (2.0, 12 + 6 + 24)):
        i, j, shift = find_pairs(system.positions, system.cell, system.pbc, radius)
        assert len(i) == shells // 2
        assert not any((-s).tolist() in shift.tolist() for s in shift)


def test_wrapping_particles_changes_shifts_and_nothing_else(rng: np.random.Generator):
    system, radius = CELLS["triclinic"]
    whole = rng.integers(-4, 5, system.positions.shape)
    moved = system.with_positions(system.positions + whole @ system.cell)
    lengths = [
        np.sort(np.linalg.norm(pair_list(s, radius).vectors(s.positions, s.cell), axis=1))
        for s in (system, moved)
    ]
    np.testing.assert_allclose(*lengths, atol=1e-12)


@pytest.mark.parametrize("place", [0.0, -1e-17, 1.0, 1.0 - 1e-16])
def test_particles_on_the_faces(place: float):
    cell = 3.0 * np.eye(3)
    positions = np.array([[place, place, 0.5], [0.1, 2.9 / 3, 0.5], [0.9, 0.1, 0.4]]) @ cell
    system = make(positions, cell, (True,) * 3)
    pairs = pair_list(system, 1.4)
    assert listed(pairs, positions, cell, 1.4) == every_pair(system, 1.4)


def test_room_to_spare_is_marked():
    system, radius = CELLS["square"]
    pairs = pair_list(system, radius, capacity=100)
    assert pairs.valid.shape == pairs.i.shape == (100,) and pairs.shift.shape == (100, 2)
    assert np.sum(pairs.valid) == len(every_pair(system, radius))
    vectors = np.asarray(pairs.vectors(system.positions, system.cell))
    assert np.all(vectors[~pairs.valid] == 1.0)


def test_absurd_cells_are_refused_with_both_numbers():
    # So many images that their number overflows 64 bits.
    system = make(np.zeros((1, 3)), 1e-8 * np.eye(3), (True,) * 3)
    with pytest.raises(InputError, match=r"range 10 .*units"):
        pair_list(system, 10.0)


def traced(source: AllPairs | CellList, system: System):
    """The list as it is built inside a compiled function."""
    return jax.jit(lambda x, h: source.build(replace(system, positions=x, cell=h)))(
        jnp.asarray(system.positions), jnp.asarray(system.cell)
    )


@pytest.mark.parametrize("kind", CELLS)
def test_all_pairs_are_complete_within_their_radius(kind: str):
    system, radius = CELLS[kind]
    source = AllPairs.sized_for(system)
    pairs = traced(source, system)
    within = min(radius, float(pairs.radius))
    assert listed(pairs, system.positions, system.cell, within) == every_pair(system, within)
    names = np.column_stack([pairs.i, pairs.j, pairs.shift])
    assert len(np.unique(names, axis=0)) == len(names)
    if any(system.pbc):
        shortest = heights(system.cell)[list(system.pbc)].min()
        assert np.isclose(pairs.radius, (source.images + 0.5) * shortest)
    else:
        assert np.isinf(pairs.radius)


def test_all_pairs_are_for_small_systems():
    sizes = [
        AllPairs.sized_for(make(np.zeros((n, 3)), np.eye(3), (True,) * 3)).images
        for n in (1, 20, 300)
    ]
    assert sizes == [3, 2, 0]
    with pytest.raises(InputError, match=r"2001 particles.*neighbor_list"):
        AllPairs.sized_for(make(np.zeros((2001, 2)), np.eye(2), (True,) * 2))


@pytest.fixture
def jax_md_ranks():
    """jax-md's grids lean on the broadcasting that the tests otherwise forbid."""
    with jax.numpy_rank_promotion("allow"):
        yield


def crowd(kind: str) -> System:
    rng = np.random.default_rng(3)
    cell, pbc = {
        "square": (6.0 * np.eye(2), (True,) * 2),
        "oblique": (np.array([[7.0, 1.0], [3.0, 6.0]]), (True,) * 2),
        "triclinic": (2.0 * np.array(TRICLINIC), (True,) * 3),
        "very skewed": (np.array([[7.0, 0, 0], [9, 7, 0], [-6, 7, 7]]), (True,) * 3),
        "slanted slab": (np.array([[9.0, 0, 0], [0, 9, 0], [8.0, 0, 4.0]]), (True, True, False)),
        "wire": (2.0 * np.array(TRICLINIC), (False, False, True)),
        "cluster": (np.eye(3), (False,) * 3),
    }[kind]
    compact = kind in ("slanted slab", "cluster")
    x = rng.random((60, len(cell))) @ (2.0 * np.eye(3) if compact else cell)
    return make(x, cell, pbc)


CROWDS = ("oblique", "triclinic", "very skewed", "slanted slab", "wire", "cluster")


@pytest.mark.parametrize("kind", CROWDS)
def test_an_allocated_list_follows_the_particles(kind: str, rng: np.random.Generator, jax_md_ranks):
    system, radius = crowd(kind), 1.2
    source = CellList.allocate(system, radius)
    # Where it was made, a little further, and several cells away.
    kicks = np.array([0.0, 0.02, 9.0 if all(system.pbc) else 0.2])[:, None, None]
    batch = system.positions + kicks * rng.normal(size=system.positions.shape)
    build = jax.jit(jax.vmap(lambda x: source.build(replace(system, positions=x))))
    lists = build(jnp.asarray(batch))
    for k, positions in enumerate(batch):
        pairs = jax.tree.map(lambda a, k=k: a[k], lists)
        if not bool(pairs.overflow):
            expected = every_pair(system.with_positions(positions), radius)
            assert listed(pairs, positions, system.cell, radius) == expected
    assert not np.any(lists.overflow[:2])


def test_an_allocated_list_follows_the_cell(jax_md_ranks):
    system = crowd("triclinic")
    source = CellList.allocate(system, 1.2)
    build = jax.jit(lambda x, h: source.build(replace(system, positions=x, cell=h)))
    for strain in (0.03, -0.03, -0.1):
        stretch = np.eye(3) + strain * np.array([[1.0, 0.5, 0], [0.5, 1.0, 0], [0, 0, 1.0]])
        there = replace(system, positions=system.positions @ stretch, cell=system.cell @ stretch)
        pairs = build(there.positions, there.cell)
        if not bool(pairs.overflow):
            assert listed(pairs, there.positions, there.cell, 1.2) == every_pair(there, 1.2)
        else:
            assert strain < 0
    half = 0.5 * np.eye(3)
    assert bool(build(system.positions @ half, system.cell @ half).overflow)


@pytest.mark.parametrize("side", [3.0, 6.0])
def test_a_cell_that_shrank_below_twice_the_radius_is_told(side: float, jax_md_ranks):
    # Few enough particles that jax-md looks at all pairs and has no grid to complain about.
    rng = np.random.default_rng(0)
    system = make(rng.random((5, 2)) * side, side * np.eye(2), (True,) * 2)
    source = CellList.allocate(system, 1.2)
    shrunk = replace(system, positions=system.positions * 2.3 / side, cell=2.3 * np.eye(2))
    assert not bool(traced(source, system).overflow)
    assert bool(traced(source, shrunk).overflow)


def test_lack_of_room_is_told(jax_md_ranks):
    system = crowd("square")
    pairs = traced(CellList.allocate(system, 0.6), system.with_positions(0.1 * system.positions))
    assert bool(pairs.overflow)
    assert not bool(pairs.holds_for(system.positions, system.cell, 0.5))


def test_an_allocated_list_refuses_small_cells():
    with pytest.raises(InputError, match=r"smallest height 6 .*list radius 3\.1"):
        CellList.allocate(crowd("square"), 3.1)


@pytest.mark.parametrize(
    "kind", ["oblique", "triclinic", "very skewed", "slab", "cluster", "fcc, four atoms"]
)
def test_a_list_that_says_it_holds_lacks_no_pair(kind: str, rng: np.random.Generator):
    system, cutoff = CELLS[kind]
    pairs = jax.tree.map(jnp.asarray, pair_list(system, 1.3 * cutoff))
    known = set(listed(pairs, system.positions, system.cell, np.inf))
    d = system.dimension
    holds = jax.jit(lambda x, h: pairs.holds_for(x, h, cutoff))
    said = []
    for _ in range(60):
        amplitude, strain = rng.uniform(0, 0.3 * cutoff), rng.uniform(0, 0.25)
        stretch = np.eye(d) + strain * rng.uniform(-1, 1, (d, d))
        kick = rng.normal(size=system.positions.shape)
        kick *= amplitude * rng.random() / np.linalg.norm(kick, axis=1, keepdims=True)
        x = (system.positions + kick) @ stretch + rng.normal(size=d)
        h = system.cell @ stretch
        said.append(bool(holds(x, h)))
        if said[-1]:
            there = replace(system, positions=x, cell=h)
            assert set(listed(pair_list(there, cutoff), x, h, cutoff)) <= known
    assert 5 < sum(said) < 55


def test_a_list_is_not_given_up_too_early():
    system, cutoff = CELLS["triclinic"]
    pairs = pair_list(system, 1.3 * cutoff)
    kick = np.zeros_like(system.positions)
    kick[0, 0], kick[1, 0] = 0.145 * cutoff, -0.145 * cutoff
    assert bool(pairs.holds_for(system.positions + kick, system.cell, cutoff))
    assert not bool(pairs.holds_for(system.positions + 1.1 * kick, system.cell, cutoff))
    drift = np.array([7.0, -3.0, 1.0])
    assert bool(pairs.holds_for(system.positions + drift, system.cell, cutoff))
    assert not bool(pairs.holds_for(system.positions, system.cell, 1.31 * cutoff))


def test_not_a_number_holds_nothing():
    system, cutoff = CELLS["triclinic"]
    pairs = pair_list(system, 1.3 * cutoff)
    assert not bool(pairs.holds_for(np.nan * system.positions, system.cell, cutoff))


def test_no_pairs_hold_everywhere():
    system, _ = CELLS["triclinic"]
    pairs = NoPairs().build(system)
    assert not np.any(pairs.valid)
    assert bool(pairs.holds_for(system.positions + 5.0, 2.0 * system.cell, 3.0))


def test_pairs_of_removed_particles_are_taken_out():
    system, radius = CELLS["square"]
    pairs = jax.tree.map(jnp.asarray, pair_list(system, radius))
    removed = jnp.arange(12) % 3 == 0
    left = pairs.without(removed)
    expected = [p for p in every_pair(system, radius) if p[0] % 3 and p[1] % 3]
    assert 0 < len(expected) < np.sum(pairs.valid)
    assert listed(left, system.positions, system.cell, radius) == expected


@pytest.mark.parametrize("kind", ["triclinic", "smaller than the cutoff", "slab"])
def test_vectors_follow_positions_and_cell(kind: str, rng: np.random.Generator):
    system, radius = CELLS[kind]
    pairs = pair_list(system, radius)
    x, h = system.positions, system.cell
    dx, dh = rng.normal(size=x.shape), rng.normal(size=h.shape)
    slope = jax.jvp(pairs.vectors, (jnp.asarray(x), jnp.asarray(h)), (dx, dh))[1]
    expected = dx[pairs.j] - dx[pairs.i] + pairs.shift @ dh
    np.testing.assert_allclose(slope, np.where(pairs.valid[:, None], expected, 0.0), atol=1e-13)
