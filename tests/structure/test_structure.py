"""Structure: lattices with known neighbours, ideal gases, and derivatives by differences."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

import mdsens as ms
from mdsens.observables.structure import bond_order, pair_correlation, structure_factor
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
    r = np.linspace(0.7, 1.3, 601)
    g = at(pair_correlation(system, r, 0.03), system)
    density = 64 / np.linalg.det(system.cell)
    assert np.trapezoid(g * 2 * np.pi * r * density, r) == pytest.approx(6.0, rel=1e-6)


def test_ideal_gas_is_uncorrelated():
    rng = np.random.default_rng(0)
    system = make(rng.random((4000, 3)) * 10.0, 10.0 * np.eye(3), (True,) * 3)
    g = at(pair_correlation(system, [0.6, 0.9, 1.2], 0.05), system)
    np.testing.assert_allclose(g, 1.0, atol=0.03)


@pytest.mark.parametrize("name", ["pair", "order", "factor"])
def test_derivatives(name, rng):
    system = hexagonal(4)
    system = replace(system, positions=system.positions + 0.05 * rng.normal(size=(16, 2)))
    measure = {
        "pair": pair_correlation(system, [0.9, 1.1], 0.1),
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
    assert np.isnan(at(pair_correlation(system, [1.0], 0.05), moved)).all()


def test_refuses():
    system = hexagonal(3)
    with pytest.raises(ms.InputError, match="positive"):
        pair_correlation(system, [0.0], 0.1)
    with pytest.raises(ms.InputError, match="inner"):
        bond_order(system, 6, 1.5, 1.2)
    with pytest.raises(ms.InputError, match="integers"):
        structure_factor([[0.5, 1.0]])
    with pytest.raises(ms.InputError, match="periodic"):
        pair_correlation(replace(system, pbc=(True, False)), [1.0], 0.1)
