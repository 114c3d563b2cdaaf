"""Observables with what they need beyond the state, so that it is solved for once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mdsens.derivatives.linearization import Linearization
from mdsens.derivatives.strained import nonaffine, nonaffine_near
from mdsens.observables.elasticity import WITH_DISPLACEMENTS, strains_of


def bound(
    line: Linearization, observable: Callable[..., Any], z: np.ndarray | None = None
) -> tuple[Partial, float]:
    """(potential, params, state) -> array for states at z, and the residual of what was solved.

    Args:
        z: (n,) near the state; None for the state itself.

    Raises:
        DerivativeUndefined: the solve missed its tolerance.
    """
    if observable not in WITH_DISPLACEMENTS:
        return Partial(observable), 0.0
    strains = strains_of(observable, line.problem.dimension)
    u, residual = nonaffine(line, strains)
    if z is not None:
        positions, cell = line.problem.configuration(jnp.asarray(z), line.near)
        there = replace(line.near, positions=positions, cell=cell)
        u = nonaffine_near(line, there, strains, u)
    return Partial(WITH_DISPLACEMENTS[observable], u), residual
