"""The embedded-atom alloys of Zhou, Johnson and Wadley."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp

from mdsens.neighbors import Pairs
from mdsens.potentials.base import Params
from mdsens.potentials.embedded import Bonds, EmbeddedPotential
from mdsens.potentials.mixing import check_complete, of_particles

_BONDS = ("r_e", "f_e", "alpha", "beta", "A", "B", "kappa", "lambda")

Values = dict[str, jax.Array]


@final
@dataclass(frozen=True)
class EAMZhou(EmbeddedPotential, kind="eam_zhou"):
    """Metals and their alloys from one analytic form per element, x = r/r_e:

        phi(r) = A exp(-alpha (x-1)) / (1 + (x-kappa)^20) - B exp(-beta (x-1)) / (1 + (x-lambda)^20)
        f(r)   = f_e exp(-beta (x-1)) / (1 + (x-lambda)^20)
        F(rho) = sum_k F_nk (rho/rho_n - 1)^k           rho < rho_n = rho_n_ratio rho_e
                 sum_k F_k (rho/rho_e - 1)^k            rho_n <= rho < rho_0 = rho_0_ratio rho_e
                 F_e [1 - eta ln(rho/rho_s)] (rho/rho_s)^eta            rho_0 <= rho
        phi_ab = (f_b/f_a phi_aa + f_a/f_b phi_bb) / 2

    All parameters belong to species; what is not given has the published value of the element:
    Cu Ag Au Ni Pd Pt Al Pb Fe Mo Ta W Mg Co Ti Zr, in eV and angstrom. With `F_3_above` F_3 is
    another one where rho > rho_e, as in older parameter sets of this form.

    The form is kept as published: values of six digits leave jumps of F below 5e-7 eV, of F' below
    1e-4 eV, at rho_n and rho_0 (crystals are far from both); F'' and the moduli jump by per cents.
    `cutoff` truncates without a shift: at the default of 2.9 r_e less than 1e-9 eV is left of a pair,
    and it lies between shells of neighbours of fcc, bcc and hcp; sqrt(5) r_e, which tabulations use, is
    a shell of fcc and half as costly.

    Source: Zhou, Johnson, Wadley, doi:10.1103/PhysRevB.69.144113.
    """

    def cutoff(self, params: Params) -> jax.Array:
        return jnp.asarray(params["cutoff"])

    def bonds(self, params: Params, neighbors: Pairs) -> Callable[[jax.Array], Bonds]:
        check_complete(self.entry, self.options, params)
        cutoff = params["cutoff"]
        own = {name: of_particles(name, params[name], neighbors) for name in _BONDS}
        at_i, at_j = (
            {k: _at(v, ends) for k, v in own.items()} for ends in (neighbors.i, neighbors.j)
        )
        alike = all(v.ndim == 0 for v in own.values())

        def of(r: jax.Array) -> Bonds:
            near = r < cutoff
            # Beyond, where nothing overflows.
            r = jnp.where(near, r, cutoff)
            phi_i, f_i = _element(at_i, r)
            phi_j, f_j = (phi_i, f_i) if alike else _element(at_j, r)
            phi = phi_i if alike else 0.5 * (f_j / f_i * phi_i + f_i / f_j * phi_j)
            return Bonds(*(jnp.where(near, x, 0.0) for x in (phi, f_j, f_i)))

        return of

    def embedding(self, params: Params, neighbors: Pairs) -> Callable[[jax.Array], jax.Array]:
        own = {
            name: of_particles(name, value, neighbors)
            for name, value in params.items()
            if name not in _BONDS and name != "cutoff"
        }
        return lambda rho: _embedding(own, rho)


def _at(value: jax.Array, ends: Any) -> jax.Array:
    return value[ends] if value.ndim else value


def _element(p: Values, r: jax.Array) -> tuple[jax.Array, jax.Array]:
    """phi and f of a pure element."""
    x = r / p["r_e"]
    repulsion = jnp.exp(-p["alpha"] * (x - 1.0)) / (1.0 + (x - p["kappa"]) ** 20)
    fade = jnp.exp(-p["beta"] * (x - 1.0)) / (1.0 + (x - p["lambda"]) ** 20)
    return p["A"] * repulsion - p["B"] * fade, p["f_e"] * fade


def _embedding(p: Values, rho: jax.Array) -> jax.Array:
    x, rho_n, rho_0 = rho / p["rho_e"], p["rho_n_ratio"], p["rho_0_ratio"]
    low = _cubic([p[f"F_n{k}"] for k in range(4)], x / rho_n - 1.0)
    above = jnp.where(x < 1.0, p["F_3"], p.get("F_3_above", p["F_3"]))
    middle = _cubic([p["F_0"], p["F_1"], p["F_2"], above], x - 1.0)
    # A logarithm that is finite where another branch is taken.
    ln = jnp.log(jnp.where(x < rho_0, p["rho_e"], rho) / p["rho_s"])
    high = p["F_e"] * (1.0 - p["eta"] * ln) * jnp.exp(p["eta"] * ln)
    return jnp.where(x < rho_n, low, jnp.where(x < rho_0, middle, high))


def _cubic(c: list[jax.Array], x: jax.Array) -> jax.Array:
    return c[0] + x * (c[1] + x * (c[2] + x * c[3]))
