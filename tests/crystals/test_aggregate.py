"""Averages over grains and Born's criterion against closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.errors import InputError
from mdsens.observables import voigt

C11, C12, C44 = 151.4, 76.4, 56.4


def cubic(c11, c12, c44):
    off = c12 * (1 - np.eye(3))
    return jnp.zeros((6, 6)).at[:3, :3].set(c11 * np.eye(3) + off).at[3:, 3:].set(c44 * np.eye(3))


def turned(tensor, rotation):
    """The same crystal in other axes."""
    pairs = voigt.components(len(rotation))
    d = len(rotation)
    full = np.zeros((d,) * 4)
    for a, (i, j) in enumerate(pairs):
        for b, (k, l) in enumerate(pairs):
            for one in ((i, j), (j, i)):
                for two in ((k, l), (l, k)):
                    full[(*one, *two)] = tensor[a, b]
    q = rotation
    full = np.einsum("ia,jb,kc,ld,abcd->ijkl", q, q, q, q, full)
    return jnp.array([[full[(*p, *r)] for r in pairs] for p in pairs])


def test_cubic_crystal_in_any_axes():
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    soft = 5 * (C11 - C12) * C44 / (4 * C44 + 3 * (C11 - C12))
    stiff, bulk = (C11 - C12 + 3 * C44) / 5, (C11 + 2 * C12) / 3
    expected = [bulk, bulk, bulk, stiff, soft, 0.5 * (stiff + soft)]
    strengths = np.sort([C11 + 2 * C12, *2 * [C11 - C12], *3 * [2 * C44]])
    for tensor in (cubic(C11, C12, C44), turned(cubic(C11, C12, C44), rotation)):
        np.testing.assert_allclose(ms.aggregate_moduli(tensor), expected, rtol=1e-12)
        np.testing.assert_allclose(ms.born_stability(tensor), strengths, rtol=1e-12)
    assert ms.born_stability(cubic(70.0, 76.0, 50.0))[0] < 0.0


def test_isotropic_sheet():
    bulk, shear = 2.0, 0.7
    tensor = jnp.array(
        [[bulk + shear, bulk - shear, 0.0], [bulk - shear, bulk + shear, 0.0], [0.0, 0.0, shear]]
    )
    expected = [bulk, bulk, bulk, shear, shear, shear]
    np.testing.assert_allclose(ms.aggregate_moduli(tensor), expected, rtol=1e-12)
    strengths = [2 * shear, 2 * shear, 2 * bulk]
    np.testing.assert_allclose(ms.born_stability(tensor), strengths, rtol=1e-12)


def test_derivatives():
    def soft(c):
        return ms.aggregate_moduli(cubic(*c)).shear_reuss

    def closed(c):
        return 5 * (c[0] - c[1]) * c[2] / (4 * c[2] + 3 * (c[0] - c[1]))

    c = jnp.array([C11, C12, C44])
    np.testing.assert_allclose(jax.grad(soft)(c), jax.grad(closed)(c), rtol=1e-10)


def test_what_is_no_tensor():
    with pytest.raises(InputError, match=r"shape \(4, 4\)"):
        ms.born_stability(jnp.eye(4))
