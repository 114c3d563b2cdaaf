"""What the linear solve behind the derivative must stand: bad condition, singular, failing."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import cg

from mdsens.errors import DerivativeUndefined, InputError
from mdsens.implicit import Auto, Certified, Projected, Refined, attach, auto, root_vjp
from mdsens.linear import CG, MINRES, Dense, Projector

N = 12
WEIGHTS = jnp.arange(60.0) ** 1.5  # far from translation invariant


def gradient_of(matrix, solve=auto.AUTO, right=None):
    """d/dtheta of WEIGHTS . x for A x = B theta: B^T A^-T WEIGHTS, at theta = 0; B = 1 or given."""
    right = jnp.eye(len(matrix)) if right is None else right

    def f(theta):
        x = attach(lambda y, t: matrix @ y - right @ t, jnp.zeros(len(matrix)), (theta,), solve)
        return WEIGHTS[: len(matrix)] @ x

    return f


def spectrum(values, seed=0):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values),) * 2))[0]
    return jnp.asarray((q * np.asarray(values)) @ q.T)


def ring(n=N, stiffness=None):
    """A ring of springs: translations cost nothing."""
    k = jnp.ones(n) if stiffness is None else stiffness
    to_next = jnp.roll(jnp.eye(n), 1, axis=1) - jnp.eye(n)
    return to_next.T @ (k[:, None] * to_next)


@partial(jax.jit, static_argnums=1)
def compiled(matrix, solve):
    """The gradient, compiled once per solve and shape; solves that hold arrays do not fit here."""
    return jax.grad(gradient_of(matrix, solve))(jnp.zeros(len(matrix)))


BY_HAND = {
    "projected cg": Projected(CG(), Projector(jnp.ones(N), jnp.ones((N, 1)) / np.sqrt(N))),
    "projected minres": Projected(MINRES(), Projector(jnp.ones(N), jnp.ones((N, 1)) / np.sqrt(N))),
    "projected dense": Projected(Dense(), Projector(jnp.ones(N), jnp.ones((N, 1)) / np.sqrt(N))),
}


def test_null_modes_in_any_basis():
    """Two rings: their modes neither orthogonal nor of unit length, and one of them twice."""
    matrix = jnp.kron(jnp.diag(jnp.array([1.0, 3.0])), ring(6))
    one, other = jnp.repeat(jnp.eye(2), 6, axis=0).T
    modes = jnp.stack([1e3 * (one + other), one - 0.5 * other, 2 * one], axis=1)
    expected = np.linalg.pinv(matrix) @ WEIGHTS[:N]
    for solver in (CG(), MINRES()):
        found = jax.jit(
            lambda m, s=solver: jax.grad(
                gradient_of(matrix, Projected(s, Projector.complement(m)))
            )(jnp.zeros(N))
        )(modes)
        np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())


def test_a_regular_symmetric_matrix_needs_no_modes():
    for solver, values in ((CG(), np.logspace(-2, 0, N)), (MINRES(), np.linspace(-1.0, 1.3, N))):
        matrix = spectrum(values)
        found = compiled(matrix, Projected(solver))
        expected = np.linalg.solve(matrix, WEIGHTS[:N])
        np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())


def test_one_mode_of_a_tree_of_unknowns():
    mode = ravel_pytree({"a": jnp.ones(2), "b": jnp.ones((2, 2))})[0]
    solve = Projected(CG(), Projector.complement(mode))

    def residual(x, t):
        flat, unravel = ravel_pytree(x)
        return unravel(ring(6) @ flat - t)

    def f(t):
        x = attach(residual, {"a": jnp.zeros(2), "b": jnp.zeros((2, 2))}, (t,), solve)
        return WEIGHTS[:6] @ ravel_pytree(x)[0]

    expected = np.linalg.pinv(ring(6)) @ WEIGHTS[:6]
    np.testing.assert_allclose(
        jax.grad(f)(jnp.zeros(6)), expected, atol=1e-9 * np.abs(expected).max()
    )


def test_modes_that_are_none_are_found_out():
    matrix = spectrum(np.logspace(-2, 0, N))
    solve = Projected(CG(), Projector.complement(jnp.ones(N)))
    with pytest.raises(DerivativeUndefined):
        jax.grad(gradient_of(matrix, solve))(jnp.zeros(N))


@pytest.mark.parametrize("solve", BY_HAND.values(), ids=BY_HAND)
def test_singular_symmetric_is_the_minimum_norm_answer(solve):
    f = gradient_of(ring(), solve)
    expected = np.linalg.pinv(ring()) @ WEIGHTS[:N]
    found = jax.jit(jax.grad(f))(jnp.zeros(N))
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())


def test_stiffnesses_of_a_ring_and_their_second_derivatives():
    """Springs of rest lengths 1, 2, ...: x by pseudo-inverse, differentiated by JAX itself."""
    lengths = jnp.arange(1.0, N + 1)
    to_next = jnp.roll(jnp.eye(N), 1, axis=1) - jnp.eye(N)

    def force(x, k):
        return to_next.T @ (k * (to_next @ x - lengths))

    def closed(k):  # fixes the translation by a stiff spring on the mean, which carries no load
        matrix = ring(N, k) + jnp.ones((N, N)) / N
        return jnp.linalg.solve(matrix, to_next.T @ (k * lengths))

    def f(k):
        x = closed(jax.lax.stop_gradient(k)) + 5.0  # any member of the family is a solution
        return WEIGHTS[:N] @ jnp.sin(attach(force, x, (k,)))

    def g(k):
        return WEIGHTS[:N] @ jnp.sin(closed(k) + 5.0)

    k = jnp.linspace(1.0, 2.0, N)
    found, expected = (
        jax.jit(lambda s, o=o: (jax.grad(o)(s), jax.hessian(o)(s)))(k) for o in (f, g)
    )
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-7, atol=1e-7)


CONDITIONED = {
    "symmetric": spectrum(np.logspace(-6, 0, N)),
    "indefinite": spectrum(np.logspace(-6, 0, N) * (-1.0) ** np.arange(N)),
    "unsymmetric": spectrum(np.logspace(-3, 0, N)) @ spectrum(np.logspace(-3, 0, N), 0)
    @ jnp.asarray(np.linalg.qr(np.random.default_rng(3).normal(size=(N, N)))[0]),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONDITIONED)
@pytest.mark.parametrize("limits", [(1000, 4000), (3, 4000), (3, 3)], ids=str)
def test_condition_a_million(kind: str, limits: tuple[int, int]):
    matrix = CONDITIONED[kind]
    assert np.isclose(np.linalg.cond(matrix), 1e6, rtol=1e-3)
    found = compiled(matrix, Auto(*limits))
    expected = np.linalg.solve(matrix.T, WEIGHTS[:N])
    np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max())


def test_singular_unsymmetric_is_the_minimum_norm_answer():
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(N, N)))[0]
    matrix = jnp.asarray(ring() @ rotation)
    found = compiled(matrix, auto.AUTO)
    expected = np.linalg.pinv(matrix).T @ WEIGHTS[:N]
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())


def loose_cg(matvec, b):
    return cg(matvec, b)[0]  # jax's default tolerance of 1e-5


def normal_cg(matvec, b):
    transpose = jax.linear_transpose(matvec, b)
    return cg(lambda x: transpose(matvec(x))[0], transpose(b)[0])[0]


def test_a_loose_solve_is_refined():
    matrix = spectrum(np.logspace(-2, 0, N))
    found = compiled(matrix, loose_cg)
    np.testing.assert_allclose(found, np.linalg.solve(matrix, WEIGHTS[:N]), rtol=1e-8)


MISSING = {
    "cg where the cotangent leaves the range": (ring(), loose_cg),
    "normal equations at condition 1e6": (spectrum(np.logspace(-6, 0, 60)), normal_cg),
    "LU of a singular matrix": (ring(), lambda mv, b: jnp.linalg.solve(jax.jacfwd(mv)(b), b)),
    "half the answer, wrong sign": (jnp.eye(N), lambda mv, b: -0.5 * b),
    "nothing": (jnp.eye(N), lambda mv, b: 0 * b),
    "NaN": (jnp.eye(N), lambda mv, b: jnp.nan * b),
    "default on the zero matrix": (jnp.zeros((N, N)), auto.AUTO),
    "matrix free on the zero matrix": (jnp.zeros((N, N)), Auto(dense_limit=3, elimination_limit=3)),
    "default on NaN": (jnp.full((N, N), jnp.nan), auto.AUTO),
    "default on infinity": (jnp.full((N, N), jnp.inf), auto.AUTO),
}


EAGER_TOO = ("cg where the cotangent leaves the range", "nothing", "NaN", "default on NaN")


@pytest.mark.parametrize("kind", MISSING)
def test_a_miss_is_nan_when_compiled_and_an_exception_when_not(kind: str):
    matrix, solve = MISSING[kind]
    assert np.all(np.isnan(compiled(matrix, solve)))
    if kind in EAGER_TOO:
        with pytest.raises(DerivativeUndefined, match="the linear solve behind"):
            jax.grad(gradient_of(matrix, solve))(jnp.zeros(len(matrix)))


def test_forward_mode_misses_too():
    with pytest.raises(DerivativeUndefined):
        jax.jvp(gradient_of(jnp.zeros((N, N))), (jnp.zeros(N),), (jnp.ones(N),))


BOTH_SIDES = {
    "default": auto.AUTO,
    "default, matrix free": Auto(dense_limit=3, elimination_limit=3),
    "normal equations": normal_cg,
}


@pytest.mark.parametrize("solve", BOTH_SIDES.values(), ids=BOTH_SIDES)
def test_forward_and_reverse_mode_have_one_jacobian(solve):
    """A ring of springs bears forces of sum zero; others are projected onto them."""

    def at(theta):
        return attach(lambda x, t: ring() @ x - t, jnp.zeros(N), (theta,), solve)

    def slope(t):
        return jax.jvp(at, (jnp.zeros(N),), (t,))[1]

    forces = WEIGHTS[:N] - jnp.mean(WEIGHTS[:N])
    expected = np.linalg.pinv(ring()) @ forces
    for found in jax.jit(jax.vmap(slope))(jnp.stack([forces, forces + 1e-3])):
        np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(
        compiled(ring(), solve), expected, atol=1e-9 * np.abs(expected).max()
    )


@pytest.mark.parametrize("condition, defined", [(1e9, True), (1e11, False)])
def test_between_regular_and_singular(condition: float, defined: bool):
    matrix = spectrum(np.geomspace(1 / condition, 1.0, N))
    assert np.all(np.isfinite(compiled(matrix, auto.AUTO))) == defined


class Diagonal(Certified):
    """A solve of one's own, for diagonal matrices."""

    symmetric = True

    def __call__(self, matvec, b):
        return b / matvec(jnp.ones_like(b))


