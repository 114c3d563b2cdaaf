"""P is an orthogonal projector, whatever is absent."""

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.linear import Projector


def example() -> Projector:
    mask = jnp.array([1.0, 1.0, 0.0, 1.0, 1.0])
    mode = mask / jnp.linalg.norm(mask)
    return Projector(mask, jnp.stack([mode, jnp.zeros(5)], axis=1))


def test_symmetric_and_idempotent():
    p = example()
    dense = np.asarray(p(jnp.eye(5)))
    np.testing.assert_allclose(dense, dense.T, atol=1e-15)
    np.testing.assert_allclose(dense @ dense, dense, atol=1e-15)
    assert np.isclose(np.trace(dense), 3.0)


def test_removes_the_mode_and_the_masked():
    p = example()
    assert np.allclose(p(p.mask), 0.0)
    assert p(jnp.arange(5.0))[2] == 0.0


def test_columns_are_vectors():
    p = example()
    x = jnp.arange(10.0).reshape(5, 2)
    np.testing.assert_allclose(p(x)[:, 1], p(x[:, 1]), atol=1e-15)


def test_identity_removes_nothing():
    x = jnp.arange(4.0)
    assert np.array_equal(Projector.identity(4)(x), x)


def test_travels_through_jit():
    p = example()
    x = jnp.arange(5.0)
    assert np.allclose(jax.jit(lambda q, y: q(y))(p, x), p(x))
