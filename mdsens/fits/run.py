"""A fit from its FIT.toml to its file, with a checkpoint on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mdsens.errors import InputError, MdsensError, NotConverged
from mdsens.files import atomic
from mdsens.fit_record import FitRecord, not_told
from mdsens.fits.checkpoint import Checkpoint, remove
from mdsens.fits.job import FitJob, perform
from mdsens.fits.record import ensemble_of, record_of
from mdsens.fitting import Fit
from mdsens.io.fits import write_fit
from mdsens.io.parameters import check_parameters, write_parameters

Progress = Callable[[str, float, float | None, str], None]


def run(
    job: FitJob,
    output: Path,
    *,
    restart: bool = False,
    parameters: Path | None = None,
    progress: Progress | None = None,
) -> FitRecord:
    """Fit, and write the record; evaluations are kept beside it until then.

    Args:
        restart: forget what an interrupted run left.
        parameters: a LAMMPS file to write the fitted parameters to; the members of an ensemble go
            beside it, NAME-000 and so on.

    Raises:
        NotConverged: the record is written all the same, and is the error's `result`.
        InputError: as `mdsens.fit`; an ensemble of parameters that the targets do not tell, when the
            record is written.
        OutputError, DerivativeUndefined: as `mdsens.fit`, and of the files.
    """
    begun = time.perf_counter()
    _check_outputs(job, output, parameters)
    folder = output.with_name(f"{output.stem}.evaluations")
    if restart:
        remove(folder)
    checkpoint = Checkpoint(folder, job.identity, len(job.targets))
    found = _performed(
        job, history=checkpoint.history(), record=checkpoint.record, progress=progress
    )
    drawn = ensemble_of(job, found)
    record = record_of(job, found, drawn, time.perf_counter() - begun)
    write_fit(record, output)
    if parameters is not None:
        write_parameters(job.potential, found.params, job.elements, parameters)
        for k, u in enumerate(drawn):
            member = parameters.with_name(f"{parameters.stem}-{k:03}{parameters.suffix}")
            write_parameters(job.potential, found.space.params(u), job.elements, member)
    remove(folder)
    if found.why or found.best.failures:
        reason = found.why or "targets failed at the end"
        raise NotConverged(f"{job.spec.path}: fit: {reason}; the record is in {output}", record)
    wanted = job.spec.tables.fit.ensemble
    if wanted and record.untold:
        raise InputError(
            f"{job.spec.path}: fit.ensemble: {wanted} sets cannot be drawn: {not_told(record.untold)}; the "
            f"record is in {output}"
        )
    return record


def _check_outputs(job: FitJob, output: Path, parameters: Path | None) -> None:
    """Raise before anything is fitted where one of the files could not be written at the end."""
    atomic.check_apart(output, job.inputs)
    atomic.check_writable(output)
    if parameters is not None:
        atomic.check_apart(parameters, [*job.inputs, output])
        try:
            check_parameters(job.potential, job.elements)
        except InputError as error:
            raise InputError(f"{job.spec.path}: {error}") from None
        atomic.check_writable(parameters)


def _performed(job: FitJob, **options: Any) -> Fit:
    """The fit; its errors begin with the file's name."""
    try:
        return perform(job, **options)
    except MdsensError as error:
        raise type(error)(f"{job.spec.path}: {error}") from error
