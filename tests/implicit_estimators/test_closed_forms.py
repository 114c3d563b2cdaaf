"""Every estimator against the derivative it promises, in both modes."""

from __future__ import annotations

from functools import cache

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

GRADIENT_DESCENT = {
    Analytic(): 0 * EXACT,
    Implicit(): EXACT,
    OneStep(): truncated(1),
    Neumann(5): truncated(5),
    Neumann(400): EXACT,
    Automatic(steps=0): 0 * EXACT,
    Automatic(steps=11): truncated(11),
    Automatic(steps=11, checkpoint=False): truncated(11),
    Automatic("forward", steps=11): truncated(11),
    Automatic(last=7): truncated(7),
    Automatic(steps=5, last=7): truncated(5),
}
# Only unrolling sees the memory of a method; the others see a step from a fresh state.
HEAVY_BALL = {
    Automatic(steps=9): heavy_truncated(9),
    Automatic("forward", steps=9): heavy_truncated(9),
    Automatic(last=6): heavy_truncated(6),
    OneStep(): truncated(1),
    Neumann(6): truncated(6),
    Implicit(): EXACT,
}


@cache
def jacobians(iteration, estimators):
    """dx/dtheta by every estimator, in every mode that it has; one program."""

    def of(estimator, theta):
        modes = [jax.jacfwd]
        if getattr(estimator, "mode", "reverse") == "reverse":
            modes.append(jax.jacrev)
        return [mode(lambda t: estimator(iteration, X0, t))(theta) for mode in modes]

    return dict(
        zip(estimators, jax.jit(lambda t: [of(e, t) for e in estimators])(THETA), strict=True)
    )


@pytest.mark.parametrize("estimator", GRADIENT_DESCENT, ids=str)
def test_gradient_descent(estimator):
    for found in jacobians(DESCENT, tuple(GRADIENT_DESCENT))[estimator]:
        np.testing.assert_allclose(found, GRADIENT_DESCENT[estimator], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("estimator", HEAVY_BALL, ids=str)
def test_heavy_ball(estimator):
    for found in jacobians(HEAVY, tuple(HEAVY_BALL))[estimator]:
        np.testing.assert_allclose(found, HEAVY_BALL[estimator], rtol=1e-11, atol=1e-13)


def test_a_path_is_differentiated_to_its_end():
    """In eager code, where the number of steps is not known to the compiler either."""
    steps = int(DESCENT.run(X0, THETA)[1].steps)
    assert 30 < steps < 300
    found = jax.jacrev(lambda theta: Automatic()(DESCENT, X0, theta))(THETA)
    np.testing.assert_allclose(found, truncated(steps), rtol=1e-12)
    assert np.abs(found - EXACT).max() > 1e-13


EVERY = [Analytic(), Implicit(), OneStep(), Neumann(4), Automatic(), Automatic(last=3)]


@pytest.mark.parametrize("iteration", [DESCENT, HEAVY], ids=["descent", "heavy"])
def test_the_value_is_the_iteration_s_own(iteration):
    own, info = iteration.run(X0, THETA)
    assert info.converged and info.residual <= 1e-9
    for x, told in jax.jit(lambda t: [e.run(iteration, X0, t) for e in EVERY])(THETA):
        np.testing.assert_allclose(x, own, rtol=1e-13)
        assert bool(told.converged) and int(told.steps) == int(info.steps)
        assert float(told.residual) == pytest.approx(float(info.residual), rel=1e-5)


ELSEWHERE = {
    Analytic(): 0 * EXACT,
    Neumann(3): truncated(3),
    Automatic(last=8): truncated(8),
    Automatic(steps=20, last=8): truncated(8),
    Automatic("forward", steps=8): truncated(8),
}


def test_a_solution_found_elsewhere():
    elsewhere = EXACT @ np.asarray(THETA)

    @jax.jit
    def derived(theta):
        runs = [lambda t, e=e: e.at(DESCENT, elsewhere, t) for e in ELSEWHERE]
        return [(f(theta), jax.jacfwd(f)(theta)) for f in runs]

    found = zip(ELSEWHERE.items(), derived(THETA), strict=True)
    for (estimator, expected), (value, forward) in found:
        assert np.array_equal(value, elsewhere), estimator
        np.testing.assert_allclose(forward, expected, rtol=1e-11, atol=1e-13)


def test_only_unrolling_remembers_where_it_started():
    def by_start(estimator, iteration=DESCENT):
        return jax.jit(jax.jacrev(lambda x0: estimator(iteration, x0, THETA)))(X0)

    power = np.linalg.matrix_power(M, 6)
    np.testing.assert_allclose(by_start(Automatic(steps=6)), power, rtol=1e-12, atol=1e-15)
    # Both halves of the heavy ball's state start at x0.
    both = np.linalg.matrix_power(COMPANION, 6)[:N] @ np.vstack([np.eye(N)] * 2)
    np.testing.assert_allclose(by_start(Automatic(steps=6), HEAVY), both, rtol=1e-12, atol=1e-15)
    for estimator in (Analytic(), Implicit(), Neumann(3), Automatic(last=4)):
        assert not by_start(estimator).any()
