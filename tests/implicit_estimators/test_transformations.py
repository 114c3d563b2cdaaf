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
ALL = [Analytic(), OneStep(), Implicit(), Automatic(), Automatic(last=60)]
# What a linear contraction by one half leaves of the derivative.
SHARE = {Analytic(): 0.0, OneStep(): 0.5}


def measured(estimator, iteration=NONLINEAR):
    return lambda theta: total(estimator(iteration, NONLINEAR_X0, theta))


@cache
def reference():
    """Gradient and Hessian by differences of the solution itself."""
    h = 1e-4
    value = jax.jit(jax.vmap(lambda theta: total(NONLINEAR.run(NONLINEAR_X0, theta)[0])))
    unit, theta = h * np.eye(3), np.asarray(THETA)
    gradient = (value(theta + unit) - value(theta - unit)) / (2 * h)
    rows = []
    for u in unit:
        pp, pm, mp, mm = (value(theta + a * u + b * unit) for a in (1, -1) for b in (1, -1))
        rows.append((pp - pm - mp + mm) / (4 * h * h))
    return gradient, np.stack(rows)


def dear(*estimators):
    return [pytest.param(e, marks=pytest.mark.slow) for e in estimators]


@pytest.mark.parametrize(
    "estimator", [Neumann(60), Automatic(), *dear(Implicit(), Automatic(last=60))], ids=str
)
def test_first_and_second_derivatives(estimator):
    gradient, hessian = reference()
    first = jax.grad(measured(estimator))
    one, forward, reverse = jax.jit(
        lambda t: (first(t), jax.jacfwd(first)(t), jax.jacrev(first)(t))
    )(THETA)
    np.testing.assert_allclose(one, gradient, rtol=1e-6)
    np.testing.assert_allclose(forward, reverse, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(forward, hessian, rtol=1e-5, atol=1e-6)


def test_second_derivatives_of_forward_mode():
    f = measured(Automatic("forward"))
    found = jax.jit(jax.jacfwd(jax.jacfwd(f)))(THETA)
    np.testing.assert_allclose(found, reference()[1], rtol=1e-5, atol=1e-6)


def test_batches():
    """Each member as if alone, though they need different numbers of steps."""
    batch = jnp.stack([THETA, 0.1 * THETA, 1.4 * THETA])
    steps = jax.vmap(lambda t: NONLINEAR.run(NONLINEAR_X0, t)[1].steps)(batch)
    assert len(set(np.asarray(steps))) > 1
    firsts = [jax.value_and_grad(measured(e)) for e in (OneStep(), Automatic())]
    together = jax.jit(lambda t: [jax.vmap(first)(t) for first in firsts])(batch)
    alone = jax.jit(lambda t: [first(t) for first in firsts])
    for k, theta in enumerate(batch):
        for batched, single in zip(together, alone(theta), strict=True):
            assert batched[0][k] == pytest.approx(float(single[0]), rel=1e-14)
            np.testing.assert_allclose(batched[1][k], single[1], rtol=1e-11)


def relaxed_towards(x, target, kind, count, index, nothing):
    assert kind == "scaled" and count == 2 and nothing is None
    return jax.tree_util.tree_map(lambda a, b: 0.5 * a + 0.25 * count * b * index[1], x, target)


def test_arguments_of_every_kind():
    """Trees of arrays, integer arrays, Python ints, strings and None."""
    start = {"x": jnp.zeros(2), "y": (jnp.zeros(()),)}
    target, index = {"x": jnp.ones(2), "y": (jnp.asarray(2.0),)}, jnp.array([0, 3])
    iteration = Iteration(relaxed_towards)

    def summed(target, index, estimator):
        x = estimator(iteration, start, target, "scaled", 2, index, None)
        return jnp.sum(x["x"]) + 2.0 * x["y"][0]

    slope = jax.value_and_grad(summed, argnums=(0, 1), allow_int=True)
    derived = jax.jit(lambda target, index: [slope(target, index, e) for e in ALL])
    for estimator, (value, (found, none)) in zip(ALL, derived(target, index), strict=True):
        assert value == pytest.approx(3.0 * 2 + 2.0 * 6)
        np.testing.assert_allclose(found["x"], 3.0 * SHARE.get(estimator, 1.0), rtol=1e-9)
        np.testing.assert_allclose(found["y"][0], 6.0 * SHARE.get(estimator, 1.0), rtol=1e-9)
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
    "estimator",
    [Implicit(), Automatic(last=60), *dear(OneStep(), Automatic(), Analytic())],
    ids=str,
)
def test_parameters_that_a_step_holds(estimator):
    """Right, whatever holds them: not a silent zero."""

    def first(holder):
        return jax.grad(lambda theta: estimator(Iteration(holder(theta)), 0.0))

    expected = pytest.approx(SHARE.get(estimator, 1.0) * np.cos(0.7), rel=1e-8, abs=1e-12)
    compiled = jax.jit(lambda theta: [first(holder)(theta) for holder in HOLDERS.values()])
    for found in compiled(0.7):
        assert float(found) == expected
    assert float(first(Halving)(0.7)) == expected