@pytest.mark.parametrize("compile", [jax.jit, lambda f: f], ids=["compiled", "eager"])
def test_one_bad_member_does_not_poison_the_batch(compile):
    def f(scale):
        x = attach(lambda x, s: x * scale - s, jnp.ones(3), (2 * scale,), Diagonal())
        return jnp.sum(x)

    found = compile(jax.vmap(jax.grad(f)))(jnp.array([1.0, 0.0, 2.0]))
    np.testing.assert_allclose(found[jnp.array([0, 2])], [3.0, 1.5])
    assert np.isnan(found[1])


def test_the_solution_given_has_no_derivative_and_costs_no_solve():
    class Refusing(Certified):
        def __call__(self, matvec, b):
            raise AssertionError("a solve was asked for")

    def f(sol):
        return attach(lambda x, t: x - t, sol, (1.0,), Refusing())

    assert jax.grad(f)(jnp.ones(())) == 0.0
    assert jax.jvp(f, (jnp.ones(()),), (jnp.ones(()),))[1] == 0.0


def test_a_nan_cotangent_is_named():
    with pytest.raises(DerivativeUndefined, match="right-hand side"):
        root_vjp(lambda x, t: x - t, jnp.ones(2), (jnp.ones(2),), jnp.array([1.0, jnp.nan]))


