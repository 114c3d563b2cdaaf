"""The environment-dependent interatomic potential of silicon."""

from __future__ import annotations

from typing import final

import jax
import jax.numpy as jnp

from mdsens.potentials.site import Site, SitePotential


@final
class EDIP(SitePotential, kind="edip"):
    """Pairs and angles that depend on the coordination Z of an atom.

        E = sum_i [ sum_{j != i} V2(r_ij, Z_i) + sum_{j<k} V3(r_ij, r_ik, theta_jik, Z_i) ]
        V2 = A [(B/r)^rho - exp(-beta Z^2)] exp(sigma/(r - a))
        V3 = exp(gamma/(r_ij - a)) exp(gamma/(r_ik - a)) h(cos theta, Z)
        h = lambda [1 - exp(-Q (cos theta + tau)^2) + eta Q (cos theta + tau)^2]
        Q = Q0 exp(-mu Z),  tau = u1 + u2 (u3 exp(-u4 Z) - exp(-2 u4 Z))
        Z_i = sum_j f(r_ij),  f = 1 below c, 0 above a, exp(alpha/(1 - x^-3)), x = (r - c)/(a - c)

    Parameters are named as in LAMMPS' `pair_style edip`: A, lambda [energy], B, sigma, gamma, a =
    `cutoffA`, c = `cutoffC` [length], and numbers.

    Source: Justo et al., doi:10.1103/PhysRevB.58.2539.
    """

    def range(self, p: dict[str, jax.Array]) -> jax.Array:
        return p["cutoffA"]

    def site_energy(self, site: Site) -> jax.Array:
        p, t = site.pair, site.triple
        a, c = p["cutoffA"], p["cutoffC"]
        near = site.present & (site.r < a)
        # Absent neighbours stand where nothing overflows.
        r = jnp.where(near, site.r, 0.5 * (a + c))
        z = jnp.sum(jnp.where(near, _coordination(r, a, c, p["alpha"]), 0.0))
        strength = (p["B"] / r) ** p["rho"] - jnp.exp(-p["beta"] * z**2)
        pairs = p["A"] * strength * jnp.exp(p["sigma"] / (r - a))
        g = jnp.where(near, jnp.exp(p["gamma"] / (r - a)), 0.0)
        tau = t["u1"] + t["u2"] * (t["u3"] * jnp.exp(-t["u4"] * z) - jnp.exp(-2.0 * t["u4"] * z))
        x = t["Q0"] * jnp.exp(-t["mu"] * z) * (site.cosine + tau) ** 2
        bend = t["lambda"] * (-jnp.expm1(-x) + t["eta"] * x)
        angles = jnp.where(site.others, bend * g[:, None] * g[None, :], 0.0)
        return jnp.sum(jnp.where(near, pairs, 0.0)) + 0.5 * jnp.sum(angles)


def _coordination(r: jax.Array, a: jax.Array, c: jax.Array, alpha: jax.Array) -> jax.Array:
    between = r > c
    cube = (jnp.where(between, (r - c) / (a - c), 0.5)) ** 3
    return jnp.where(between, jnp.exp(alpha * cube / (cube - 1.0)), 1.0)
