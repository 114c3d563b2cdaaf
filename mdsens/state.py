"""A configuration ready to be measured, and the report of how it was found: two types.

What continues (positions, cell, neighbours) is a `Configuration`; what is told is a `Report`.
A `Minimum` is a configuration that `relax` vouches for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.neighbors import Pairs


@dataclass(frozen=True, eq=False)
class Configuration:
    """Positions (N, d), cell (d, d), the pairs that interact, and periodic directions.

    Attributes:
        fixed: (N,) particles that are held; None where all are free.
    """

    positions: Any
    cell: Any
    neighbors: Pairs
    pbc: tuple[bool, ...]
    fixed: Any = field(default=None, kw_only=True)

    @property
    def held(self) -> jax.Array:
        """(N,) bool: `fixed` as an array in either case."""
        n = self.positions.shape[0]
        return jnp.zeros(n, bool) if self.fixed is None else jnp.asarray(self.fixed)


@dataclass(frozen=True, eq=False)
class Report:
    """How a relaxation went.

    Attributes:
        converged: residual <= fmax, and the neighbour list holds.
        residual: largest force component (with a free cell also max |stress - target| V^(1/d)).
        steps: minimizer steps.
        newton_steps: Newton steps of the polish.
        neighbors_valid: no interaction is missing from the list.
        finite: positions and forces are numbers.
        swelling: volume over that of the start, where a free cell ran away; else 1.
    """

    converged: Any
    residual: Any
    steps: Any
    newton_steps: Any
    neighbors_valid: Any
    finite: Any
    swelling: Any = 1.0


@dataclass(frozen=True, eq=False)
class Minimum(Configuration):
    """A relaxed configuration. NaN positions (only under jit or vmap) say that there is none.

    Attributes:
        report: how it was found.
    """

    report: Report


@dataclass(frozen=True, eq=False)
class Saddle(Configuration):
    """A first-order saddle. NaN positions (only under jit or vmap) say that there is none.

    Attributes:
        report: how it was found.
        curvatures: (2,) the two lowest curvatures, of which the first is negative.
        mode: (N, d) the direction of that one, of length one.
    """

    report: Report
    curvatures: Any
    mode: Any


def _register(cls: type, meta: list[str]) -> None:
    fields = [f for f in cls.__dataclass_fields__ if f not in meta]
    jax.tree_util.register_dataclass(cls, data_fields=fields, meta_fields=meta)


_register(Configuration, ["pbc"])
_register(Report, [])
_register(Minimum, ["pbc"])
_register(Saddle, ["pbc"])