def test_a_solver_that_failed_gives_no_derivative():
    with pytest.raises(DerivativeUndefined):
        jax.grad(lambda t: attach(lambda x, s: x**2 - s, jnp.nan, (t,)))(2.0)


def test_a_symmetric_promise_spares_the_transpose():
    """A matvec with a while loop inside can be solved with, but not transposed."""
    matrix = spectrum(np.logspace(-1, 0, N))

    def residual(x, t):
        doubled = jax.lax.while_loop(lambda c: c[0] < 1, lambda c: (c[0] + 1, 2 * c[1]), (0, x))[1]
        return matrix @ doubled - t

    def f(t):
        return WEIGHTS[:N] @ attach(residual, jnp.zeros(N), (t,), Refined(loose_cg, symmetric=True))

    found = jax.jit(jax.jacfwd(f))(jnp.zeros(N))
    np.testing.assert_allclose(found, 0.5 * np.linalg.solve(matrix, WEIGHTS[:N]), rtol=1e-8)


def test_a_solve_may_carry_traced_arrays():
    """The projector depends on what is compiled, and still travels into the derivative."""

    def f(theta, mask):
        projector = Projector(mask, jnp.zeros((N, 0)))
        x = attach(lambda y, t: y - t, jnp.zeros(N), (theta,), Projected(CG(), projector))
        return WEIGHTS[:N] @ x

    mask = jnp.ones(N).at[3].set(0.0)
    found = jax.grad(jax.jit(f))(jnp.zeros(N), mask)
    np.testing.assert_allclose(found, WEIGHTS[:N] * mask, rtol=1e-9)


def test_a_solve_that_closes_over_a_tracer_is_refused():
    def f(theta):
        scale = 1.0 + 0 * theta[0]
        return attach(lambda x, t: x - t, theta, (theta,), lambda mv, b: b * scale).sum()

    with pytest.raises(InputError, match="closes over"):
        jax.grad(f)(jnp.ones(3))


def test_a_certified_solve_of_ones_own():
    found = jax.grad(gradient_of(jnp.diag(1.0 + WEIGHTS[:N]), Diagonal()))(jnp.zeros(N))
    np.testing.assert_allclose(found, WEIGHTS[:N] / (1 + WEIGHTS[:N]), rtol=1e-12)
