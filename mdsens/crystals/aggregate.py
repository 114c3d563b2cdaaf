"""What a tensor of elastic constants says about a polycrystal, and about stability."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mdsens.errors import InputError
from mdsens.observables import voigt


class Aggregate(NamedTuple):
    """Moduli of a polycrystal of randomly turned grains, each ().

    Attributes:
        bulk_voigt, shear_voigt: all grains strained alike, an upper bound.
        bulk_reuss, shear_reuss: all grains stressed alike, a lower bound.
        bulk_hill, shear_hill: the means of the two.
    """

    bulk_voigt: jax.Array
    bulk_reuss: jax.Array
    bulk_hill: jax.Array
    shear_voigt: jax.Array
    shear_reuss: jax.Array
    shear_hill: jax.Array


def aggregate_moduli(tensor: jax.Array) -> Aggregate:
    """Voigt, Reuss and Hill averages of a tensor from `elastic_tensor`, (6, 6) or (3, 3) in 2D.

        B_V = C_iikk / d^2,  G_V = (C_ijij - C_iijj / d) / ((d - 1)(d + 2)),
        B_R = 1 / S_iikk,    G_R = 1/4 (d - 1)(d + 2) / (S_ijij - S_iijj / d),  S = C^-1

    Differentiable: jax.jacfwd of it with a derivative of the tensor propagates that.

    Raises:
        InputError: not a Voigt matrix.

    Source: Hill, doi:10.1088/0370-1298/65/5/307.
    """
    weights = _weights(tensor)
    compliance = jnp.linalg.inv(tensor) / weights / weights[:, 0][None]
    d = 2 if len(tensor) == 3 else 3
    bulk, shear = voigt.bulk(tensor), voigt.shear(tensor)
    soft_bulk = 1.0 / (d**2 * voigt.bulk(compliance))
    soft_shear = 0.25 / voigt.shear(compliance)
    return Aggregate(
        bulk, soft_bulk, 0.5 * (bulk + soft_bulk), shear, soft_shear, 0.5 * (shear + soft_shear)
    )


def born_stability(tensor: jax.Array) -> jax.Array:
    """(v,) stiffnesses of a crystal against homogeneous strain, ascending: all positive where it is
    stable at fixed stress (Born's criterion).

    The eigenvalues of the symmetric part of C_ijkl as an operator on symmetric strains of length
    e_ij e_ij = 1; of a cubic crystal C11 + 2 C12, C11 - C12 (twice), 2 C44 (three times). `tensor`
    holds Birch's coefficients, as `elastic_tensor` gives them; under stress no others will do.

    Raises:
        InputError: not a Voigt matrix.

    Source: Mouhat, Coudert, doi:10.1103/PhysRevB.90.224104; Wang et al.,
    doi:10.1103/PhysRevB.52.12627.
    """
    root = jnp.sqrt(_weights(tensor))
    return jnp.linalg.eigvalsh(0.5 * (tensor + tensor.T) * root * root[:, 0][None])


def _weights(tensor: jax.Array) -> jax.Array:
    """(v, 1) how often each Voigt component is there in the tensor: 1, or 2 for shear."""
    if jnp.shape(tensor) not in ((3, 3), (6, 6)):
        raise InputError(
            f"tensor of shape {jnp.shape(tensor)}; give a Voigt matrix, (6, 6) or (3, 3)"
        )
    d = 2 if len(tensor) == 3 else 3
    return jnp.where(jnp.arange(len(tensor)) < d, 1.0, 2.0)[:, None]
