"""The Stillinger-Weber potential of tetrahedral crystals."""

from __future__ import annotations

from typing import final

import jax
import jax.numpy as jnp

from mdsens.potentials.site import Site, SitePotential


@final
class StillingerWeber(SitePotential, kind="stillinger_weber"):
    """Pairs, and angles that should be tetrahedral (cos theta_0 = -1/3).

        E = sum_{i<j} A eps [B (sig/r)^p - (sig/r)^q] exp(sig / (r - a sig))
          + sum_i sum_{j<k} lambda eps_ijk (cos theta_jik - costheta0)^2
            exp(gamma sig_ij / (r_ij - a sig_ij)) exp(gamma sig_ik / (r_ik - a sig_ik))

    up to r = a sigma, where it vanishes with all derivatives. Parameters are named as in LAMMPS'
    `pair_style sw`: epsilon [energy], sigma [length], a, lambda, gamma, costheta0, A, B, p, q, and
    `tol`, which shortens the range to where gamma sigma / (r - a sigma) = ln(tol); 0: full range.
    Silicon: epsilon 2.1683 eV, sigma 2.0951 angstrom, a 1.8, lambda 21, gamma 1.2, A 7.049556277,
    B 0.6022245584, p 4, q 0.

    Source: Stillinger, Weber, doi:10.1103/PhysRevB.31.5262.
    """

    def range(self, p: dict[str, jax.Array]) -> jax.Array:
        full = p["sigma"] * p["a"]
        # As LAMMPS has it: a tolerance above 0.01 counts as that, and gamma only if below 1.
        tol = jnp.clip(p["tol"], 1e-300, 0.01)
        shortened = full + jnp.minimum(p["gamma"], 1.0) * p["sigma"] / jnp.log(tol)
        return jnp.where(p["tol"] > 0.0, shortened, full)

    def site_energy(self, site: Site) -> jax.Array:
        p, t = site.pair, site.triple
        full = p["sigma"] * p["a"]
        near = site.present & (site.r < self.range(p))
        # Absent neighbours stand where nothing overflows.
        r = jnp.where(near, site.r, 0.5 * full)
        fade = p["sigma"] / (r - full)
        # Powers by one logarithm, in half the time.
        ln = jnp.log(p["sigma"] / r)
        powers = p["B"] * jnp.exp(p["p"] * ln + fade) - jnp.exp(p["q"] * ln + fade)
        pairs = p["A"] * p["epsilon"] * powers
        g = jnp.where(near, jnp.exp(p["gamma"] * fade), 0.0)
        bend = t["lambda"] * t["epsilon"] * (site.cosine - t["costheta0"]) ** 2
        angles = jnp.where(site.others, bend * g[:, None] * g[None, :], 0.0)
        return 0.5 * (jnp.sum(jnp.where(near, pairs, 0.0)) + jnp.sum(angles))
