"""The Tersoff bond-order potential."""

from __future__ import annotations

from typing import final

import jax
import jax.numpy as jnp

from mdsens.potentials.site import Site, SitePotential

# Beyond this the exponential of distances is 0 or 1e30, as in LAMMPS.
_LARGEST = 69.0776


@final
class Tersoff(SitePotential, kind="tersoff"):
    """Pairs whose attraction weakens with the number of other bonds, and by their angles.

        E = 1/2 sum_{i != j} f(r_ij) [A exp(-lambda1 r_ij) - b_ij B exp(-lambda2 r_ij)]
        b_ij = (1 + beta^n zeta_ij^n)^(-1/(2 n))
        zeta_ij = sum_{k != i, j} f(r_ik) g(theta_jik) exp((lambda3 (r_ij - r_ik))^m)
        g(theta) = gamma [1 + c^2/d^2 - c^2/(d^2 + (cos theta - costheta0)^2)]
        f(r) = 1 below R - D, 0 above R + D, 1/2 - 1/2 sin(pi (r - R)/(2 D)) between

    Parameters are named as in LAMMPS' `pair_style tersoff`: A, B [energy], lambda1, lambda2,
    lambda3 [1/length], R, D [length], and numbers; m is 3 or 1 and no derivative is taken by it. f
    has kinks in its second derivative at R - D and R + D: elastic constants and the like are
    one-sided where a bond is exactly that long.

    Source: Tersoff, doi:10.1103/PhysRevB.37.6991, doi:10.1103/PhysRevB.39.5566.
    """

    def range(self, p: dict[str, jax.Array]) -> jax.Array:
        return p["R"] + p["D"]

    def site_energy(self, site: Site) -> jax.Array:
        p, r = site.pair, site.r
        fade = jnp.where(site.present, _fade(r, p["R"], p["D"]), 0.0)
        b = _bond_order(self._zeta(site), p["beta"], p["n"])
        repulsion = p["A"] * jnp.exp(-p["lambda1"] * r)
        attraction = p["B"] * jnp.exp(-p["lambda2"] * r)
        return 0.5 * jnp.sum(fade * (repulsion - b * attraction))

    def _zeta(self, site: Site) -> jax.Array:
        """(K,) of the bond to each neighbour, a sum over the others."""
        t = site.triple
        r_ij, r_ik = site.r[:, None], site.r[None, :]
        x = t["lambda3"] * (r_ij - r_ik)
        power = jnp.clip(jnp.where(t["m"] == 3.0, x**3, x), -_LARGEST, _LARGEST)
        c, d = t["c"] ** 2, t["d"] ** 2
        g = t["gamma"] * (1.0 + c / d - c / (d + (site.cosine - t["costheta0"]) ** 2))
        terms = _fade(r_ik, t["R"], t["D"]) * g * jnp.exp(power)
        return jnp.sum(jnp.where(site.others, terms, 0.0), axis=1)


def _fade(r: jax.Array, R: jax.Array, D: jax.Array) -> jax.Array:
    x = jnp.clip((r - R) / D, -1.0, 1.0)
    return 0.5 - 0.5 * jnp.sin(0.5 * jnp.pi * x)


def _bond_order(zeta: jax.Array, beta: jax.Array, n: jax.Array) -> jax.Array:
    # n below 1 has an infinite slope where there is no other bond.
    some = zeta > 0.0
    x = (beta * jnp.where(some, zeta, 1.0)) ** n
    return jnp.where(some, (1.0 + x) ** (-0.5 / n), 1.0)
