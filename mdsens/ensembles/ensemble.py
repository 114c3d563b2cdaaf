"""`relax_ensemble`: many relaxations, and derivatives at all of them, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.ensembles.buckets import Member, buckets
from mdsens.ensembles.search import Ended, minima
from mdsens.ensembles.stacks import batch_size, row, stacked
from mdsens.equilibrium import Progress
from mdsens.equilibrium.derivative import differentiable, prepare
from mdsens.equilibrium.linearized import backbone
from mdsens.equilibrium.plan import Plan
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.equilibrium.relax import check_options
from mdsens.linear import require_float64
from mdsens.potentials import Potential
from mdsens.state import Minimum, Report
from mdsens.system import System

Observable = Callable[[Potential, Any, Minimum], Any]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Relaxed systems, in the order in which they were given.

    Attributes:
        systems: where each one stands now.
        outcomes: for each, an empty string if that is a minimum, else a sentence.
        reports: how each relaxation went.
        batches: the same padded and stacked, for `measure` and `gradient`.
    """

    systems: tuple[System, ...]
    outcomes: tuple[str, ...]
    reports: tuple[Report, ...]
    batches: tuple[Batch, ...]

    def measure(self, observable: Observable) -> list[Any]:
        """observable(potential, params, minimum) of each; NaN where there is no minimum.

        The observable is one of `mdsens.observables` or any JAX function of these three. Behind the
        true particles it may see ghosts, which touch nothing.
        """
        return self._each(_values, observable, lambda member, value: value)

    def gradient(self, observable: Observable) -> list[Any]:
        """d observable / d params of each, the total derivative, in the form of its params.

        NaN where there is no minimum, or only a marginal one (unexplained zero modes). One adjoint
        solve for all parameters of a member. The observable is a scalar; see `measure`.
        """
        return self._each(_gradients, observable, lambda member, tree: member.cut(tree))

    def _each(self, function: Any, observable: Observable, finish: Any) -> list[Any]:
        found: list[Any] = [None] * len(self.systems)
        for batch in self.batches:
            rows = function(batch.problem, observable, batch.settings, batch.sound)
            rows = jax.tree.map(np.asarray, rows)
            for k, member in enumerate(batch.members):
                found[member.place] = finish(member, row(rows, k))
        return found


@dataclass(frozen=True, eq=False)
class Batch:
    """Members that are computed at once.

    Attributes:
        settings: an axis of members in front; the last one may be there several times.
        sound: (B,) whether there is a minimum.
    """

    problem: Problem
    members: tuple[Member, ...]
    settings: Setting
    sound: np.ndarray


def relax_ensemble(
    potential: Potential,
    params: Sequence[Any],
    systems: Sequence[System],
    *,
    minimizer: str = "auto",
    fmax: float = 1e-10,
    max_steps: int = 100_000,
    cell: str = "fixed",
    pressure: float = 0.0,
    batch: int = 64,
    progress: Progress | None = None,
) -> Ensemble:
    """`relax` for many systems: small ones are relaxed many times faster than one at a time.

    Systems of similar size share one compiled program (with contact potentials also those of
    unequal size, which differ by an eighth at most). A system that has arrived makes room for the
    next, so that the slowest does not hold the others; one that does not arrive within a batch is
    relaxed alone; none spoils the others.

    Args:
        params: one set for each system.
        systems: the starts.
        minimizer, fmax, max_steps, cell, pressure: as for `relax`; each minimum is polished.
        batch: systems at a time. 64 suits a processor with a few cores; a GPU wants thousands. They
            are spread over all devices of this process.
        progress: called as progress(stage, done, total, text).

    Raises:
        InputError: not one set of parameters per system, or an unknown option.
        Float32Error: 64-bit floats are off.
    """
    require_float64(*params, *(s.positions for s in systems))
    for system in systems:
        check_options(minimizer, cell, system)
    plan = Plan(minimizer, float(fmax), int(max_steps), polish=True)
    tell = progress or (lambda *_: None)
    ended: list[Ended] = []
    batches: list[Batch] = []
    for bucket in buckets(potential, params, systems, cell):
        here = []
        for found in minima(bucket, plan, pressure, batch):
            here.append(found)
            tell("relax", len(ended) + len(here), len(systems), found.member.system.source)
        batches += _batches(bucket.problem, here, batch)
        ended += here
    ended.sort(key=lambda found: found.member.place)
    return Ensemble(
        tuple(_where(found, system) for found, system in zip(ended, systems, strict=True)),
        tuple(found.why for found in ended),
        tuple(found.report for found in ended),
        tuple(batches),
    )


def _where(found: Ended, start: System) -> System:
    """The system as it was given, where it stands now."""
    n, s = start.n_particles, found.setting
    return replace(start, positions=s.positions[:n], cell=s.cell)


def _batches(problem: Problem, ended: list[Ended], count: int) -> Iterator[Batch]:
    count = batch_size(count, len(ended))
    for k in range(0, len(ended), count):
        part = ended[k : k + count]
        # A short one repeats its last member, for the sake of the shape.
        full = part + part[-1:] * (count - len(part))
        yield Batch(
            problem,
            tuple(found.member for found in part),
            stacked([found.setting for found in full]),
            np.array([found.why == "" for found in full]),
        )


@partial(jax.jit, static_argnames=("problem", "observable"))
def _values(problem: Problem, observable: Observable, settings: Setting, sound: jax.Array) -> Any:
    """The observable of each state, NaN where that is no minimum."""

    def one(setting: Setting, sound: jax.Array) -> Any:
        here = _minimum(problem, backbone(problem, setting).setting, sound)
        return observable(problem.potential, setting.params, here)

    return jax.vmap(one)(settings, sound)


@partial(jax.jit, static_argnames=("problem", "observable"))
def _gradients(
    problem: Problem, observable: Observable, settings: Setting, sound: jax.Array
) -> Any:
    """Its total derivative by the parameters."""

    def one(setting: Setting, sound: jax.Array) -> Any:
        found, solve = prepare(problem, setting)

        def value(params: Any) -> jax.Array:
            positions, cell = differentiable(
                problem, params, setting.cell, setting.pressure, found, solve
            )
            there = replace(found, params=params, positions=positions, cell=cell)
            return observable(problem.potential, params, _minimum(problem, there, sound))

        return jax.grad(value)(setting.params)

    return jax.vmap(one)(settings, sound)


def _minimum(problem: Problem, setting: Setting, sound: jax.Array) -> Minimum:
    s = setting
    positions = jnp.where(sound, s.positions, jnp.nan)
    told = Report(sound, jnp.nan, 0, 0, True, sound)
    return Minimum(positions, s.cell, s.neighbors, problem.pbc, told, fixed=s.fixed)
