"""From a RUN.toml to a result file: the order of things, and nothing else.

`prepare` makes every check that needs no JAX; `run`, `check` and `verify` all begin with it, so
that the same fault gives the same sentence everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdsens.catalogue import AVERAGES, OBSERVABLES, PotentialEntry
from mdsens.errors import DerivativeUndefined, InputError, MdsensError, NotConverged
from mdsens.files import atomic
from mdsens.io import spec, structures
from mdsens.parameters import Table, resolve
from mdsens.result import Result
from mdsens.samplable import require_samplable, require_two_cutoffs
from mdsens.system import System, coincident_pair

# Parameters that are the range of a potential; of others it is known only to the potential itself.
_REACHES = ("cutoff", "cutoff_coulomb", "diameter")

Progress = Callable[[str, float, float | None, str], None]


@dataclass(frozen=True)
class Job:
    """A RUN.toml and its structure, found to be sound.

    Attributes:
        spec: the checked input.
        system: the structure it names.
        parameters: of the potential, as float64 arrays and Tables.
        structure_hash: "sha256:..." of the structure file.
    """

    spec: spec.Spec
    system: System
    parameters: Mapping[str, np.ndarray | Table]
    structure_hash: str

    @property
    def entry(self) -> PotentialEntry:
        return self.spec.tables.potential.entry


def prepare(path: str | Path, overrides: Sequence[str] = ()) -> Job:
    """Read and check a RUN.toml and its structure, without JAX.

    Raises:
        InputError: "FILE: where: what; what to do".
    """
    checked = spec.load(path, overrides)
    system = read_structure(checked)
    digest = hashlib.sha256(checked.structure.read_bytes()).hexdigest()
    return examine(checked, system, f"sha256:{digest}")


def read_structure(checked: spec.Spec) -> System:
    """The structure a RUN.toml names.

    Raises:
        InputError: "FILE: where: what; what to do".
    """
    table = checked.tables.system
    return structures.read(
        checked.structure, table.index, table.dimension, table.units, table.format
    )


def examine(checked: spec.Spec, system: System, structure_hash: str) -> Job:
    """The Job of a RUN.toml and its structure, without JAX.

    Raises:
        InputError: they do not fit; "FILE: where: what; what to do".
    """
    potential = checked.tables.potential
    try:
        given, file = potential.parameters, checked.potential_file
        parameters = resolve(potential.entry, potential.options, system, given, file)
        _check_combination(checked.tables, system, parameters)
    except InputError as error:
        raise InputError(f"{checked.path}: {error}") from None
    _check_coincidence(system)
    return Job(checked, system, parameters, structure_hash)


def require_derivatives(job: Job) -> None:
    """Raise InputError where a job asks for no derivative, so that there is nothing to verify."""
    if not job.spec.tables.sensitivity.wrt:
        raise InputError(
            f"{job.spec.path}: sensitivity.wrt: empty, so there is nothing to verify; "
            "name the parameters to differentiate by"
        )
    if job.spec.tables.ensemble is not None:
        raise InputError(
            f"{job.spec.path}: ensemble: verify relaxes again, which says nothing about averages; run "
            "at other parameters and compare"
        )


def run(job: Job, output: str | Path, progress: Progress | None = None) -> Result:
    """Relax (or sample an ensemble), measure, differentiate, and write the result file.

    Where there is no derivative the file still holds state and certificate.

    Raises:
        OutputError: the file cannot be written; known before anything is computed, if possible.
        NotConverged, DerivativeUndefined: with the result as far as it goes, which is written.
        InputError: the configuration turned out not to be computable.
    """
    check_output(job, output)
    if job.spec.tables.ensemble is not None:
        return _run_ensemble(job, Path(output), progress)

    return _written(job, Path(output), lambda: sensitivity(job, progress))


def _run_ensemble(job: Job, output: Path, progress: Progress | None) -> Result:
    from mdsens.sampling import sample

    folder = output.with_name(f"{output.stem}.trajectory")

    def sampled() -> Result:
        given = job.spec.tables, _potential(job), job.parameters, job.system
        try:
            return sample(*given, folder, job.structure_hash, progress)
        except NotConverged as error:
            raise NotConverged(f"{job.spec.path}: {error}", error.result) from error
        except MdsensError as error:
            raise type(error)(f"{job.spec.path}: {error}") from error

    return _written(job, output, sampled)


def _written(job: Job, output: Path, compute: Callable[[], Result]) -> Result:
    """What is computed, in its file; where that failed, what is known all the same."""
    from mdsens.io.results import write_result

    def write(result: Result) -> None:
        write_result(result, output, job.spec.text, job.structure_hash, job.spec.overrides)

    try:
        result = compute()
    except (NotConverged, DerivativeUndefined) as error:
        if not isinstance(error.result, Result):
            raise
        write(error.result)
        sentence = f"{error}; state and certificate are in {output}"
        raise type(error)(sentence, error.result) from error
    write(result)
    return result


def check_output(job: Job, output: str | Path) -> None:
    """Raise OutputError if the result cannot be written there, or would replace a file that it is of."""
    table = job.spec.tables.potential
    file = [] if table.file is None else [job.spec.file(table.file)]
    atomic.check_apart(output, [job.spec.path, job.spec.structure, *file])
    atomic.check_writable(output)


def sensitivity(job: Job, progress: Progress | None = None) -> Result:
    """What mdsens.sensitivity says about a job; errors begin with the file's name."""
    from mdsens import derivatives

    positions = job.spec.tables.sensitivity.positions
    return _compute(job, derivatives.sensitivity, positions=positions, progress=progress)


