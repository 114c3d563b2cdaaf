"""`jam`: from any start to a packing at a given pressure.

The volume is the control: each state starts from the one before, scaled affinely, so that the
packing keeps its contacts as far as it can.

    compress      until the pressure exceeds the target
    decompress    by factors of four in pressure (with the bulk modulus of the affine response, which
                  is too large, so that steps are too short rather than too long); where a step
                  unjams the packing, half of it
    finish        volume and positions together at the target, E + p V, by Newton's method

O'Hern, Silbert, Liu, Nagel 2003, doi:10.1103/PhysRevE.68.011306, sections II and III.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mdsens.derivatives.linearization import linearize
from mdsens.equilibrium import Progress, search
from mdsens.equilibrium.relax import Found
from mdsens.errors import InputError, NotConverged
from mdsens.linear import SparseFactor, lowest_eigenvalues
from mdsens.observables import pressure as pressure_of
from mdsens.packings.start import dilated
from mdsens.potentials import Potential
from mdsens.state import Configuration
from mdsens.system import System, volume

# One compression, in ln(volume).
_COMPRESSION = 0.02
# Pressure falls by this factor per step; from within the second one the target is in reach.
_FACTOR = 4.0
_REACH = 1.3
_RTOL = 1e-10


@dataclass(frozen=True, eq=False)
class Packing:
    """A packing at a given pressure.

    Derivatives at fixed volume: `sensitivity(potential, params, packing.system, ...)`; at fixed
    pressure: the same with `cell="isotropic", pressure=packing.pressure`.

    Attributes:
        system: the relaxed configuration in its cell.
        pressure: as measured.
        contacts: pairs that touch, rattlers aside.
        rattlers: (R,) their indices.
        isostatic: contacts a packing of its other particles needs, d (N - R) - d + 1.
        modes: lowest eigenvalues of the Hessian at fixed volume, rigid motions and rattlers removed.
        fmax: largest force component left.
        path: (steps, 2) volume and pressure of every state on the way.
    """

    system: System
    pressure: float
    contacts: int
    rattlers: np.ndarray
    isostatic: int
    modes: np.ndarray
    fmax: float
    path: np.ndarray

    @property
    def excess(self) -> int:
        """Contacts above the isostatic number."""
        return self.contacts - self.isostatic


def jam(
    potential: Potential,
    params: Any,
    system: System,
    *,
    pressure: float,
    modes: int = 6,
    max_relaxations: int = 200,
    progress: Progress | None = None,
    **relax_options: Any,
) -> Packing:
    """A packing at a target pressure from any start.

    Args:
        potential: a repulsive one that knows contacts (soft_sphere, wca).
        params: its parameters.
        system: the start, periodic in every direction; random positions will do.
        pressure: target, in the potential's units; down to about 1e-9 of the stiffness over a
            length^d, where overlaps drown in round-off.
        modes: how many of the lowest eigenvalues to report.
        max_relaxations: on the way.
        progress: called as progress(stage, done, total, text).
        **relax_options: minimizer, fmax, max_steps, polish as for `relax`.

    Raises:
        InputError: the pressure is not positive, the cell is not periodic, or the potential knows
            no contacts.
        NotConverged: a state on the way could not be relaxed, or the target was not met.
    """
    if not pressure > 0.0:
        raise InputError(f"jam: pressure = {pressure}; it must be positive")
    if not all(system.pbc):
        raise InputError(f"{system.source}: jam: needs a cell that is periodic in every direction")
    protocol = _Protocol(potential, params, max_relaxations, progress, relax_options)
    state = protocol.compressed(protocol.state(system), pressure)
    state = protocol.decompressed(state, pressure)
    final = protocol.at_pressure(state, pressure)
    return _packing(final, modes, np.array(protocol.path))


@dataclass(frozen=True, eq=False)
class _State:
    found: Found
    system: System
    pressure: float


class _Protocol:
    """The mutable part: how many relaxations were made, and where they led."""

    def __init__(
        self,
        potential: Potential,
        params: Any,
        budget: int,
        progress: Progress | None,
        options: dict[str, Any],
    ):
        self.potential, self.params, self.options = potential, params, options
        self.budget, self.progress = budget, progress or (lambda *_: None)
        self.path: list[tuple[float, float]] = []

    def state(self, start: System, **cell: Any) -> _State:
        """The minimum next to `start`.

        Raises:
            NotConverged: it was not found, or the budget is spent.
        """
        if len(self.path) >= self.budget:
            raise NotConverged(
                f"jam: {self.budget} relaxations did not reach the pressure; raise "
                "max_relaxations or start nearer to it"
            )
        found = search(self.potential, self.params, start, **self.options, **cell)
        if found.why:
            raise NotConverged(f"jam: {found.why}", found)
        s = found.setting
        here = Configuration(s.positions, s.cell, s.neighbors, found.problem.pbc)
        p = float(pressure_of(self.potential, self.params, here))
        system = replace(start, positions=np.asarray(s.positions), cell=np.asarray(s.cell))
        self.path.append((volume(system.cell), p))
        self.progress("jam", len(self.path), None, f"pressure {p:.3e}")
        return _State(found, system, p)

    def compressed(self, state: _State, target: float) -> _State:
        """Squeeze until the pressure is at least the target."""
        while state.pressure < target:
            # Not less: just below jamming particles barely touch, and their modulus says nothing.
            state = self.state(dilated(state.system, -_COMPRESSION))
        return state

    def decompressed(self, state: _State, target: float) -> _State:
        """Let go until the target is within reach, without losing the packing."""
        share = 1.0
        while state.pressure > _REACH * target:
            goal = max(target, state.pressure / _FACTOR)
            there = self.state(dilated(state.system, share * self._stride(state, goal)))
            if there.pressure < target / _REACH:
                share *= 0.5
            else:
                state, share = there, min(1.0, 2.0 * share)
        return state

    def at_pressure(self, state: _State, target: float) -> _State:
        """The volume relaxed as well.

        Raises:
            NotConverged: the packing gave way to a state at another pressure.
        """
        final = self.state(state.system, cell="isotropic", pressure=target)
        if abs(final.pressure - target) > 1e-6 * target:
            raise NotConverged(
                f"jam: the packing gave way at the last step, pressure {final.pressure:.3g} "
                f"instead of {target:.3g}; start from another configuration"
            )
        return final

    def _stride(self, state: _State, goal: float) -> float:
        """|change of ln(volume)| that brings the pressure to the goal if the response is affine."""
        h = 1e-6
        change = self._affine_pressure(state, h) - self._affine_pressure(state, -h)
        modulus = -change / (2.0 * h)
        return abs(goal - state.pressure) / modulus if modulus > 0.0 else _COMPRESSION

    def _affine_pressure(self, state: _State, log_volume: float) -> float:
        return float(pressure_of(self.potential, self.params, dilated(state.system, log_volume)))


def _packing(state: _State, modes: int, path: np.ndarray) -> Packing:
    problem = replace(state.found.problem, cell_mode="fixed")
    line = linearize(problem, state.found.setting, "auto", _RTOL)
    s, potential = line.setting, problem.potential
    touching = potential.contacts(s.params, s.positions, s.cell, s.neighbors)
    if touching is None:
        raise InputError(
            f"jam: potential {potential.kind} knows no contacts; use soft_sphere or wca"
        )
    n, d = s.positions.shape
    factor = line.solver if isinstance(line.solver, SparseFactor) else None
    lowest = lowest_eigenvalues(line.operator, line.projector, modes, factor=factor)
    left = n - int(line.rattlers.sum())
    return Packing(
        system=state.system,
        pressure=state.pressure,
        contacts=int(np.sum(np.asarray(touching))),
        rattlers=np.flatnonzero(line.rattlers),
        isostatic=max(d * left - d + 1, 0),
        modes=np.asarray(lowest.values),
        fmax=float(state.found.report.residual),
        path=path,
    )
