"""`sensitivity` for many small systems: relaxed, analysed and differentiated in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from mdsens.derivatives.dense import Analysis, Functions, analyse
from mdsens.derivatives.linearization import Diagnosis
from mdsens.derivatives.record import Derivatives, certificate, derivative_records, state_record
from mdsens.derivatives.request import Request, make_request
from mdsens.derivatives.sensitivity import praise, why_undefined
from mdsens.derivatives.total import Total, minimised, natural, total
from mdsens.ensembles.buckets import Member
from mdsens.ensembles.ensemble import Ensemble, relax_ensemble
from mdsens.ensembles.stacks import row
from mdsens.equilibrium import Found, Progress
from mdsens.equilibrium.problem import Problem, Setting
from mdsens.errors import DerivativeUndefined, NotConverged
from mdsens.linear import Outcome
from mdsens.observables import OBSERVABLES
from mdsens.observables.elasticity import WITH_DISPLACEMENTS
from mdsens.potentials import Potential
from mdsens.potentials.pair import PairPotential
from mdsens.result import Result
from mdsens.system import System

# Unknowns beyond which the host's sparse solvers win against full spectra in batches.
_LARGEST = 512
_WHY = "dense, {n} unknowns of each of a batch"


def can_be_batched(potential: Potential, system: System, observables: Sequence[str]) -> bool:
    """Whether `ensemble_sensitivity` is for this: pair potentials, few unknowns, no elasticity."""
    elastic = {OBSERVABLES[name] for name in observables} & WITH_DISPLACEMENTS.keys()
    few = system.n_particles * system.dimension <= _LARGEST
    return (
        isinstance(potential, PairPotential)
        and few
        and not elastic
        and "positions" not in observables
    )


@dataclass(frozen=True)
class _Asked:
    """What is asked for of every member alike; hashable."""

    functions: Functions
    differentiated: tuple[str, ...]
    wrt: tuple[str, ...]


def ensemble_sensitivity(
    potential: Potential,
    params: Sequence[Any],
    systems: Sequence[System],
    *,
    observables: Sequence[str] = ("energy",),
    wrt: Sequence[str] = (),
    batch: int = 64,
    progress: Progress | None = None,
    **relax_options: Any,
) -> list[Result | NotConverged | DerivativeUndefined]:
    """What `sensitivity` says of each system, or raises, as a list; at a fixed cell.

    The minima are those of `relax_ensemble`: from a start far away they may be others than `relax`
    finds. The derivatives at them are the same to rounding, each with its certificate. Costs memory
    and time as dense linear algebra does: for systems of up to some hundred unknowns.

    Args:
        potential, params, systems, batch, progress: as for `relax_ensemble`.
        observables: names; none of elasticity, nor positions.
        wrt: parameter names.
        **relax_options: minimizer, fmax, max_steps as in `relax`.

    Raises:
        InputError: unknown names or options.
    """
    requests = [
        make_request(potential, p, s.units, s.dimension, observables, wrt, False)
        for p, s in zip(params, systems, strict=True)
    ]
    ensemble = relax_ensemble(
        potential, params, systems, batch=batch, progress=progress, **relax_options
    )
    found: list[Any] = [None] * len(systems)
    minimizer = relax_options.get("minimizer", "auto")
    for group in ensemble.batches:
        first = requests[group.members[0].place]
        asked = _Asked(
            tuple(first.functions.items()), tuple(first.differentiable) if wrt else (), tuple(wrt)
        )
        rows = jax.device_get(_analysed(group.problem, asked, group.settings))
        settings = jax.device_get(group.settings)
        for k, member in enumerate(group.members):
            request = requests[member.place]
            state = _found(ensemble, group.problem, row(settings, k), member.place)
            bare = state_record(request, systems[member.place], state, minimizer)
            found[member.place] = _told(request, member, state, bare, row(rows, k))
    return found


@partial(jax.jit, static_argnames=("problem", "asked"))
def _analysed(problem: Problem, asked: _Asked, settings: Setting) -> Analysis:
    def one(setting: Setting) -> Analysis:
        return analyse(problem, asked.functions, asked.differentiated, asked.wrt, setting)

    return jax.vmap(one)(settings)


def _found(ensemble: Ensemble, problem: Problem, padded: Setting, place: int) -> Found:
    standing = ensemble.systems[place]
    setting = replace(padded, positions=standing.positions, cell=standing.cell)
    return Found(problem, setting, ensemble.reports[place], ensemble.outcomes[place], None)


def _told(
    request: Request, member: Member, state: Found, bare: Result, analysis: Analysis
) -> Result | NotConverged | DerivativeUndefined:
    if state.why:
        return NotConverged(state.why, bare)
    n, size = member.n_particles, member.system.n_particles * member.system.dimension
    a = analysis
    line = Diagnosis(
        rattlers=np.asarray(a.rattlers)[:n],
        zero_modes=int(a.zero_modes),
        why=_WHY.format(n=size),
        largest=float(a.largest),
        lowest=np.atleast_1d(a.lowest),
        negative=int(a.negative),
        sound=bool(a.sound),
    )
    measured = replace(
        bare,
        observables={name: np.asarray(a.values[name]) for name in request.functions},
        observable_units={name: request.unit(name) for name in request.functions},
    )
    reason = why_undefined(line) or _missed(a)
    if reason:
        undefined = certificate(line, state, {}, reason)
        return DerivativeUndefined(reason, replace(measured, certificate=undefined))
    derivatives = _derivatives(request, member, line.condition, analysis)
    return replace(
        measured,
        sensitivity=derivative_records(request, derivatives),
        certificate=certificate(line, state, derivatives, praise(line)),
    )


def _missed(analysis: Analysis) -> str:
    outcome = Outcome(int(analysis.outcome))
    return "" if outcome is Outcome.CONVERGED else outcome.sentence


def _derivatives(
    request: Request, member: Member, condition: float, analysis: Analysis
) -> Derivatives:
    out: Derivatives = {}
    residual = float(analysis.residual)
    for name, by_parameter in analysis.pieces.items():
        value = np.asarray(analysis.values[name])
        out[name] = {}
        for p, pieces in by_parameter.items():
            here, there, direct = (_cut(member, x) for x in pieces)
            scale = natural(value, request.theta[p], float(analysis.swings.get(name, 0.0)))
            envelope = name == "energy"
            found: Total = (
                minimised(here, there, scale)
                if envelope
                else total(condition, here, there, residual, scale, direct)
            )
            mode, shape = "envelope" if envelope else "adjoint", request.theta[p].shape
            out[name][p] = (mode, found, (*value.shape, *shape))
    return {name: out[name] for name in request.differentiable if name in out}


def _cut(member: Member, x: Any) -> np.ndarray:
    """(c, *parameter) without what belongs to ghosts."""
    x, size = np.asarray(x), member.system.n_particles
    return x[:, : member.n_particles] if x.shape[1:2] == (size,) else x
