"""Structure: lattices with known neighbours, ideal gases, and derivatives by differences."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.observables.correlation import (
    isotropic_structure_factor,
    pair_correlation,
    structure_factor,
)
from mdsens.observables.structure import bond_order
from tests.examples import make


def hexagonal(n=6):
    """n x n discs on a triangular lattice with spacing 1."""
    cell = n * np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]])
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), axis=-1).reshape(-1, 2)
    return make(grid / n @ cell, cell, (True, True))


def cubic(basis, n=3):
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    sites = (grid + np.asarray(basis)[None]).reshape(-1, 3)
    return make(sites, n * np.eye(3), (True,) * 3)


FCC = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]


def at(measure, system):
    return np.asarray(measure(None, None, system))


def test_hexagonal_order_is_one():
    system = hexagonal()
    assert at(bond_order(system, 6, 1.2, 1.5), system) == pytest.approx(1.0, abs=1e-12)
    assert at(bond_order(system, 5, 1.2, 1.5), system) == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize(("fold", "value"), [(4, 0.19094), (6, 0.57452)])
def test_fcc_order(fold, value):
    """Steinhardt, Nelson, Ronchetti 1983: q_4 = 0.19094, q_6 = 0.57452 for fcc."""
    system = cubic(FCC)
    found = at(bond_order(system, fold, 0.8, 0.9), system)
    assert found == pytest.approx(value, abs=1e-5)


def test_simple_cubic_order():
    system = cubic([[0, 0, 0]])
    assert at(bond_order(system, 4, 1.1, 1.3), system) == pytest.approx(0.76376, abs=1e-5)


def test_bragg_peaks():
    system = hexagonal(6)
    peaks = at(structure_factor([[6, 0], [0, 6], [6, 6], [1, 0], [2, 3]]), system)
    np.testing.assert_allclose(peaks, [36, 36, 36, 0, 0], atol=1e-9)


def test_pair_correlation_counts_neighbours():
    """The first shell of a triangular lattice holds six."""
    system = hexagonal(8)
    r = np.linspace(0.7, 1.3, 121)
    g = at(pair_correlation(system, r, 0.03), system)
    density = 64 / np.linalg.det(system.cell)
    assert np.trapezoid(g * 2 * np.pi * r * density, r) == pytest.approx(6.0, rel=1e-6)


def test_ideal_gas_is_uncorrelated():
    rng = np.random.default_rng(0)
    system = make(rng.random((800, 3)) * 10.0, 10.0 * np.eye(3), (True,) * 3)
    g = at(pair_correlation(system, [1.2, 2.0, 4.0], 0.05), system)
    # Counts are Poisson's; g = 1 - 1/N.
    r = np.array([1.2, 2.0, 4.0])
    pairs = 800**2 / 2 / 1e3 * 4 * np.pi * r**2 * 2 * np.sqrt(np.pi) * 0.05
    assert np.all(np.abs(g - 1.0) < 4.0 / np.sqrt(pairs))
    k = [1.5, 3.0, 5.0]
    s = at(isotropic_structure_factor(system, k, 0.3), system)
    shells = 1e3 / (2 * np.pi) ** 3 * 2 * np.pi * np.array(k) ** 2 * 2 * np.sqrt(np.pi) * 0.3
    assert np.all(np.abs(s - 1.0) < 4.0 / np.sqrt(shells))


def two_species(rng):
    """Particles anywhere in a sheared cell."""
    cell = np.array([[6.0, 0, 0], [1.0, 5.5, 0], [-0.8, 0.7, 5.0]])
    species = ["A", "B", "B"] * 10
    return make(rng.random((30, 3)) @ cell, cell, (True,) * 3, species)


def test_partial_correlations_against_loops(rng):
    system = two_species(rng)
    r, width, volume = np.array([0.9, 1.4, 1.6]), 0.1, np.linalg.det(system.cell)
    delta = system.positions[None] - system.positions[:, None]
    images = np.array(list(product((-1, 0, 1), repeat=3))) @ system.cell
    all_images = np.linalg.norm(delta[:, :, None] + images[None, None], axis=3)
    all_images[np.arange(30), np.arange(30)] = np.inf
    bins = np.exp(-0.5 * ((r[:, None, None] - all_images.min(axis=2)[None]) / width) ** 2)
    bins /= width * np.sqrt(2 * np.pi) * 4 * np.pi * r[:, None, None] ** 2
    here = np.array(system.species)
    for a, b in (("A", "B"), ("B", "B")):
        chosen = bins[:, here == a][:, :, here == b]
        want = volume * chosen.sum(axis=(1, 2)) / (np.sum(here == a) * np.sum(here == b))
        found = at(pair_correlation(system, r, width, (a, b)), system)
        np.testing.assert_allclose(found, want, rtol=1e-12)


def test_shells_of_wave_vectors():
    """Narrow shells of a cubic cell are the plain means over equal |n|."""
    system = cubic(FCC, 2)
    moved = replace(system, positions=system.positions + 0.1 * np.sin(np.arange(96)).reshape(-1, 3))
    n = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    single = at(structure_factor(n), moved).mean()
    found = at(isotropic_structure_factor(system, [np.pi], 0.05), moved)
    assert found == pytest.approx(single, rel=1e-9)


def test_some_wave_vectors_stand_for_all():
    """In an ideal gas, where every S(k_n) is 1 within its noise, drawn ones are no worse than theirs."""
    rng = np.random.default_rng(1)
    system = make(rng.random((300, 3)) * 12.0, 12.0 * np.eye(3), (True,) * 3)
    k = np.array([1.0, 3.0, 6.0])
    every = at(isotropic_structure_factor(system, k, most=None), system)
    some = at(isotropic_structure_factor(system, k), system)
    # A few vectors are all there are at the smallest k; else 8 half widths of 64 are most of the weight.
    assert some[0] == pytest.approx(every[0], rel=1e-12)
    assert np.all(some[1:] != every[1:])
    assert np.all(np.abs(some - every) < 4.0 / np.sqrt(2 * 64))


def test_drawn_wave_vectors_keep_the_weight_of_each_length():
    """S(k) of a cluster falls by a quarter within a shell: without the weights it were 12 to 17 % more."""
    rng = np.random.default_rng(2)
    system = make(0.4 * rng.normal(size=(200, 3)), 16.0 * np.eye(3), (True,) * 3)
    k = np.array([1.5, 2.0, 3.0])
    every = at(isotropic_structure_factor(system, k, 0.5, most=None), system)
    some = at(isotropic_structure_factor(system, k, 0.5, most=30), system)
    np.testing.assert_allclose(some, every, rtol=0.01)
    assert np.all(some != every)


def test_pairs_that_flow_and_cells_that_change(rng):
    """No neighbours are kept: particles anywhere, under vmap, with derivatives by cell and place."""
    system = two_species(rng)
    flown = replace(system, positions=rng.random((30, 3)) @ system.cell + 50.0)
    r = np.array([0.8, 1.2, 1.5])
    measures = (
        pair_correlation(flown, r, 0.12),
        isotropic_structure_factor(flown, [1.5, 2.5], 0.4),
    )
    turn, strain = rng.normal(size=(2, 30, 3))[0], 0.1 * rng.normal(size=(3, 3))

    @jax.jit
    @jax.vmap
    def along(t):
        stretch = np.eye(3) + t * strain
        x, h = (
            (jnp.asarray(flown.positions) + t * turn) @ stretch,
            jnp.asarray(flown.cell) @ stretch,
        )
        return [f(None, None, replace(system, positions=x, cell=h)) for f in measures]

    h = 1e-5
    here, rates = jax.jvp(along, (jnp.zeros(1),), (jnp.ones(1),))
    ends = along(jnp.array([h, -h]))
    for measure, value, rate, end in zip(measures, here, rates, ends, strict=True):
        np.testing.assert_allclose(value[0], at(measure, flown), rtol=1e-12)
        want = (end[0] - end[1]) / (2 * h)
        np.testing.assert_allclose(rate[0], want, rtol=1e-6, atol=1e-7 * np.abs(want).max())
    # Reverse mode through the pieces.
    back = jax.grad(lambda x: jnp.sum(measures[0](None, None, replace(system, positions=x))))
    forth = jax.jvp(
        lambda t: measures[0](None, None, replace(system, positions=flown.positions + t * turn)),
        (0.0,),
        (1.0,),
    )[1]
    slope = np.sum(np.asarray(back(jnp.asarray(flown.positions))) * turn)
    assert slope == pytest.approx(float(np.sum(forth)), rel=1e-10)


@pytest.mark.parametrize("name", ["pair", "order", "factor"])
def test_derivatives(name, rng):
    system = hexagonal(4)
    system = replace(system, positions=system.positions + 0.05 * rng.normal(size=(16, 2)))
    measure = {
        "pair": pair_correlation(system, [0.9, 1.1], 0.07),
        "order": bond_order(system, 6, 1.2, 1.6),
        "factor": structure_factor([[1, 0], [2, 3]]),
    }[name]
    direction = rng.normal(size=(16, 2))

    def along(t):
        return measure(None, None, replace(system, positions=system.positions + t * direction))

    slope = jax.jvp(along, (0.0,), (1.0,))[1]
    h = 1e-5
    want = (along(h) - along(-h)) / (2 * h)
    np.testing.assert_allclose(slope, want, rtol=1e-6, atol=1e-8)


def test_sensitivity_of_order():
    from tests.examples import EXAMPLES

    example = EXAMPLES["discs"]()
    start = ms.relax(example.potential, example.params, example.system)
    settled = replace(example.system, positions=np.asarray(start.positions))
    measure = bond_order(settled, 6, 1.0, 1.4)
    result = ms.sensitivity(
        example.potential, example.params, settled, observables=[measure], wrt=["diameter"]
    )
    direction, h = np.cos(np.arange(24.0)), 1e-6
    ends = []
    for s in (-1.0, 1.0):
        params = {**example.params, "diameter": example.params["diameter"] + s * h * direction}
        ends.append(measure(None, None, ms.relax(example.potential, params, settled)))
    want = float((ends[1] - ends[0]) / (2 * h))
    got = np.asarray(result.sensitivity["bond_order"]["diameter"]) @ direction
    assert got == pytest.approx(want, rel=1e-5)


def test_neighbours_that_may_be_missing_give_nan():
    system = hexagonal(6)
    moved = replace(system, positions=system.positions.copy())
    moved.positions[0] += 1.0
    assert np.isnan(at(bond_order(system, 6, 1.2, 1.5), moved))


def test_cells_that_have_become_too_small_or_large_give_nan():
    system = hexagonal(6)
    half = replace(system, cell=0.4 * system.cell)
    assert np.isnan(at(pair_correlation(system, [1.0], 0.05), half)).all()
    double = replace(system, cell=2.0 * system.cell)
    assert np.isnan(at(isotropic_structure_factor(system, [2.0], 0.5), double)).all()


def test_refuses():
    system = hexagonal(3)
    with pytest.raises(ms.InputError, match="positive"):
        pair_correlation(system, [0.0], 0.1)
    with pytest.raises(ms.InputError, match="inner"):
        bond_order(system, 6, 1.5, 1.2)
    with pytest.raises(ms.InputError, match="integers"):
        structure_factor([[0.5, 1.0]])
    with pytest.raises(ms.InputError, match=r"reach 1\.8.*height of the cell is 1\.29904"):
        pair_correlation(system, [1.0], 0.1)
    with pytest.raises(ms.InputError, match="ascend"):
        pair_correlation(system, [1.0, 0.5], 0.01)
    with pytest.raises(ms.InputError, match="no particle is Ar; there are X"):
        pair_correlation(system, [0.5], 0.01, ("X", "Ar"))
    with pytest.raises(ms.InputError, match="no wave vector within two widths"):
        isotropic_structure_factor(system, [0.2], 0.1)
    with pytest.raises(ms.InputError, match="periodic"):
        pair_correlation(replace(system, pbc=(True, False)), [1.0], 0.1)
