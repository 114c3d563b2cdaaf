"""Every estimator against the derivative it promises, in both modes."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mdsens.implicit import Analytic, Automatic, Implicit, Neumann, OneStep
from tests.implicit_estimators.problems import (
    COMPANION,
    DESCENT,
    EXACT,
    HEAVY,
    THETA,
    X0,
    M,
    N,
    heavy_truncated,
    truncated,
)


def named(value):
    return "" if isinstance(value, np.ndarray) else repr(value).partition("solve")[0]


def jacobians(estimator, iteration, x0=X0):
    """dx/dtheta in every mode that the estimator has."""
    modes = [jax.jacfwd]
    if getattr(estimator, "mode", "reverse") == "reverse":
        modes.append(jax.jacrev)
    return [mode(lambda theta: estimator(iteration, x0, theta))(THETA) for mode in modes]


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (Analytic(), 0 * EXACT),
        (Implicit(), EXACT),
        (OneStep(), truncated(1)),
        (Neumann(1), truncated(1)),
        (Neumann(5), truncated(5)),
        (Neumann(400), EXACT),
        (Automatic(steps=0), 0 * EXACT),
        (Automatic(steps=1), truncated(1)),
        (Automatic(steps=11), truncated(11)),
        (Automatic(steps=11, checkpoint=False), truncated(11)),
        (Automatic("forward", steps=11), truncated(11)),
        (Automatic(last=7), truncated(7)),
        (Automatic("forward", last=7), truncated(7)),
        (Automatic(steps=5, last=7), truncated(5)),
    ],
    ids=named,
)
def test_gradient_descent(estimator, expected):
    for found in jacobians(estimator, DESCENT):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("estimator", [Automatic(), Automatic("forward")], ids=named)
def test_a_converged_path_is_differentiated_to_its_end(estimator):
    steps = int(DESCENT.run(X0, THETA)[1].steps)
    assert 30 < steps < 300
    for found in jacobians(estimator, DESCENT):
        np.testing.assert_allclose(found, truncated(steps), rtol=1e-12)
        assert np.abs(found - EXACT).max() > 1e-13


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (Automatic(steps=9), heavy_truncated(9)),
        (Automatic("forward", steps=9), heavy_truncated(9)),
        (Automatic(last=6), heavy_truncated(6)),
        (OneStep(), truncated(1)),
        (Neumann(6), truncated(6)),
        (Implicit(), EXACT),
    ],
    ids=named,
)
def test_heavy_ball(estimator, expected):
    """Only unrolling sees the memory of a method; the others see a step from a fresh state."""
    for found in jacobians(estimator, HEAVY):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    "estimator", [Analytic(), Implicit(), OneStep(), Neumann(4), Automatic(), Automatic(last=3)]
)
@pytest.mark.parametrize("iteration", [DESCENT, HEAVY])
def test_the_value_is_the_iteration_s_own(estimator, iteration):
    own, info = iteration.run(X0, THETA)
    x, told = estimator.run(iteration, X0, THETA)
    np.testing.assert_allclose(x, own, rtol=1e-14)
    assert bool(told.converged) and int(told.steps) == int(info.steps)
    assert float(told.residual) == pytest.approx(float(info.residual)) and told.residual <= 1e-9


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (Analytic(), 0 * EXACT),
        (Implicit(), EXACT),
        (Neumann(3), truncated(3)),
        (Automatic(last=8), truncated(8)),
        (Automatic(steps=8), truncated(8)),
        (Automatic(steps=20, last=8), truncated(8)),
    ],
    ids=named,
)
def test_a_solution_found_elsewhere(estimator, expected):
    elsewhere = EXACT @ np.asarray(THETA)
    assert np.array_equal(estimator.at(DESCENT, elsewhere, THETA), elsewhere)
    for mode in (jax.jacfwd, jax.jacrev):
        found = mode(lambda theta: estimator.at(DESCENT, elsewhere, theta))(THETA)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


def test_only_unrolling_remembers_where_it_started():
    def by_start(estimator, iteration=DESCENT):
        return jax.jacrev(lambda x0: estimator(iteration, x0, THETA))(X0)

    power = np.linalg.matrix_power(M, 6)
    np.testing.assert_allclose(by_start(Automatic(steps=6)), power, rtol=1e-12, atol=1e-15)
    # Both halves of the heavy ball's state start at x0.
    both = np.linalg.matrix_power(COMPANION, 6)[:N] @ np.vstack([np.eye(N)] * 2)
    np.testing.assert_allclose(by_start(Automatic(steps=6), HEAVY), both, rtol=1e-12, atol=1e-15)
    for estimator in (Analytic(), Implicit(), Neumann(3), Automatic(last=4)):
        assert not by_start(estimator).any()
