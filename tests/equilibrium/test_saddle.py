"""Transition states: a vacancy that hops in a crystal, found, recognised and differentiated."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.errors import DerivativeUndefined, InputError, NotConverged
from mdsens.state import Saddle
from tests.derivatives.routes import close, off_centre
from tests.examples import make
from tests.potentials.crystals import FCC

A0, GIVEN = 3.6, {"D0": 0.3, "alpha": 1.4, "r0": 2.8, "cutoff": 5.0}
MORSE = ms.potentials.Morse()


@pytest.fixture(scope="module")
def crystal():
    """(vacancy, half-way between it and a neighbour) in 32 sites of a cubic crystal."""
    corners = np.stack(np.meshgrid(*3 * [np.arange(2)], indexing="ij"), -1).reshape(-1, 1, 3)
    sites = A0 * (corners + FCC).reshape(-1, 3)
    vacancy = make(sites[1:], 2 * A0 * np.eye(3), (True,) * 3, ["Cu"] * 31, units="metal")
    half_way = np.array(sites[1:])
    half_way[0] *= 0.5
    return vacancy, vacancy.with_positions(half_way)


@pytest.fixture(scope="module")
def params(crystal):
    return MORSE.parameters(crystal[0], **GIVEN)


@jax.jit
def features(p, system_positions, cell):
    system = make(np.zeros((31, 3)), np.eye(3), (True,) * 3, ["Cu"] * 31, units="metal")
    system = replace(system, positions=system_positions, cell=cell)
    return off_centre(MORSE, p, ms.saddle(MORSE, p, system))


def test_one_negative_mode_along_the_hop(crystal, params):
    rough = crystal[1].with_positions(
        crystal[1].positions + 0.05 * np.random.default_rng(0).standard_normal((31, 3))
    )
    found = ms.saddle(MORSE, params, rough)
    assert found.report.residual < 1e-12
    low, second = found.curvatures
    assert low < -1.0 < 1.0 < second
    hop = np.asarray(found.mode[0])
    along = abs(hop @ crystal[1].positions[0]) / np.linalg.norm(crystal[1].positions[0])
    assert along > 0.5 and along == pytest.approx(np.linalg.norm(hop), rel=1e-6)


def test_barrier_and_its_derivatives(crystal, params):
    vacancy, half_way = crystal

    def barrier(p):
        top, bottom = ms.saddle(MORSE, p, half_way), ms.relax(MORSE, p, vacancy)
        return ms.energy(MORSE, p, top) - ms.energy(MORSE, p, bottom)

    value, slope = jax.value_and_grad(barrier)(params)
    assert value > 0.1
    # The barrier is as much in units of D0.
    np.testing.assert_allclose(slope["D0"], value / GIVEN["D0"], rtol=1e-12)
    for name in ("alpha", "r0"):
        around = [barrier({**params, name: params[name] * (1 + h)}) for h in (1e-4, -1e-4)]
        expected = (around[0] - around[1]) / (2e-4 * GIVEN[name])
        np.testing.assert_allclose(slope[name], expected, rtol=1e-6)


def test_the_saddle_moves_as_finite_differences_say(crystal, params):
    _, half_way = crystal

    def eager(p):
        return off_centre(MORSE, p, ms.saddle(MORSE, p, half_way))

    x, h = jnp.asarray(half_way.positions), jnp.asarray(half_way.cell)
    forward, reverse = jax.jacfwd(eager)(params), jax.jacrev(eager)(params)
    inside = jax.jacrev(features)(params, x, h)
    for name in ("alpha", "r0"):
        step = 1e-4 * GIVEN[name]
        ahead, behind = (eager({**params, name: params[name] + e}) for e in (step, -step))
        assert np.abs(forward[name]).max() > 1e-3
        close(forward[name], (ahead - behind) / (2 * step), 1e-6)
        close(reverse[name], forward[name], 1e-9)
        close(inside[name], forward[name], 1e-9)
    assert np.abs(forward["D0"]).max() < 1e-10


def test_what_is_no_first_order_saddle(crystal, params):
    vacancy, half_way = crystal
    with pytest.raises(DerivativeUndefined, match="is a minimum"):
        ms.saddle(MORSE, params, vacancy)
    with pytest.raises(NotConverged, match="after 1 steps; start nearer") as caught:
        ms.saddle(MORSE, params, half_way, max_steps=1, fmax=1e-14)
    assert isinstance(caught.value.result, Saddle)
    x, h = jnp.asarray(vacancy.positions), jnp.asarray(vacancy.cell)
    assert np.isnan(features(params, x, h)).all()


def test_a_saddle_is_no_minimum(crystal, params):
    top = ms.saddle(MORSE, params, crystal[1])
    there = crystal[1].with_positions(np.asarray(top.positions))
    with pytest.raises(DerivativeUndefined, match="negative"):
        ms.sensitivity(MORSE, params, there, observables=["energy"], wrt=["alpha"])


def test_too_large_a_system_is_told():
    many = make(3.0 * np.arange(1001)[:, None] * np.ones(3), np.eye(3), (False,) * 3)
    with pytest.raises(InputError, match="1001 particles are more than 1000"):
        ms.saddle(MORSE, MORSE.parameters(many, **GIVEN), many)
