"""The Taylor series of a relaxed state against re-relaxation and against nested differentiation."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import mdsens as ms
from tests.examples import EXAMPLES


def changed(example, name):
    value = np.asarray(getattr(example.params[name], "values", example.params[name]))
    return {name: 0.01 * value * np.cos(1.0 + np.arange(value.size)).reshape(value.shape)}


def relaxed_at(example, prediction, t):
    """Positions of the minimum at t, gauge removed, relaxed from the prediction."""
    state = ms.relax(
        example.potential, prediction.params(t), prediction.system(t), **example.options
    )
    return gauged(prediction, np.asarray(state.positions))


def gauged(prediction, positions):
    moved = (positions - np.asarray(prediction.line.setting.positions)).reshape(-1, 1)
    return prediction.line.project(moved)[:, 0]


CASES = {
    "discs": "diameter",
    "discs_with_rattlers": "diameter",
    "spheres": "diameter",
    "crystal_vacancy": "sigma",
    "walled_discs": "diameter",
}


QUICK = "discs_with_rattlers"
PARAMS = [name if name == QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]


@pytest.fixture(scope="module", params=PARAMS)
def case(request):
    example = EXAMPLES[request.param]()
    return example, changed(example, CASES[request.param])


def predicted(case, order, **options):
    example, change = case
    return ms.predict(
        example.potential, example.params, example.system, change, order=order,
        **example.options, **options,
    )  # fmt: skip


def test_error_falls_with_the_order(case):
    errors = {}
    for order in (1, 2):
        prediction = predicted(case, order)
        radius = prediction.radius
        errors[order] = [
            np.abs(
                gauged(prediction, prediction.positions(f * radius))
                - relaxed_at(case[0], prediction, f * radius)
            ).max()
            for f in (0.4, 0.2)
        ]
    for order, (far, near) in errors.items():
        assert far / near == pytest.approx(2.0 ** (order + 1), rel=0.25)
    assert errors[2][1] < 0.2 * errors[1][1]


def test_error_is_estimated(case):
    for order in (1, 2):
        prediction = predicted(case, order)
        t = 0.9 * prediction.radius
        true = np.abs(
            gauged(prediction, prediction.positions(t)) - relaxed_at(case[0], prediction, t)
        ).max()
        assert 0.5 * true <= prediction.error(t)
        assert true <= prediction.error(t) * (1 + 1e-6) + 1e-13
        assert prediction.error(t) <= 3.0 * true


@pytest.mark.slow
def test_nested_forward_mode_agrees():
    example = EXAMPLES["discs"]()
    change = changed(example, "diameter")
    prediction = ms.predict(example.potential, example.params, example.system, change)

    def positions(t):
        params = {**example.params, "diameter": example.params["diameter"] + t * change["diameter"]}
        return ms.relax(example.potential, params, example.system).positions.reshape(-1)

    def velocity(t):
        return jax.jvp(positions, (t,), (1.0,))[1]

    first = velocity(0.0)
    second = jax.jvp(velocity, (0.0,), (1.0,))[1]
    np.testing.assert_allclose(prediction.series[0], first, atol=1e-9 * np.abs(first).max())
    np.testing.assert_allclose(prediction.series[1], second, atol=1e-7 * np.abs(second).max())


def test_uniform_scaling_is_predicted_exactly():
    """sigma -> (1 + t) sigma of a free Lennard-Jones cluster scales it: x(t) = (1 + t) x."""
    example = EXAMPLES["cluster"]()
    prediction = ms.predict(
        example.potential, example.params, example.system, {"sigma": 1.0}, order=3
    )
    here = np.asarray(prediction.line.setting.positions)
    centred = here - here.mean(axis=0)
    moved = prediction.positions(0.3) - prediction.positions(0.3).mean(axis=0)
    # The cutoff (10) does not scale, but nothing is near it.
    np.testing.assert_allclose(moved, 1.3 * centred, atol=1e-9)
    assert np.abs(prediction.series[1:]).max() < 1e-8


def test_observables_are_measured_at_the_predicted_state(case):
    example, _ = case
    prediction = predicted(case, 2)
    # The energy is off by t^6; the radius may be as long as the whole change.
    t = 0.1 * prediction.radius
    params = prediction.params(t)
    state = ms.relax(example.potential, params, prediction.system(t), **example.options)
    want = float(ms.energy(example.potential, params, state))
    got = float(prediction.measure(ms.energy, t))
    # At a minimum the energy forgives the error of the state to second order.
    assert got == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("shape", [[[0.0, 1.0], [0.0, 0.0]], [[-1.0, 0.0], [0.0, -1.0]]])
def test_imposed_strain(shape):
    example = EXAMPLES["discs"]()
    prediction = ms.predict(example.potential, example.params, example.system, strain=shape)
    errors = []
    for fraction in (0.6, 0.3):
        t = fraction * prediction.radius
        start = prediction.system(t)
        assert np.allclose(start.cell, example.system.cell @ (np.eye(2) + t * np.array(shape)))
        there = ms.relax(example.potential, example.params, start)
        moved = np.asarray(there.positions) - start.positions
        errors.append(np.abs(prediction.line.project(moved.reshape(-1, 1))).max())
        assert errors[-1] <= prediction.error(t) * (1 + 1e-6) + 1e-13
    assert errors[0] / errors[1] == pytest.approx(8.0, rel=0.25)
