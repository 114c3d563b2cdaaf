"""Eager derivatives of large systems, solved on the host in the middle of compiled programs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.equilibrium import hosted
from mdsens.linear import choose
from mdsens.linear.projector import Projector
from mdsens.linear.sparse import SparseDirect
from tests.derivatives.routes import close
from tests.equilibrium.test_functional import gradient, measure, packing
from tests.linear.systems import network, relative_error


@pytest.fixture(params=["factor", "conjugate gradients"])
def large(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """12 discs as if they were many."""
    module = __import__("sys").modules[choose.__module__]
    monkeypatch.setattr(module, "_DENSE", 0)
    if request.param != "factor":
        monkeypatch.setattr(module, "_SPARSE", {})
    return request.param


def test_reverse_and_forward(large: str):
    expected, params = gradient(), packing()[1]
    before = next(hosted._NUMBERS)
    found = jax.grad(measure)(params)
    along = jax.jvp(measure, (params,), (jax.tree.map(jnp.ones_like, params),))[1]
    assert next(hosted._NUMBERS) == before + 3, "not solved on the host"
    for name, value in expected.items():
        close(found[name], value, 1e-9)
    close(along, sum(jnp.sum(v) for v in expected.values()), 1e-9)


@pytest.mark.slow
def test_second_derivatives(large: str):
    params = packing()[1]
    direction = jnp.cos(jnp.arange(12.0))

    def along(t: jax.Array) -> jax.Array:
        return measure({**params, "diameter": params["diameter"] + t * direction})

    slope, h = jax.grad(along), 1e-5
    found = jax.grad(slope)(0.0)
    close(found, (slope(h) - slope(-h)) / (2.0 * h), 1e-5)


def _solve(case, matrix: np.ndarray, projector: Projector, sound: bool = True):
    solver = SparseDirect()
    inverse = solver.factorize(matrix, case.projector)
    return hosted.HostSolve.of(solver, inverse, projector, sound)


def test_what_was_let_go_is_made_again(rng: np.random.Generator):
    case, b = network(4, 5), rng.normal(size=40)
    first = _solve(case, case.matrix, case.projector)
    others = [_solve(case, (k + 2.0) * case.matrix, case.projector) for k in range(9)]
    assert int(first.number) not in hosted._INVERSES
    for solve, scale in ((first, 1.0), *zip(others, np.arange(2.0, 11.0), strict=True)):
        x = jax.jit(lambda s, b: s(None, b))(solve, jnp.asarray(b))
        assert relative_error(x, case.inverse @ b / scale) < 1e-12
    assert len(hosted._INVERSES) == 8


@pytest.mark.parametrize("kind", ["a saddle", "not sound"])
def test_no_minimum_no_answer(kind: str):
    case = network(6, 7, stress=0.5 if kind == "a saddle" else 0.0)
    solve = _solve(case, case.matrix, case.projector, sound=kind == "a saddle")
    assert np.all(np.isnan(solve(None, jnp.ones(len(case.matrix)).at[0].set(2.0))))
