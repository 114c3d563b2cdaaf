"""root_jvp and root_vjp: one product with the Jacobian of a known root."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg

from mdsens.errors import DerivativeUndefined, InputError
from mdsens.implicit import root_jvp, root_vjp
from tests.implicit.problems import X, Y, ridge_gradient, skew

THETA = jnp.array([0.7, 1.3, 2.1, 0.9])
SOLUTION = jnp.linalg.solve(X.T @ X + jnp.diag(THETA), X.T @ Y)
JACOBIAN = jax.jacfwd(lambda t: jnp.linalg.solve(X.T @ X + jnp.diag(t), X.T @ Y))(THETA)


def test_jvp(rng: np.random.Generator):
    t = jnp.asarray(rng.normal(size=4))
    found = root_jvp(ridge_gradient, SOLUTION, (THETA,), (t,))
    np.testing.assert_allclose(found, JACOBIAN @ t, rtol=1e-9)


def test_vjp(rng: np.random.Generator):
    v = jnp.asarray(rng.normal(size=4))
    (found,) = root_vjp(ridge_gradient, SOLUTION, (THETA,), v)
    np.testing.assert_allclose(found, JACOBIAN.T @ v, rtol=1e-9)


def test_they_are_transposes_of_each_other(rng: np.random.Generator):
    t, v = jnp.asarray(rng.normal(size=(2, 4)))
    forward = root_jvp(skew, THETA, (THETA,), (t,))
    (reverse,) = root_vjp(skew, THETA, (THETA,), v)
    np.testing.assert_allclose(v @ forward, reverse @ t, rtol=1e-10)


def host(matvec, b):
    """A solve that JAX cannot trace."""
    n = len(b)
    operator = scipy.sparse.linalg.LinearOperator(
        (n, n), lambda x: np.array(matvec(jnp.asarray(x))), dtype=float
    )
    return jnp.asarray(scipy.sparse.linalg.gmres(operator, np.asarray(b))[0])


def test_eager_code_may_solve_on_the_host():
    (found,) = root_vjp(ridge_gradient, SOLUTION, (THETA,), jnp.ones(4), solve=host)
    np.testing.assert_allclose(found, JACOBIAN.T @ jnp.ones(4), rtol=1e-8)
    found = root_jvp(ridge_gradient, SOLUTION, (THETA,), (jnp.ones(4),), solve=host)
    np.testing.assert_allclose(found, JACOBIAN @ jnp.ones(4), rtol=1e-8)


def test_inside_jit_vmap_and_grad():
    basis = jnp.eye(4)
    push = jax.jit(jax.vmap(lambda t: root_jvp(ridge_gradient, SOLUTION, (THETA,), (t,))))
    pull = jax.jit(jax.vmap(lambda v: root_vjp(ridge_gradient, SOLUTION, (THETA,), v)[0]))
    np.testing.assert_allclose(push(basis).T, JACOBIAN, rtol=1e-9)
    np.testing.assert_allclose(pull(basis), JACOBIAN, rtol=1e-9)
    linear = jax.grad(lambda v: root_vjp(ridge_gradient, SOLUTION, (THETA,), v)[0].sum())
    np.testing.assert_allclose(linear(jnp.ones(4)), JACOBIAN.sum(axis=1), rtol=1e-9)


def test_arguments_that_are_no_floats():
    def condition(x, theta, exponent, flags, name, nothing):
        assert name == "x" and nothing is None
        return x**exponent - theta + jnp.where(flags, 0.0, 0.0)

    args = (jnp.array([4.0, 9.0]), 2, jnp.array([True, False]), "x", None)
    sol = jnp.array([2.0, 3.0])
    found = root_jvp(condition, sol, args, (jnp.ones(2), None, None, None, None))
    np.testing.assert_allclose(found, [1 / 4, 1 / 6], rtol=1e-12)
    pulled = root_vjp(condition, sol, args, jnp.ones(2))
    np.testing.assert_allclose(pulled[0], [1 / 4, 1 / 6], rtol=1e-12)
    assert pulled[1].dtype == pulled[2].dtype == jax.dtypes.float0
    assert pulled[2].shape == (2,) and pulled[3] is None and pulled[4] is None


BAD_TANGENTS = {
    "too few": ((jnp.ones(4), 1), (jnp.ones(4),), "tangents"),
    "another shape": ((jnp.ones(4), 1), (jnp.ones(3), None), "shape"),
    "another structure": (({"a": jnp.ones(4)}, 1), (jnp.ones(4), None), "structure"),
    "for an integer": ((jnp.ones(4), 1), (jnp.ones(4), 1.0), "no floating"),
    "missing": ((jnp.ones(4), 1), (None, None), "structure"),
}


@pytest.mark.parametrize("kind", BAD_TANGENTS)
def test_tangents_that_do_not_match(kind: str):
    args, tangents, message = BAD_TANGENTS[kind]
    with pytest.raises(InputError, match=message):
        root_jvp(lambda x, t, n: x - jax.tree_util.tree_leaves(t)[0], jnp.ones(4), args, tangents)


@pytest.mark.parametrize("cotangent", [jnp.ones(3), (jnp.ones(4),), jnp.ones(4, jnp.float32)])
def test_cotangents_that_do_not_match(cotangent):
    with pytest.raises(InputError, match="cotangent"):
        root_vjp(ridge_gradient, SOLUTION, (THETA,), cotangent)


def test_undefined_derivatives_raise_in_eager_code():
    def condition(x, t):
        return x**2 - t

    zero = jnp.zeros(2)
    with pytest.raises(DerivativeUndefined):
        root_jvp(condition, zero, (zero,), (jnp.ones(2),))
    with pytest.raises(DerivativeUndefined):
        root_vjp(condition, zero, (zero,), jnp.ones(2))
    compiled = jax.jit(lambda v: root_vjp(condition, zero, (zero,), v)[0])
    assert np.all(np.isnan(compiled(jnp.ones(2))))
