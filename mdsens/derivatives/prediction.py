"""`predict`: where a minimum goes when its parameters change, without relaxing again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.derivatives.events import catches_rattlers, radius_of_validity
from mdsens.derivatives.kernels import state_of
from mdsens.derivatives.linearization import Linearization, linearize, newton_correction
from mdsens.derivatives.named import select
from mdsens.derivatives.sensitivity import why_undefined
from mdsens.derivatives.taylor import (
    RTOL,
    Path,
    configuration_at,
    force_at,
    horner,
    linearized_at,
    taylor_series,
)
from mdsens.equilibrium import search
from mdsens.errors import DerivativeUndefined, InputError, NotConverged
from mdsens.potentials import Potential
from mdsens.system import System


@dataclass(frozen=True, eq=False)
class Prediction:
    """A relaxed state as a Taylor series in t, the fraction of the change made.

    Attributes:
        radius: the series describes the minimum for 0 <= t < radius.
        event: what happens there: "none", "contacts", "rattlers", "soft mode", "range" (of the
            neighbour list).
        limit: the same in a sentence.
        order: of the series.
        series: (order, n) derivatives d^k z/dt^k, k = 1...; z are displacements and strains.
        line: the linearised state at t = 0.
        start: the system it was made for.
        path: how parameters and cell change with t.
    """

    radius: float
    event: str
    limit: str
    order: int
    series: np.ndarray
    line: Linearization
    start: System
    path: Path

    def positions(self, t: float) -> np.ndarray:
        """(N, d) at t."""
        return np.asarray(self._configuration(t)[0])

    def cell(self, t: float) -> np.ndarray:
        """(d, d) at t."""
        return np.asarray(self._configuration(t)[1])

    def system(self, t: float) -> System:
        """The predicted state as a start for `relax`."""
        return replace(self.start, positions=self.positions(t), cell=self.cell(t))

    def params(self, t: float) -> Any:
        """Parameters theta + t c."""
        return self.path.at(self.line.setting, t).params

    def measure(self, observable: Callable[..., Any], t: float) -> np.ndarray:
        """observable(potential, params, state) at the predicted state; its error is of the order
        t^(order + 1) like that of the state."""
        setting = self.path.at(self.line.setting, t)
        positions, cell = self._configuration(t)
        state = state_of(self.line.problem, replace(setting, positions=positions, cell=cell))
        return np.asarray(observable(self.line.problem.potential, setting.params, state))

    def error(self, t: float) -> float:
        """Estimated largest displacement between the prediction and the minimum at t.

        The forces left at the predicted state, turned into displacements by its own Hessian:
        delta_1 = -A(t)^+ F, and once more from there. With q = |delta_2|/|delta_1| the steps sum to
        |delta_1|/(1 - q); twice delta_2 is added because a contact that changes on the way slows
        the next ones down. Infinite where they do not shrink, where particles become rattlers or
        rattlers are caught, and where A(t) is singular. Costs one factorisation, and with rattlers
        a relaxation of them alone.
        """
        if catches_rattlers(self.line, self.series, self.path, self.start, t):
            return math.inf
        try:
            there = linearized_at(self.line, self.series, self.path, t)
            if np.any(there.rattlers != self.line.rattlers):
                return math.inf
            first = newton_correction(there)
            moved = force_at(there.problem, first, there.setting)
            second = -there.solve(np.asarray(moved)[:, None])[0][:, 0]
        except DerivativeUndefined:
            return math.inf
        n, d = there.setting.positions.shape
        one, two = (float(np.abs(step[: n * d]).max(initial=0.0)) for step in (first, second))
        # Round-off does not shrink.
        noise = np.finfo(float).eps * there.condition * there.length
        q = two / one if two > noise else 0.0
        return (one + 2.0 * two) / (1.0 - q) if q < 1.0 else math.inf

    def distance(self, a: np.ndarray, b: np.ndarray) -> float:
        """Largest displacement between two sets of positions, rigid motions and rattlers aside."""
        moved = np.zeros((self.series.shape[1], 1))
        moved[: a.size, 0] = (a - b).reshape(-1)
        return float(np.abs(self.line.project(moved)[: a.size]).max(initial=0.0))

    def _configuration(self, t: float) -> tuple[jax.Array, jax.Array]:
        there = self.path.at(self.line.setting, t)
        return configuration_at(self.line.problem, there, horner(self.series, t))


def predict(
    potential: Potential,
    params: Any,
    system: System,
    change: Mapping[str, Any] | None = None,
    *,
    strain: Any = None,
    order: int = 2,
    horizon: float = 1.0,
    solver: str = "auto",
    rtol: float = RTOL,
    **relax_options: Any,
) -> Prediction:
    """The Taylor series of a relaxed state along a change of parameters or cell, and its reach.

    x(t) = x + t x' + t^2 x''/2 + ..., at theta + t c in the cell h (1 + t e), exact to
    O(t^(order+1)) between events. The radius is the first t at which the predicted state meets one of

        a contact opens or closes (potentials that know contacts; harmonic contacts change the
        stiffness by a jump, others smoothly but without a convergent series),
        the Hessian of the predicted state gets a mode that is not positive,
        a rattler is caught: relaxed alone, the others held where they are predicted, it finds no
            place without load,
        particles have moved further than the neighbour list vouches for,

    or `horizon` if there is none. Rattlers do not move here; those that still have room give way to
    the others without a force.

    Args:
        potential, params, system: as for `relax`, which is run first.
        change: c by parameter name ("diameter"), shaped like the parameter or a number for all.
        strain: e, (d, d): the cell is deformed, with cell = "fixed".
        order: 1, 2 or 3; the second costs one more solve, the third is rarely worth its
            compilation.
        horizon: largest t of interest.
        solver, rtol: of the linear solves, as for `sensitivity`.
        **relax_options: as for `relax`.

    Returns:
        Prediction, to be evaluated at any t.

    Raises:
        InputError: nothing changes, an unknown parameter, a shape that does not fit, an order out
            of range, a strain of a cell that relaxes.
        NotConverged, DerivativeUndefined: the state at t = 0 has no derivative.
    """
    if order not in (1, 2, 3):
        raise InputError(f"predict: order = {order}; it must be 1, 2 or 3")
    if not horizon > 0.0:
        raise InputError(f"predict: horizon = {horizon}; it must be positive")
    path = _path(params, system, change or {}, strain)
    if strain is not None and relax_options.get("cell", "fixed") != "fixed":
        raise InputError('predict: a strain is imposed on the cell; use cell = "fixed"')
    found = search(potential, params, system, **relax_options)
    if found.why:
        raise NotConverged(found.why)
    line = linearize(found.problem, found.setting, solver, rtol, found.factor)
    if reason := why_undefined(line):
        raise DerivativeUndefined(reason)
    series = taylor_series(line, path, order)
    radius, event, limit = radius_of_validity(line, series, path, system, horizon)
    return Prediction(radius, event, limit, order, series, line, system, path)


def _path(params: Any, system: System, change: Mapping[str, Any], strain: Any) -> Path:
    if not change and strain is None:
        raise InputError("predict: nothing changes; give `change` or `strain`")
    known = select(params, list(change))
    rates = {
        name: jnp.broadcast_to(_finite(f"change of {name}", change[name], np.shape(v)), np.shape(v))
        for name, v in known.items()
    }
    square = (system.dimension, system.dimension)
    e = np.zeros(square) if strain is None else _finite("strain", strain, square)
    if e.shape != square:
        raise InputError(f"predict: strain is one number; a {square} array was meant")
    return Path(rates, jnp.asarray(e))


def _finite(what: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(given, dtype=float)
    if array.shape not in ((), shape):
        raise InputError(f"predict: {what} has shape {array.shape}; one number or {shape}")
    if not np.all(np.isfinite(array)):
        raise InputError(f"predict: {what} is not finite")
    return array
