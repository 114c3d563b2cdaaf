"""Pair potentials cut at a distance, and the ways to smooth the cut.

energy_shift  e(r) - e(rc)                          continuous energy (LAMMPS `pair_modify shift yes`)
force_shift   e(r) - e(rc) - (r - rc) e'(rc)        continuous force
xplor         e(r) s(r), s from 1 at `onset` to 0 at rc
none          e(r), truncated
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.catalogue import SMOOTHING
from mdsens.errors import InputError
from mdsens.potentials.pair import PairPotential


@dataclass(frozen=True)
class CutPotential(PairPotential):
    """Base of potentials with a `cutoff` parameter; a subclass gives `bare`."""

    smoothing: str = SMOOTHING[1][0]

    def __post_init__(self) -> None:
        if self.smoothing not in SMOOTHING[1]:
            raise InputError(
                f'{self.kind}: smoothing "{self.smoothing}" is unknown; '
                f"allowed: {', '.join(SMOOTHING[1])}"
            )

    @abstractmethod
    def bare(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        """The energy without a cut."""

    def range(self, p: dict[str, Any]) -> Any:
        return p["cutoff"]

    def pair_energy(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        cutoff = jnp.broadcast_to(p["cutoff"], r.shape)
        inside = r < cutoff
        e = self.bare(p, r)
        if self.smoothing == "xplor":
            e = e * xplor(r, p["onset"], cutoff)
        elif self.smoothing != "none":
            at_cutoff, slope = jax.jvp(
                lambda x: self.bare(p, x), (cutoff,), (jnp.ones_like(cutoff),)
            )
            e = e - at_cutoff
            if self.smoothing == "force_shift":
                e = e - (r - cutoff) * slope
        return jnp.where(inside, e, 0.0)


def xplor(r: jax.Array, onset: jax.Array, cutoff: jax.Array) -> jax.Array:
    """s(r) = (rc^2 - r^2)^2 (rc^2 + 2 r^2 - 3 ro^2) / (rc^2 - ro^2)^3 for ro < r < rc; 1 below.

    Continuous value and slope at both ends (the XPLOR switching function; HOOMD-blue, jax-md).
    """
    r2, o2, c2 = r**2, onset**2, cutoff**2
    inner = (c2 - r2) ** 2 * (c2 + 2.0 * r2 - 3.0 * o2) / (c2 - o2) ** 3
    return jnp.where(r < onset, 1.0, inner)


@dataclass(frozen=True)
class LennardJones(CutPotential, kind="lennard_jones"):
    """e(r) = 4 epsilon [(sigma/r)^12 - (sigma/r)^6], cut at `cutoff` (an absolute length).

    By default shifted to zero at the cutoff; the shift depends on epsilon and sigma, and so does
    its derivative. Parameters: epsilon [energy], sigma, cutoff [length], onset [length] with
    smoothing = "xplor" (default 0.8 cutoff). Good cutoffs: 2.5 sigma and more. With
    smoothing = "none" or "energy_shift" forces jump where a pair crosses the cutoff.

    Source: Jones, doi:10.1098/rspa.1924.0082; conventions of LAMMPS pair_style lj/cut.
    """

    def bare(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        s6 = (p["sigma"] / r) ** 6
        return 4.0 * p["epsilon"] * (s6 * s6 - s6)


@dataclass(frozen=True)
class Morse(CutPotential, kind="morse"):
    """e(r) = D0 [exp(-2 alpha (r - r0)) - 2 exp(-alpha (r - r0))], cut at `cutoff`.

    Parameters: D0 [energy], alpha [1/length], r0, cutoff [length], onset as for LennardJones.
    Source: Morse, doi:10.1103/PhysRev.34.57; conventions of LAMMPS pair_style morse.
    """

    def bare(self, p: dict[str, jax.Array], r: jax.Array) -> jax.Array:
        x = jnp.exp(-p["alpha"] * (r - p["r0"]))
        return p["D0"] * (x * x - 2.0 * x)
