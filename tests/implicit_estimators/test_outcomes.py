"""What is said, and returned, where an iteration does not get there or is asked the impossible."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.errors import Float32Error, InputError, NotConverged
from mdsens.implicit import Analytic, Automatic, Implicit, Iteration, Neumann, OneStep
from tests.implicit_estimators.problems import DESCENT, EXACT, THETA, X0, M

ALL = [Analytic(), Implicit(), OneStep(), Neumann(3), Automatic(), Automatic(last=2)]
EARLY = replace(DESCENT, max_steps=5)


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: repr(e)[:14])
def test_too_few_steps_are_an_error(estimator):
    with pytest.raises(NotConverged, match=r"\|F\| = .* after 5 steps, tol = 1e-09") as caught:
        estimator(EARLY, X0, THETA)
    x, info = caught.value.result
    np.testing.assert_allclose(x, EARLY.run(X0, THETA)[0], rtol=1e-14)
    assert int(info.steps) == 5 and not info.converged
    with pytest.raises(NotConverged):
        jax.grad(lambda theta: jnp.sum(estimator(EARLY, X0, theta)))(THETA)


def test_and_nan_under_jit_for_those_who_missed():
    """T is linear here, so that only a guard can turn the derivative into NaN."""
    iteration = replace(DESCENT, max_steps=100)
    near, far = iteration.run(X0, THETA)[1], iteration.run(X0, 1e6 * THETA)[1]
    assert near.converged and not far.converged
    batch = jnp.stack([THETA, 1e6 * THETA])
    members = [Implicit(), OneStep(), Automatic()]
    runs = [jax.value_and_grad(lambda t, e=e: e(iteration, X0, t)[0]) for e in members]
    for values, gradients in jax.jit(lambda t: [jax.vmap(run)(t) for run in runs])(batch):
        assert np.isfinite(values[0]) and np.isfinite(gradients[0]).all()
        assert np.isnan(values[1]) and np.isnan(gradients[1]).all()


def test_a_fixed_number_of_steps_is_no_error():
    exact = EXACT @ np.asarray(THETA)
    expected = exact + np.linalg.matrix_power(M, 5) @ (X0 - exact)
    iteration = replace(DESCENT, tol=0.0, max_steps=5)
    for estimator in ALL:
        x, info = estimator.run(iteration, X0, THETA)
        np.testing.assert_allclose(x, expected, rtol=1e-13)
        assert int(info.steps) == 5 and bool(info.converged)


def test_tolerance_counts_the_steps():
    """The first k with |F| <= tol, none where the start will do, and no more than max_steps."""
    x, info = DESCENT.run(X0, THETA)
    k = int(info.steps)
    residuals = [
        float(replace(DESCENT, tol=0.0, max_steps=n).run(X0, THETA)[1].residual) for n in (k - 1, k)
    ]
    assert residuals[0] > 1e-9 >= residuals[1] == pytest.approx(float(info.residual), rel=1e-6)
    assert int(DESCENT.run(x, THETA)[1].steps) == 0
    assert int(EARLY.run(X0, THETA)[1].steps) == 5


def test_a_default_condition_is_the_change_by_one_step():
    x, info = Iteration(DESCENT.step, tol=1e-8).run(X0, THETA)
    assert float(info.residual) == pytest.approx(float(jnp.linalg.norm(DESCENT.step(x, THETA) - x)))


def test_divergence_ends_early():
    info = Iteration(lambda x: x * x, tol=1e-6).run(3.0)[1]
    assert not info.converged and int(info.steps) < 20


def test_forward_only_means_it():
    f = lambda theta: jnp.sum(Automatic("forward")(DESCENT, X0, theta))  # noqa: E731
    for reverse in (jax.grad(f), jax.jit(jax.grad(f))):
        with pytest.raises(InputError, match='mode="reverse"'):
            reverse(THETA)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Automatic("backwards"), 'allowed: "reverse", "forward"'),
        (lambda: Automatic(steps=-1), "steps = -1"),
        (lambda: Automatic(last=-1), "last = -1"),
        (lambda: Neumann(0), "one or more"),
        (lambda: Neumann(1.5), "one or more"),
        (lambda: Automatic(last=2.5), "whole number"),
        (lambda: replace(DESCENT, tol=-1.0), "tol = -1.0"),
        (lambda: replace(DESCENT, tol=float("nan")), "tol = nan"),
        (lambda: replace(DESCENT, max_steps=-1), "max_steps = -1"),
        (lambda: Automatic().at(DESCENT, X0, THETA), r"Automatic\(last=100\)"),
        (lambda: Implicit()(Iteration(lambda x: (x, x)), X0), "one step of the iteration"),
        (lambda: Implicit()(DESCENT, jnp.zeros(4, int), THETA), "real floating"),
    ],
)
def test_what_cannot_be(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


@pytest.mark.parametrize("estimator", ALL, ids=lambda e: repr(e)[:14])
def test_single_precision_is_refused(estimator):
    with pytest.raises(Float32Error):
        estimator(DESCENT, X0, THETA.astype(jnp.float32))
    with pytest.raises(Float32Error):
        estimator(DESCENT, X0.astype(jnp.float32), THETA)
