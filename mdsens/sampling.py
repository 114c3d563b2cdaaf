"""From a RUN.toml with an [ensemble] to a Result: simulate, average, differentiate."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mdsens.catalogue import AVERAGES
from mdsens.derivatives.named import keys_of, plain
from mdsens.derivatives.request import parameter_dimension
from mdsens.errors import NotConverged
from mdsens.io import spec
from mdsens.io.trajectories import TrajectoryFolder
from mdsens.parameters import Table
from mdsens.potentials import Potential
from mdsens.result import Derivative, EnsembleCertificate, Result
from mdsens.system import System
from mdsens.thermal import (
    NPT,
    NVE,
    NVT,
    POINTS_OF,
    Ensemble,
    ThermalSensitivity,
    Trajectory,
    examined,
    simulate,
    thermal_sensitivity,
)
from mdsens.timing import Clock
from mdsens.units import label, ratio

Progress = Callable[[str, float, float | None, str], None]
_KINDS: dict[str, type[Ensemble]] = {"nve": NVE, "nvt": NVT, "npt": NPT}


def ensemble_of(table: spec.EnsembleTable) -> Ensemble:
    """The ensemble a table describes."""
    given = {k: v for k, v in table.model_dump().items() if v is not None and k != "kind"}
    return _KINDS[table.kind](**given)


def sample(
    tables: spec.RunTables,
    potential: Potential,
    parameters: Mapping[str, np.ndarray | Table],
    system: System,
    folder: Path,
    structure_hash: str,
    progress: Progress | None = None,
) -> Result:
    """Simulate, or go on where an interrupted run ended, and measure.

    Args:
        folder: of the trajectory; it stays, so that other observables cost no simulation.

    Raises:
        NotConverged: as `simulate` and `thermal_sensitivity`, with a Result of state and certificate.
        InputError, OutputError: as these.
    """
    assert tables.ensemble is not None
    clock, identity = Clock(), _identity(tables, parameters, structure_hash)
    kept = TrajectoryFolder(folder, identity, system.units)
    params = jax.tree.map(jax.numpy.asarray, dict(parameters))
    ensemble, wanted = ensemble_of(tables.ensemble), tables.sensitivity
    facts = {
        "trajectory": identity, "equilibration": ensemble.equilibration, "stride": ensemble.stride,
        "time_step": ensemble.time_step, "ensemble": repr(ensemble),
    }  # fmt: skip
    trajectory, simulated = None, None
    try:
        trajectory = simulate(
            potential, params, system, ensemble,
            history=kept.history(), record=kept.record, progress=progress,
        )  # fmt: skip
        simulated = clock.working
        found = thermal_sensitivity(
            potential, trajectory, observables=wanted.observables, wrt=wanted.wrt, progress=progress
        )
    except NotConverged as error:
        known = trajectory or error.result
        assert known is None or isinstance(known, Trajectory)
        certificate = _doubtful(known, str(error))
        facts.update(_times(clock, simulated))
        bare = _bare(potential, params, system, known, certificate, facts)
        raise NotConverged(str(error), bare) from error
    facts.update(_times(clock, simulated))
    return _result(potential, trajectory, found, facts)


def _times(clock: Clock, simulated: float | None) -> dict[str, float]:
    """Wall times; the simulation is not over where it took nobody knows how long."""
    first = clock.working if simulated is None else simulated
    return {
        "wall_simulate_s": first, "wall_sensitivity_s": clock.working - first,
        "wall_compile_s": clock.compiling, "wall_total_s": clock.total,
    }  # fmt: skip


def _doubtful(trajectory: Trajectory | None, why: str) -> EnsembleCertificate:
    """Of samples that do not serve, or of none."""
    if trajectory is None:
        nan = float("nan")
        return EnsembleCertificate(False, 0, 0, 0.0, nan, nan, nan, "float64", why)
    known = examined(trajectory)
    return EnsembleCertificate(
        False, known.samples, known.discarded, known.effective, known.temperature,
        known.temperature_error, known.drift, "float64", why,
    )  # fmt: skip


def _bare(
    potential: Potential,
    params: Mapping[str, Any],
    system: System,
    trajectory: Trajectory | None,
    certificate: EnsembleCertificate,
    facts: Mapping[str, Any],
) -> Result:
    """State, parameters and certificate; nothing measured."""
    if trajectory is not None:
        system = system.with_positions(trajectory.positions[0, -1])
        system = system.with_cell(trajectory.cells[0, -1])
    theirs = {name: parameter_dimension(potential, name) for name in plain(params)}
    return Result(
        system=system,
        potential=potential.kind,
        parameters=plain(params),
        observables={},
        observable_units={},
        parameter_units={n: label(system.units, x) if x else "unknown" for n, x in theirs.items()},
        sensitivity={},
        certificate=certificate,
        provenance={**facts, "device": jax.devices()[0].device_kind},
    )


def _result(
    potential: Potential,
    trajectory: Trajectory,
    found: ThermalSensitivity,
    facts: Mapping[str, Any],
) -> Result:
    system, params, checked = trajectory.system, trajectory.params, found.checked
    units, d = system.units, system.dimension
    own = {name: AVERAGES[name].dimension(d) for name in found.observables}
    theirs = {name: parameter_dimension(potential, name) for name in plain(params)}
    estimates = [
        *found.observables.values(),
        *(e for by in found.sensitivity.values() for e in by.values()),
    ]
    certificate = EnsembleCertificate(
        True, checked.samples, checked.discarded,
        min(float(np.min(e.effective, initial=np.inf)) for e in estimates),
        checked.temperature, checked.temperature_error, checked.drift, "float64", checked.outcome,
    )  # fmt: skip
    return replace(
        _bare(potential, params, system, trajectory, certificate, facts),
        observables={name: e.value for name, e in found.observables.items()},
        observable_units={name: label(units, own[name]) for name in own},
        sensitivity={
            name: {
                p: Derivative(
                    e.value, "covariance", label(units, ratio(own[name], theirs[p] or (0, 0))),
                    keys_of(params, p), error=e.error,
                )
                for p, e in by.items()
            }
            for name, by in found.sensitivity.items()
        },
        observable_errors={name: e.error for name, e in found.observables.items()},
        observable_along={
            name: POINTS_OF[name](system) for name in found.observables if name in POINTS_OF
        },
    )  # fmt: skip


def _identity(
    tables: spec.RunTables, parameters: Mapping[str, np.ndarray | Table], structure_hash: str
) -> str:
    """A digest of all that a trajectory depends on."""
    digest = hashlib.sha256(structure_hash.encode())
    for table in (tables.system, tables.potential, tables.ensemble):
        digest.update(repr(table).encode())
    for name, value in parameters.items():
        digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