def sensitivities(jobs: Sequence[Job]) -> list[Result | NotConverged | DerivativeUndefined]:
    """The same of many jobs that differ in structure and parameters only, in one batch; see
    `mdsens.ensembles.ensemble_sensitivity`. Errors are returned, not raised."""
    from mdsens.ensembles import ensemble_sensitivity

    tables = jobs[0].spec.tables
    relax = tables.relax
    found = ensemble_sensitivity(
        _potential(jobs[0]),
        [dict(job.parameters) for job in jobs],
        [job.system for job in jobs],
        observables=tables.sensitivity.observables,
        wrt=tables.sensitivity.wrt,
        batch=len(jobs),
        minimizer=relax.minimizer,
        fmax=relax.fmax,
        max_steps=relax.max_steps,
    )
    return [
        type(one)(f"{job.spec.path}: {one}", one.result) if isinstance(one, MdsensError) else one
        for job, one in zip(jobs, found, strict=True)
    ]


def can_be_batched(job: Job) -> bool:
    """Whether `sensitivities` does all that a job asks for."""
    from mdsens.ensembles import can_be_batched

    tables = job.spec.tables
    return (
        tables.relax.cell == "fixed"
        and tables.relax.polish
        and tables.sensitivity.solver == "auto"
        and not tables.sensitivity.positions
        and can_be_batched(_potential(job), job.system, tables.sensitivity.observables)
    )


def verify(job: Job, progress: Progress | None = None) -> list[Any]:
    """What mdsens.verify says about a job: one row per derivative component."""
    from mdsens import derivatives

    return _compute(job, derivatives.verify, progress=progress)


def _compute(job: Job, function: Callable[..., Any], **keywords: Any) -> Any:
    import jax

    tables = job.spec.tables
    wanted = tables.sensitivity
    try:
        return function(
            _potential(job),
            jax.tree.map(jax.numpy.asarray, dict(job.parameters)),
            job.system,
            observables=wanted.observables,
            wrt=wanted.wrt,
            solver=wanted.solver,
            rtol=wanted.rtol,
            **tables.relax.model_dump(),
            **keywords,
        )
    except (NotConverged, DerivativeUndefined) as error:
        raise type(error)(f"{job.spec.path}: {error}", error.result) from error
    except MdsensError as error:
        raise type(error)(f"{job.spec.path}: {error}") from error


def _potential(job: Job) -> Any:
    from mdsens import potentials

    return getattr(potentials, job.entry.class_name)(**job.spec.tables.potential.options)


def _check_combination(
    tables: spec.RunTables, system: System, parameters: Mapping[str, np.ndarray | Table]
) -> None:
    """What the tables ask for against what the structure and the potential can give."""
    periodic = all(system.pbc)
    pbc = " ".join("T" if p else "F" for p in system.pbc)
    if tables.relax.cell != "fixed" and not periodic:
        raise InputError(
            f'relax.cell: "{tables.relax.cell}" needs a cell that is periodic in every direction, '
            f'but pbc is "{pbc}"; use "fixed"'
        )
    if tables.ensemble is not None:
        _check_ensemble(tables.ensemble, system, parameters)
    known = OBSERVABLES if tables.ensemble is None else AVERAGES
    for name in tables.sensitivity.observables:
        where = f"sensitivity.observables: {name}"
        if known[name].needs_volume and not periodic:
            raise InputError(
                f'{where} needs a cell that is periodic in every direction, but pbc is "{pbc}"; '
                "leave it out"
            )
        if known[name].needs_contacts and not tables.potential.entry.knows_contacts:
            raise InputError(
                f"{where} needs contacts, which {tables.potential.kind} does not know; leave it out"
            )


def _check_ensemble(
    ensemble: spec.EnsembleTable, system: System, parameters: Mapping[str, np.ndarray | Table]
) -> None:
    thermostat = ensemble.thermostat or "langevin"
    movers = {"nve": "csvr", "nvt": thermostat, "npt": "npt"}
    require_samplable(system, ensemble.kind, movers[ensemble.kind])
    if ensemble.kind == "npt":
        known = [np.max(np.asarray(parameters[n])) for n in _REACHES if n in parameters]
        require_two_cutoffs(system, float(max(known, default=0.0)), system.cell)


def _check_coincidence(system: System) -> None:
    pair = coincident_pair(system)
    if pair is None:
        return
    i, j = pair
    raise InputError(
        f"{system.source}: particles {i} and {j}: coincide (distance {_distance(system, i, j):.3g}); "
        "move or remove one of them"
    )


def _distance(system: System, i: int, j: int) -> float:
    """Distance of two particles that all but coincide, up to lattice vectors."""
    fractional = (system.positions[i] - system.positions[j]) @ np.linalg.inv(system.cell)
    nearest = fractional - np.where(system.pbc, np.round(fractional), 0.0)
    return float(np.linalg.norm(nearest @ system.cell))
