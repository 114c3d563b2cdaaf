"""The adjoint solve against dense linear algebra: warm starts, tolerances, the inverse that is kept."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mdsens.implicit import WarmImplicit
from mdsens.implicit.bilevel.adjoint import solve_adjoint
from mdsens.implicit.bilevel.gmres import generalised_minimum_residuals
from mdsens.linear import Outcome, Projector

N = 10
RNG = np.random.default_rng(5)
GENERAL = jnp.asarray(RNG.normal(size=(N, N)) + 3 * np.eye(N))
BASIS = np.linalg.qr(RNG.normal(size=(N, N)))[0]
INDEFINITE = jnp.asarray((BASIS * np.linspace(-2, 3, N)) @ BASIS.T)
SINGULAR = jnp.asarray((BASIS * np.r_[0.0, np.linspace(-2, 3, N - 1)]) @ BASIS.T)
B = jnp.asarray(RNG.normal(size=N))
KINDS = {
    "gmres": WarmImplicit(),
    "restarted": WarmImplicit(dense_limit=0),
    "minres": WarmImplicit(symmetric=True, dense_limit=0),
}


WHOLE = Projector(jnp.ones(N), jnp.zeros((N, 1)))


@partial(jax.jit, static_argnums=0)
def compiled(settings, matrix, *rest):
    return solve_adjoint(settings, lambda v: matrix @ v, *rest)


def solve(settings, matrix, b, memory, projector=WHOLE, reduction=0.0):
    return compiled(settings, matrix, b, memory, projector, reduction)


@jax.jit
def cycle(matrix, inverse, b, tol, limit):
    return generalised_minimum_residuals(lambda v: matrix @ v, lambda v: inverse @ v, b, tol, limit)


@pytest.mark.parametrize("k", [1, 3, 6])
def test_gmres_finds_the_smallest_residual_of_its_krylov_space(k):
    krylov = np.stack([np.linalg.matrix_power(GENERAL, i) @ B for i in range(k)], axis=1)
    best = krylov @ np.linalg.lstsq(GENERAL @ krylov, B)[0]
    step = cycle(GENERAL, jnp.eye(N), B, 0.0, k)
    assert int(step.iterations) == k
    np.testing.assert_allclose(step.x, best, atol=1e-10)


def test_gmres_ends_where_it_should():
    exact = np.linalg.solve(GENERAL, B)
    whole = cycle(GENERAL, jnp.eye(N), B, 1e-12, 1000)
    assert int(whole.iterations) == N
    np.testing.assert_allclose(whole.x, exact, rtol=1e-10)
    told = cycle(GENERAL, jnp.linalg.inv(GENERAL), B, 1e-12, 1000)
    assert int(told.iterations) == 1
    np.testing.assert_allclose(told.x, exact, rtol=1e-10)
    nothing = cycle(GENERAL, jnp.eye(N), jnp.zeros(N), 1e-12, 1000)
    assert int(nothing.iterations) == 0
    np.testing.assert_array_equal(nothing.x, 0.0)


def test_gmres_keeps_its_basis_orthogonal():
    other = np.linalg.qr(RNG.normal(size=(N, N)))[0]
    matrix = jnp.asarray((BASIS * np.logspace(0, -6, N)) @ other.T)
    x = cycle(matrix, jnp.eye(N), B, 1e-12, 1000).x
    assert np.linalg.norm(B - matrix @ x) <= 1e-10 * np.linalg.norm(B)


@pytest.mark.parametrize("kind", KINDS)
def test_against_elimination(kind):
    settings = KINDS[kind]
    matrix = INDEFINITE if settings.symmetric else GENERAL
    exact = np.linalg.solve(matrix, B)
    memory, info = solve(settings, matrix, B, settings.memory(N))
    assert int(info.outcome) == Outcome.CONVERGED
    np.testing.assert_allclose(memory.adjoint, exact, rtol=1e-9)

    # From the answer itself nothing is left to do but to see that it is one.
    memory, info = solve(settings, matrix, B, memory)
    assert int(info.products) == 1
    np.testing.assert_allclose(memory.adjoint, exact, rtol=1e-9)

    # From close by, as much is done as was asked for.
    close = memory._replace(adjoint=memory.adjoint + 1e-3 * jnp.cos(jnp.arange(N)))
    before = np.linalg.norm(B - matrix @ close.adjoint)
    memory, info = solve(settings, matrix, B, close, WHOLE, 0.3)
    after = np.linalg.norm(B - matrix @ memory.adjoint)
    assert 1e-3 * before < after <= 0.3 * before
    np.testing.assert_allclose(info.residual, after / np.linalg.norm(B), rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_that_is_worse_than_zero_is_not_used(kind):
    settings = KINDS[kind]
    matrix = INDEFINITE if settings.symmetric else GENERAL
    far = settings.memory(N)._replace(adjoint=1e9 * jnp.ones(N))
    memory, info = solve(settings, matrix, jnp.zeros(N), far)
    np.testing.assert_array_equal(memory.adjoint, 0.0)
    assert int(info.outcome) == Outcome.CONVERGED


def test_a_new_inverse_is_bought_when_the_old_one_has_cost_as_much():
    settings = KINDS["gmres"]
    memory, bought = settings.memory(N), []
    for k in range(6):
        memory, info = solve(settings, GENERAL, (1.0 + k) * B + k, memory)
        assert int(info.outcome) == Outcome.CONVERGED
        bought.append(bool(info.refreshed))
    # N iterations in the first solve: none is left over for the second, and none needed from there.
    assert bought == [False, True, False, False, False, False]
    np.testing.assert_allclose(memory.inverse, np.linalg.inv(GENERAL), rtol=1e-9)
    assert int(info.products) <= 4


MASK = jnp.ones(N).at[3].set(0.0)
NULL_SPACES = {
    "mode": (SINGULAR, Projector(jnp.ones(N), jnp.asarray(BASIS[:, :1]))),
    "unknown that never moves": (jnp.outer(MASK, MASK) * INDEFINITE, Projector(MASK, WHOLE.basis)),
}


@pytest.mark.parametrize("null", NULL_SPACES)
@pytest.mark.parametrize("kind", ["gmres", "minres"])
def test_a_known_null_space(kind, null):
    settings, (matrix, projector) = KINDS[kind], NULL_SPACES[null]
    memory = settings.memory(N)
    for _ in range(3):  # the second one makes an inverse
        b = B + memory.adjoint
        memory, info = solve(settings, matrix, b, memory, projector)
        assert int(info.outcome) == Outcome.CONVERGED
        np.testing.assert_allclose(memory.adjoint, np.linalg.pinv(matrix) @ b, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_solved_is_told(kind):
    settings = KINDS[kind]
    singular = SINGULAR if settings.symmetric else GENERAL.at[0].set(0.0)
    assert int(solve(settings, singular, B, settings.memory(N))[1].outcome) != Outcome.CONVERGED
    broken = GENERAL.at[0, 0].set(jnp.nan)
    assert int(solve(settings, broken, B, settings.memory(N))[1].outcome) == Outcome.NOT_FINITE


def test_a_wrong_promise_of_symmetry_gives_no_number():
    settings = KINDS["minres"]
    outcome = solve(settings, GENERAL, B, settings.memory(N))[1].outcome
    assert int(outcome) != Outcome.CONVERGED
