"""Tensors of elasticity in Voigt's notation: xx, yy, zz, yz, xz, xy; in 2D xx, yy, xy.

A unit of a shear strain is engineering shear, gamma_xy = 2 e_xy = 1, so that the Voigt matrix holds
the tensor components themselves: C[5, 5] = C_xyxy. v = d(d + 1)/2 components.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def components(d: int) -> np.ndarray:
    """(v, 2) Cartesian indices of the components."""
    shear = [(1, 2), (0, 2), (0, 1)] if d == 3 else [(0, 1)]
    return np.array([(a, a) for a in range(d)] + shear)


def unit_strains(d: int) -> np.ndarray:
    """(v, d, d) symmetric strains, one per component."""
    units = np.zeros((len(components(d)), d, d))
    for unit, (a, b) in zip(units, components(d), strict=True):
        unit[a, b] += 0.5
        unit[b, a] += 0.5
    return units


def isotropic_strain(d: int) -> np.ndarray:
    """(1, d, d) the strain that stretches all lengths alike."""
    return np.eye(d)[None]


def deviatoric_strains(d: int) -> np.ndarray:
    """(v - 1, d, d) orthonormal symmetric strains that leave the volume alone."""
    shears = np.sqrt(2.0) * unit_strains(d)[d:]
    # The QR decomposition turns (1, ..., 1) into one of its directions and gives the others.
    others = np.linalg.qr(np.column_stack([np.ones(d), np.eye(d)[:, 1:]]))[0][:, 1:]
    return np.concatenate([[np.diag(x) for x in others.T], shears])


def stress_strain(curvature: jax.Array, stress: jax.Array) -> jax.Array:
    """Birch's coefficients d(stress_ij)/d(e_kl), (v, v), from c = (1/V) d2E/de2 and the stress.

        B_ijkl = c_ijkl + (d_ik s_jl + d_jk s_il + d_il s_jk + d_jl s_ik)/4 - s_ij d_kl

    dE/de is force per area before the strain, Cauchy's stress per area after it; the corrections
    are the difference. Rows are stresses, columns strains.

    Wallace, Thermodynamics of Crystals (1972), section 7; Barron, Klein,
    doi:10.1088/0370-1328/85/3/313.
    """
    d = stress.shape[0]
    one = jnp.eye(d)
    first, second = components(d).T
    i, j, k, l = first[:, None], second[:, None], first[None], second[None]
    turned = one[i, k] * stress[j, l] + one[j, k] * stress[i, l]
    turned = turned + one[i, l] * stress[j, k] + one[j, l] * stress[i, k]
    return curvature + 0.25 * turned - stress[i, j] * one[k, l]


def bulk(tensor: jax.Array) -> jax.Array:
    """C_iikk / d^2, (): the change of mean stress with volume."""
    d = _dimension(tensor)
    return jnp.sum(tensor[:d, :d]) / d**2


def shear(tensor: jax.Array) -> jax.Array:
    """(C_ijij - C_iijj / d) / ((d - 1)(d + 2)), (): shear stiffness averaged over all directions."""
    d, diagonal = _dimension(tensor), jnp.diagonal(tensor)
    total = jnp.sum(diagonal[:d]) + 2.0 * jnp.sum(diagonal[d:])
    return (total - d * bulk(tensor)) / ((d - 1) * (d + 2))


def poisson(tensor: jax.Array) -> jax.Array:
    """(d B - 2 G) / (d (d - 1) B + 2 G), (): 1/(d - 1) for G = 0, -1 for B = 0."""
    d, b, g = _dimension(tensor), bulk(tensor), shear(tensor)
    return (d * b - 2.0 * g) / (d * (d - 1) * b + 2.0 * g)


def _dimension(tensor: jax.Array) -> int:
    return {3: 2, 6: 3}[len(tensor)]
