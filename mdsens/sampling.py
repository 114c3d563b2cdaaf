"""From a RUN.toml with an [ensemble] to a Result: simulate, average, differentiate."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np

from mdsens.catalogue import AVERAGES
from mdsens.derivatives.named import keys_of, plain
from mdsens.derivatives.request import parameter_dimension
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
        NotConverged, InputError, OutputError: as `simulate` and `thermal_sensitivity`.
    """
    assert tables.ensemble is not None
    clock, identity = Clock(), _identity(tables, parameters, structure_hash)
    kept = TrajectoryFolder(folder, identity, system.units)
    params = jax.tree.map(jax.numpy.asarray, dict(parameters))
    trajectory = simulate(
        potential, params, system, ensemble_of(tables.ensemble),
        history=kept.history(), record=kept.record, progress=progress,
    )  # fmt: skip
    simulated, rest = clock.working, Clock()
    wanted = tables.sensitivity
    found = thermal_sensitivity(
        potential, trajectory, observables=wanted.observables, wrt=wanted.wrt, progress=progress
    )
    ensemble = trajectory.ensemble
    facts = {
        "wall_simulate_s": simulated, "wall_sensitivity_s": rest.working,
        "wall_compile_s": clock.compiling, "wall_total_s": clock.total,
        "trajectory": identity, "equilibration": ensemble.equilibration, "stride": ensemble.stride,
        "time_step": ensemble.time_step,
    }  # fmt: skip
    return _result(potential, trajectory, found, facts)


def _result(
    potential: Potential,
    trajectory: Trajectory,
    found: ThermalSensitivity,
    facts: Mapping[str, float | str],
) -> Result:
    system, params = trajectory.system, trajectory.params
    units, d = system.units, system.dimension
    own = {name: AVERAGES[name].dimension(d) for name in found.observables}
    theirs = {name: parameter_dimension(potential, name) for name in plain(params)}
    estimates = [
        *found.observables.values(),
        *(e for by in found.sensitivity.values() for e in by.values()),
    ]
    checked = found.checked
    return Result(
        system=system.with_positions(trajectory.positions[0, -1]).with_cell(trajectory.cells[0, -1]),
        potential=potential.kind,
        parameters=plain(params),
        observables={name: e.value for name, e in found.observables.items()},
        observable_units={name: label(units, own[name]) for name in own},
        parameter_units={name: label(units, x) if x else "unknown" for name, x in theirs.items()},
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
        certificate=EnsembleCertificate(
            True, checked.samples, checked.discarded,
            min(float(np.min(e.effective, initial=np.inf)) for e in estimates),
            checked.temperature, checked.temperature_error, checked.drift, "float64", checked.outcome,
        ),
        provenance={
            **facts, "ensemble": repr(trajectory.ensemble), "device": jax.devices()[0].device_kind
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
