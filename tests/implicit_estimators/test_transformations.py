"""jit, vmap and second derivatives; arguments of every kind; parameters in closures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.implicit import Analytic, Automatic, Implicit, Iteration, Neumann, OneStep
from tests.implicit_estimators.problems import NONLINEAR, NONLINEAR_X0, total

THETA = jnp.array([0.3, 0.9, -0.8])
CONVERGENT = [Implicit(), Neumann(60), Automatic(), Automatic(last=60)]


def measured(estimator, iteration=NONLINEAR):
    return lambda theta: total(estimator(iteration, NONLINEAR_X0, theta))


@cache
def reference():
    """Gradient and Hessian by differences of the solution itself."""
    value = jax.jit(lambda theta: total(NONLINEAR.run(NONLINEAR_X0, theta)[0]))
    h = 1e-4
    at = {
        (i, j): float(
            value(
                THETA
                + h * (np.eye(3)[abs(i) - 1] * np.sign(i))
                + h * (np.eye(3)[abs(j) - 1] * np.sign(j))
            )
        )
        for i in (-3, -2, -1, 1, 2, 3)
        for j in (-3, -2, -1, 1, 2, 3)
    }
    hessian = np.array(
        [
            [(at[i, j] - at[i, -j] - at[-i, j] + at[-i, -j]) / (4 * h * h) for j in (1, 2, 3)]
            for i in (1, 2, 3)
        ]
    )
    gradient = np.array([(at[i, i] - at[-i, -i]) / (4 * h) for i in (1, 2, 3)])
    return gradient, hessian


@pytest.mark.parametrize("estimator", CONVERGENT, ids=lambda e: repr(e)[:14])
def test_first_and_second_derivatives(estimator):
    f = measured(estimator)
    gradient, hessian = reference()
    first = jax.grad(f)
    np.testing.assert_allclose(first(THETA), gradient, rtol=1e-6)
    compiled = jax.jit(lambda t: (first(t), jax.jacfwd(first)(t), jax.jacrev(first)(t)))
    one, forward, reverse = compiled(THETA)
    np.testing.assert_allclose(one, first(THETA), rtol=1e-12)
    np.testing.assert_allclose(forward, reverse, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(forward, hessian, rtol=1e-5, atol=1e-6)


def test_second_derivatives_of_forward_mode():
    f = measured(Automatic("forward"))
    _, hessian = reference()
    found = jax.jit(jax.jacfwd(jax.jacfwd(f)))(THETA)
    np.testing.assert_allclose(found, hessian, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "estimator", [Implicit(), OneStep(), Automatic()], ids=lambda e: repr(e)[:14]
)
def test_batches(estimator):
    """Each member as if alone, though they need different numbers of steps."""
    first = jax.value_and_grad(measured(estimator))
    batch = jnp.stack([THETA, 0.1 * THETA, 1.4 * THETA])
    steps = jax.vmap(lambda t: NONLINEAR.run(NONLINEAR_X0, t)[1].steps)(batch)
    assert len(set(np.asarray(steps))) > 1
    values, gradients = jax.vmap(first)(batch)
    for k, theta in enumerate(batch):
        value, gradient = first(theta)
        assert values[k] == pytest.approx(float(value), rel=1e-14)
        np.testing.assert_allclose(gradients[k], gradient, rtol=1e-11)


def relaxed_towards(x, target, kind, count, index, nothing):
    assert kind == "scaled" and count == 2 and nothing is None
    return jax.tree_util.tree_map(lambda a, b: 0.5 * a + 0.25 * count * b * index[1], x, target)


@pytest.mark.parametrize(
    "estimator", [Analytic(), OneStep(), *CONVERGENT], ids=lambda e: repr(e)[:14]
)
def test_arguments_of_every_kind(estimator):
    """Trees of arrays, integer arrays, Python ints, strings and None."""
    start = {"x": jnp.zeros(2), "y": (jnp.zeros(()),)}
    index = jnp.array([0, 3])

    def summed(target, index):
        x = estimator(Iteration(relaxed_towards), start, target, "scaled", 2, index, None)
        return jnp.sum(x["x"]) + 2.0 * x["y"][0]

    target = {"x": jnp.ones(2), "y": (jnp.asarray(2.0),)}
    assert summed(target, index) == pytest.approx(3.0 * 2 + 2.0 * 6)
    found, none = jax.grad(summed, argnums=(0, 1), allow_int=True)(target, index)
    share = {Analytic(): 0.0, OneStep(): 0.5}.get(estimator, 1.0)
    np.testing.assert_allclose(found["x"], 3.0 * share, rtol=1e-9)
    np.testing.assert_allclose(found["y"][0], 6.0 * share, rtol=1e-9)
    assert none.dtype == jax.dtypes.float0


@dataclass
class Halving:
    """A step that holds its parameter."""

    theta: Any

    def __call__(self, x):
        return self.step(x)

    def step(self, x):
        return 0.5 * x + 0.5 * jnp.sin(self.theta)


HOLDERS = {
    "closure": lambda theta: lambda x: 0.5 * x + 0.5 * jnp.sin(theta),
    "object": Halving,
    "method": lambda theta: Halving(theta).step,
    "partial": lambda theta: jax.tree_util.Partial(lambda t, x: Halving(t)(x), theta),
}


@pytest.mark.parametrize(
    "estimator", [Analytic(), OneStep(), *CONVERGENT], ids=lambda e: repr(e)[:14]
)
def test_parameters_that_a_step_holds(estimator):
    """Right, whatever holds them: not a silent zero."""
    share = {Analytic(): 0.0, OneStep(): 0.5}.get(estimator, 1.0)
    for name, holder in HOLDERS.items():
        first = jax.grad(lambda theta: estimator(Iteration(holder(theta)), 0.0))  # noqa: B023
        found = first(0.7)
        assert float(found) == pytest.approx(share * np.cos(0.7), rel=1e-8, abs=1e-12), name
