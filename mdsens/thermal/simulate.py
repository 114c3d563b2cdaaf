"""`simulate`: molecular dynamics in an ensemble, in chunks that can be kept and gone on from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.equilibrium import Progress
from mdsens.errors import InputError, NotConverged
from mdsens.linear import require_float64
from mdsens.masses import masses_of
from mdsens.potentials import Potential
from mdsens.samplable import require_samplable, require_two_cutoffs
from mdsens.system import System, volume
from mdsens.thermal.chunks import Chunk, advance, begin
from mdsens.thermal.dynamics import Bath, Dynamics, Flow
from mdsens.thermal.ensemble import NPT, NVE, Ensemble
from mdsens.thermal.lists import Lister, make_lister, roomier
from mdsens.thermal.momentum import keeps_momentum
from mdsens.thermal.trajectory import Trajectory

# Steps between two looks at the clock, the keyboard and the lists.
_CHUNK = 2000
# Steps that the first list lasts.
_FIRST = 8
# How far particles may come in the lifetime of a list that is thought right, over the slack.
_WANTED = 0.75
# Times its volume, beyond which a cell without a positive pressure has no end.
_EXPANDED = 20.0
# How often a chunk is done again; lists have more than ten times their room then.
_TRIES = 20


def simulate(
    potential: Potential,
    params: Any,
    system: System,
    ensemble: Ensemble,
    *,
    history: Sequence[Chunk] = (),
    record: Callable[[Chunk], None] | None = None,
    progress: Progress | None = None,
) -> Trajectory:
    """Sample an ensemble by molecular dynamics, from the positions of `system`.

    Masses are standard atomic weights (metal units), ones (reduced), or the column `mass`. Fixed
    particles stay. Lists are made anew before a particle outside could interact; where one did not
    last or had no room, the chunk is done again. The same arguments on the same machine give the
    same trajectory bit by bit, whether it was interrupted or not.

    Args:
        potential, params: as for `relax`.
        system: a start without overlaps, best relaxed.
        ensemble: NVE, NVT or NPT.
        history: chunks of the same simulation that are there already; it goes on after them.
        record: called with every new chunk, to keep it.
        progress: called as progress(stage, done, total, text).

    Returns:
        Trajectory; look at `mdsens.thermal.checked` for whether it can be believed.

    Raises:
        InputError: the cell is too small, particles overlap at the start, or an ensemble that the
            system or its energy cannot have.
        NotConverged: energies that are no numbers: the time step is too large; with the trajectory up
            to there, if there are samples.
        Float32Error: 64-bit floats are off.
    """
    require_float64(params)
    _check(potential, params, system, ensemble)
    run = _Run(potential, jax.tree.map(jnp.asarray, params), system, ensemble)
    run.resume(history)
    tell = progress or (lambda *_: None)
    done = list(history)
    while len(done) < run.chunks:
        tell(run.stage(len(done)), len(done), run.chunks, run.text)
        try:
            chunk = run.chunk(len(done))
        except NotConverged as error:
            raise NotConverged(str(error), run.trajectory(done)) from error
        if record is not None:
            record(chunk)
        done.append(chunk)
    trajectory = run.trajectory(done)
    assert trajectory is not None  # there is at least one sample, and a chunk that holds it
    return trajectory


class _Run:
    """The mutable part of a simulation: where it is, and its lists."""

    def __init__(self, potential: Potential, params: Any, system: System, ensemble: Ensemble):
        self.potential, self.params = potential, params
        self.system, self.ensemble = system, ensemble
        fixed = np.asarray(system.fixed)
        # Langevin's noise moves the centre of mass, and so do forces from fixed particles or from none.
        drifts = ensemble.mover == "langevin" or bool(fixed.any())
        drifts = drifts or not keeps_momentum(potential, params, system)
        if drifts and isinstance(ensemble, NPT):
            raise InputError(
                "ensemble: npt: the energy depends on where in the cell the particles are, which a "
                "volume that changes shifts; use nvt"
            )
        moving = int(np.sum(~fixed)) * system.dimension
        freedom = moving if drifts else moving - system.dimension
        self.dynamics = Dynamics(potential, ensemble.mover, freedom, drifts)
        self.samples = ensemble.samples
        count = ceil(self.samples * ensemble.stride / _CHUNK)
        self.per_chunk = ceil(self.samples / min(count, self.samples))
        self.before = ceil(ensemble.equilibration / max(_CHUNK, self.per_chunk))
        self.chunks = self.before + ceil(self.samples / self.per_chunk)
        self.lister = make_lister(potential, params, system)
        self.lasts, self.allocated, self.text = _FIRST, -1, ""
        self.flow = self._begin()

    def stage(self, number: int) -> str:
        return "equilibrate" if number < self.before else "sample"

    def _bath(self, number: int) -> Bath:
        e, system = self.ensemble, self.system
        dt = e.dt(system)
        conserving = isinstance(e, NVE) and number >= self.before
        n = system.n_particles
        relaxation = np.inf if conserving else dt * e.relaxation_steps
        barostat = dt * e.barostat_steps if isinstance(e, NPT) else np.inf
        pressure = e.pressure if isinstance(e, NPT) else 0.0
        # With a type of their own: jax-md makes its constants in single precision, and would those
        # of its thermostats be so where a number is "weak".
        numbers = (e.kt(system), dt, relaxation, pressure, barostat)
        return Bath(
            self.params,
            jnp.asarray(system.cell, float),
            jnp.asarray(masses_of(system)).reshape(n, 1),
            1.0 - jnp.asarray(system.fixed, float).reshape(n, 1),
            *(jnp.asarray(np.float64(x)) for x in numbers),
        )

    def _begin(self) -> Flow:
        keys = jax.random.split(jax.random.PRNGKey(self.ensemble.seed), self.ensemble.walkers)
        x = jnp.asarray(self.system.positions)
        cell = jnp.asarray(self.system.cell)
        self.lister = self._roomier(self.lister, x[None], cell[None])
        flow = begin(self.dynamics, self._bath(0), self.lister, x, keys)
        if not bool(jnp.all(jnp.isfinite(flow.md.force))):
            raise InputError(
                f"{self.system.source}: the forces at the start are no numbers; relax it first"
            )
        return flow

    def resume(self, history: Sequence[Chunk]) -> None:
        """To the end of the last chunk."""
        if not history:
            return
        last = history[-1]
        self.lasts, room, width, self.allocated = last.lists
        if self.allocated > 0:
            flow = self._flow(history[self.allocated - 1])
            self.lister = self._roomier(self.lister, *self._places(flow))
        elif self.allocated == 0:
            self.lister = self._roomier(self.lister, *self._places(self.flow))
        if self.lister.room is not None:
            table = None if self.lister.width is None else width
            self.lister = replace(self.lister, room=room, width=table)
        self.flow = self._flow(last)

    def chunk(self, number: int) -> Chunk:
        """Do the next chunk, again until its lists were right."""
        e, sampling = self.ensemble, number >= self.before
        stride = e.stride
        if not sampling:
            stride = ceil(e.equilibration / (self.before * self.per_chunk))
        for _ in range(_TRIES):
            lists = ceil(stride / self.lasts)
            flow, samples, watch = advance(
                self.dynamics, self.per_chunk, self._bath(number), self.lister, self.flow,
                np.int64(stride), np.int64(lists),
            )  # fmt: skip
            self._check_cells(samples)
            if bool(np.any(watch.overflow)):
                # Without all pairs forces are wrong, and so is all that came of them.
                self._make_room(number)
                continue
            self._check_finite(samples, number, stride)
            approach = float(np.max(watch.approach))
            if approach <= 1.0:
                break
            self._shorten(number, stride, approach)
        else:
            raise self._too_large(number, "no list has room for its particles, or none lasts")
        self.flow = flow
        self._adapt(ceil(stride / lists), approach)
        self.text = f"T {float(np.mean(samples['temperatures'])) / e.kt(self.system):.4f} of target"
        kept = jax.tree.map(np.asarray, samples) if sampling else {}
        leaves = tuple(np.asarray(leaf) for leaf in jax.tree.leaves(flow))
        room, width = self.lister.room or 0, self.lister.width or 0
        return Chunk(kept, leaves, (self.lasts, room, width, self.allocated))

    def _shorten(self, number: int, stride: int, approach: float) -> None:
        lasts = min(self.lasts, stride)
        if lasts == 1:
            raise self._too_large(number, "particles cross the slack of a list in one step")
        self.lasts = max(1, min(lasts - 1, int(_WANTED * lasts / approach)))

    def _make_room(self, number: int) -> None:
        before = self.lister
        self.lister = self._roomier(self.lister, *self._places(self.flow))
        if self.lister.source is not before.source:
            self.allocated = number
        elif (self.lister.room, self.lister.width) == (before.room, before.width):
            # There was room at the start of the chunk, but not on the way.
            self.lister = self.lister.grown()

    def _adapt(self, lasted: int, approach: float) -> None:
        """Longer or shorter lives for the next lists, where it is worth while."""
        if approach > 0.0:
            better = max(1, int(lasted * min(_WANTED / approach, 2.0)))
            if not 0.8 * lasted <= better <= 1.2 * lasted:
                self.lasts = better

    def _check_cells(self, samples: Any) -> None:
        """Neither smaller than two cutoffs nor without end, where the volume changes."""
        if not isinstance(self.ensemble, NPT):
            return
        cells = np.asarray(samples["cells"])[np.isfinite(np.asarray(samples["conserved"]))]
        pressure = self.ensemble.pressure
        _require_two_cutoffs(self.potential, self.params, self.system, cells, pressure)
        times = np.max(np.abs(np.linalg.det(cells)), initial=0.0) / volume(self.system.cell)
        if pressure <= 0.0 and times > _EXPANDED:
            raise NotConverged(
                f"ensemble: the cell has grown to {times:.3g} times its volume at a pressure of "
                f"{pressure:g}, which the particles do not withstand; raise the pressure"
            )

    def _check_finite(self, samples: Any, number: int, stride: int) -> None:
        sound = np.isfinite(np.asarray(samples["conserved"]))
        bad = np.flatnonzero(~sound.all(axis=0))
        if bad.size:
            step = int(bad[0]) * stride
            where = f"{step} to {step + stride} steps after chunk {number}"
            raise self._too_large(number, f"the energy is no number, {where}")

    def _too_large(self, number: int, what: str) -> NotConverged:
        return NotConverged(
            f"ensemble: {self.stage(number)}: {what}; {self.ensemble.remedy}, or relax the start, if its "
            "particles overlap"
        )

    def _places(self, flow: Flow) -> tuple[jax.Array, jax.Array]:
        """Positions (W, N, d) and cells (W, d, d)."""
        x = jnp.asarray(flow.md.position)
        bath = self._bath(0)
        cells = jax.vmap(lambda f: self.dynamics.cell(bath, f))(flow)
        return x, jnp.broadcast_to(cells, (len(x), *bath.cell.shape))

    def _roomier(self, lister: Lister, positions: Any, cells: Any) -> Lister:
        return roomier(lister, self.potential, self.params, self.system, (positions, cells))

    def _flow(self, chunk: Chunk) -> Flow:
        return jax.tree.unflatten(jax.tree.structure(self.flow), map(jnp.asarray, chunk.state))

    def trajectory(self, chunks: Sequence[Chunk]) -> Trajectory | None:
        """Of the samples in chunks, if there are any."""
        parts = [c.samples for c in chunks[self.before :]]
        if not parts:
            return None
        joined = {
            name: np.concatenate([p[name] for p in parts], axis=1)[:, : self.samples]
            for name in parts[0]
        }
        return Trajectory(self.ensemble, self.system, self.params, lister=self.lister, **joined)


def _check(potential: Potential, params: Any, system: System, ensemble: Ensemble) -> None:
    require_samplable(system, type(ensemble).__name__.lower(), ensemble.mover)
    if isinstance(ensemble, NPT):
        cells = np.asarray(system.cell)
        _require_two_cutoffs(potential, params, system, cells)


def _require_two_cutoffs(
    potential: Potential, params: Any, system: System, cells: Any, pressure: float | None = None
) -> None:
    if potential.uses_pairs:
        require_two_cutoffs(system, float(potential.cutoff(params)), cells, pressure)
