"""How far along a Taylor series the minimum is the one it was made for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.derivatives.linearization import Linearization
from mdsens.derivatives.taylor import Path, configuration_at, horner, linearized_at
from mdsens.equilibrium import search
from mdsens.equilibrium.linearized import backbone
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.system import System

# Places along the path at which events are looked for, and halvings of the interval that has one.
_PLACES = 64
_HALVINGS = 40
_RATTLER_HALVINGS = 20
_MODE_HALVINGS = 12


def radius_of_validity(
    line: Linearization, series: np.ndarray, path: Path, start: System, horizon: float
) -> tuple[float, str, str]:
    """(t, kind, sentence) of the first event on (0, horizon], by looking at places and halving.

    Kinds: "contacts" (one opens or closes), "range" (particles leave that of the neighbour list),
    "rattlers" (one is caught between the others), "soft mode" (the Hessian of the predicted state
    gets one that is not positive), "none".
    """

    def happened(t: float) -> bool:
        holds, opened, closed = _events(line.problem, line.setting, series, path, t)
        return not bool(holds) or int(opened) + int(closed) > 0

    radius, kind, limit = horizon, "none", "no event up to the horizon"
    places = np.linspace(0.0, horizon, _PLACES + 1)
    first = next((k for k in range(1, _PLACES + 1) if happened(places[k])), None)
    if first is not None:
        radius, after = _halve(happened, places[first - 1], places[first], _HALVINGS)
        kind, limit = _told(*_events(line.problem, line.setting, series, path, after))
    caught = partial(catches_rattlers, line, series, path, start)
    if caught(radius):
        radius = _halve(caught, 0.0, radius, _RATTLER_HALVINGS)[0]
        kind, limit = "rattlers", "a rattler is caught between the others"
    soft = partial(_is_soft, line, series, path)
    if soft(radius):
        radius = _halve(soft, 0.0, radius, _MODE_HALVINGS)[0]
        kind, limit = "soft mode", "a mode becomes soft"
    return float(radius), kind, limit


def catches_rattlers(
    line: Linearization, series: np.ndarray, path: Path, start: System, t: float
) -> bool:
    """Whether the others, held where they are predicted, leave the rattlers no place without load.

    The rattlers relax alone from where they are, and have to end as rattlers. Until then they give
    way, and the others move as if they were not there.
    """
    if not line.rattlers.any():
        return False
    there = path.at(line.setting, t)
    positions, cell = map(np.asarray, configuration_at(line.problem, there, horner(series, t)))
    held = tuple(map(bool, ~line.rattlers))
    system = replace(start, positions=positions, cell=cell, fixed=held)
    found = search(line.problem.potential, there.params, system)
    end = backbone(found.problem, found.setting)
    free = bool(end.sound) and bool(np.all(np.asarray(end.rattlers)[line.rattlers]))
    return bool(found.why) or not free


def _told(holds: Any, opened: Any, closed: Any) -> tuple[str, str]:
    if not bool(holds):
        return "range", "particles leave the range of the neighbour list"
    return "contacts", f"contacts change: {int(opened)} opened, {int(closed)} closed"


def _halve(
    happened: Callable[[float], bool], before: float, after: float, times: int
) -> tuple[float, float]:
    """Bracket of the first event between `before` (none yet) and `after`."""
    for _ in range(times):
        middle = 0.5 * (before + after)
        if happened(middle):
            after = middle
        else:
            before = middle
    return before, after


@partial(jax.jit, static_argnames="problem")
def _events(
    problem: Problem, setting: Setting, series: Any, path: Path, t: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(the neighbour list holds, contacts opened, contacts closed) between 0 and t."""
    now = path.at(setting, t)
    positions, cell = problem.configuration(horner(series, t), now)
    pairs, potential = setting.neighbors, problem.potential
    holds = pairs.holds_for(positions, cell, potential.cutoff(now.params))
    here = potential.contacts(setting.params, setting.positions, setting.cell, pairs)
    there = potential.contacts(now.params, positions, cell, pairs)
    if here is None or there is None:
        return holds, jnp.asarray(0), jnp.asarray(0)
    return holds, jnp.sum(here & ~there), jnp.sum(there & ~here)


def _is_soft(line: Linearization, series: np.ndarray, path: Path, t: float) -> bool:
    """Whether the Hessian at the predicted state has a mode that is not positive."""
    there = linearized_at(line, series, path, t)
    return bool(there.negative or there.unexplained)
