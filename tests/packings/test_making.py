"""Random starts and jammed packings at a given pressure."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mdsens as ms
from mdsens.packings import jam, packing_fraction, random_spheres

POTENTIAL = ms.potentials.SoftSphere()


def bidisperse(n):
    return np.where(np.arange(n) % 2, 1.4, 1.0)


@pytest.mark.parametrize("dimension", [2, 3])
def test_random_start_has_the_packing_fraction(dimension):
    diameters = bidisperse(10)
    system = random_spheres(diameters, dimension, 0.7, 3)
    one = {2: math.pi / 4, 3: math.pi / 6}[dimension]
    filled = one * np.sum(diameters**dimension) / abs(np.linalg.det(system.cell))
    assert filled == pytest.approx(0.7, rel=1e-12)
    assert packing_fraction(system, diameters) == pytest.approx(0.7, rel=1e-12)
    assert packing_fraction(system, 1.0) == pytest.approx(
        one * 10 / abs(np.linalg.det(system.cell)), rel=1e-12
    )
    again = random_spheres(diameters, dimension, 0.7, 3)
    assert np.array_equal(system.positions, again.positions)
    assert not np.array_equal(
        system.positions, random_spheres(diameters, dimension, 0.7, 4).positions
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (([1.0, -1.0], 2, 0.8, 0), "positive"),
        (([[1.0]], 2, 0.8, 0), r"\(N,\)"),
        (([1.0], 4, 0.8, 0), "dimension"),
        (([1.0], 2, 0.0, 0), "packing_fraction"),
    ],
)
def test_random_start_refuses(arguments, sentence):
    with pytest.raises(ms.InputError, match=sentence):
        random_spheres(*arguments)


def jammed(n, pressure, seed, dimension=2, fraction=0.8):
    system = random_spheres(bidisperse(n), dimension, fraction, seed)
    params = POTENTIAL.parameters(system, diameter="diameter")
    return params, jam(POTENTIAL, params, system, pressure=pressure)


@pytest.fixture(scope="module")
def marginal():
    return jammed(32, 1e-5, 2)


def test_pressure_is_met_with_no_force_left(marginal):
    params, packing = marginal
    assert packing.pressure == pytest.approx(1e-5, rel=1e-6)
    assert packing.fmax < 1e-13
    assert float(ms.pressure(POTENTIAL, params, packing.system)) == pytest.approx(1e-5, rel=1e-6)


def test_a_barely_jammed_packing_is_isostatic(marginal):
    """N_c = d (N - R) - d + 1 as p -> 0 (one state of self-stress: the pressure itself)."""
    params, packing = marginal
    assert packing.excess == 0
    left = 32 - len(packing.rattlers)
    z = float(ms.coordination(POTENTIAL, params, packing.system))
    assert packing.contacts == pytest.approx(z * left / 2)
    assert packing.isostatic == 2 * left - 1


def test_modes_are_those_of_the_dense_hessian(marginal):
    import jax

    params, packing = marginal
    result = ms.sensitivity(POTENTIAL, params, packing.system, wrt=[])
    assert packing.modes[0] == pytest.approx(result.certificate.lambda_min, rel=1e-3)
    hessian = jax.hessian(
        lambda x: ms.energy(POTENTIAL, params, packing.system.with_positions(x.reshape(-1, 2)))
    )(np.asarray(packing.system.positions).reshape(-1))
    values = np.linalg.eigvalsh(np.asarray(hessian))
    removed = 2 + 2 * len(packing.rattlers)
    np.testing.assert_allclose(packing.modes, values[removed:][: len(packing.modes)], rtol=1e-3)


def test_derivatives_at_fixed_volume_and_at_fixed_pressure(marginal):
    params, packing = marginal
    wrt = ["epsilon"]
    fixed = ms.sensitivity(
        POTENTIAL, params, packing.system, observables=["pressure", "volume"], wrt=wrt
    )
    free = ms.sensitivity(
        POTENTIAL, params, packing.system, observables=["pressure", "volume"], wrt=wrt,
        cell="isotropic", pressure=packing.pressure,
    )  # fmt: skip
    # p is proportional to epsilon at fixed volume, and does not change at fixed pressure.
    assert float(np.asarray(fixed.sensitivity["pressure"]["epsilon"])) == pytest.approx(
        packing.pressure, rel=1e-8
    )
    assert abs(float(np.asarray(free.sensitivity["pressure"]["epsilon"]))) < 1e-12
    assert float(np.asarray(free.sensitivity["volume"]["epsilon"])) > 0.0


def test_from_above_and_from_below(marginal):
    params, packing = marginal
    squeezed = jam(POTENTIAL, params, packing.system, pressure=1e-3)
    assert squeezed.pressure == pytest.approx(1e-3, rel=1e-6)
    assert squeezed.excess > 0
    volumes = [abs(np.linalg.det(s.cell)) for s in (packing.system, squeezed.system)]
    assert volumes[1] < volumes[0]


@pytest.mark.slow
def test_three_dimensions():
    params, packing = jammed(64, 1e-5, 1, dimension=3, fraction=0.55)
    assert packing.pressure == pytest.approx(1e-5, rel=1e-6)
    assert packing.isostatic == 3 * (64 - len(packing.rattlers)) - 2
    assert 0 <= packing.excess <= 6


@pytest.mark.parametrize(
    ("pressure", "sentence"), [(0.0, "positive"), (-1.0, "positive"), (float("nan"), "positive")]
)
def test_refuses_a_pressure(pressure, sentence):
    system = random_spheres(bidisperse(8), 2, 0.8, 0)
    params = POTENTIAL.parameters(system, diameter="diameter")
    with pytest.raises(ms.InputError, match=sentence):
        jam(POTENTIAL, params, system, pressure=pressure)


def test_refuses_an_open_cell():
    from dataclasses import replace

    system = replace(random_spheres(bidisperse(8), 2, 0.8, 0), pbc=(True, False))
    params = POTENTIAL.parameters(system, diameter="diameter")
    with pytest.raises(ms.InputError, match="periodic"):
        jam(POTENTIAL, params, system, pressure=1e-3)


def test_says_when_the_budget_is_spent(marginal):
    params, packing = marginal
    with pytest.raises(ms.NotConverged, match="max_relaxations"):
        jam(POTENTIAL, params, packing.system, pressure=1e-2, max_relaxations=1)
