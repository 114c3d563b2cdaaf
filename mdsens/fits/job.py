"""From a FIT.toml to everything that `mdsens.fit` takes: files become targets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mdsens import potentials
from mdsens.errors import InputError
from mdsens.fits.builders import Files, targets_of
from mdsens.fits.spec import FitSpec, FreeTable, load
from mdsens.fitting import (
    ENERGY_SHIFT,
    LOSSES,
    MANY,
    OPTIMIZERS,
    Fit,
    Free,
    Labelled,
    Target,
    Tied,
    fit,
    space,
)
from mdsens.io.toml import check_name
from mdsens.parameters import Table, resolve
from mdsens.potentials import Potential
from mdsens.system import System


@dataclass(frozen=True, eq=False)
class FitJob:
    """A FIT.toml whose files have been read.

    Attributes:
        spec: the checked input.
        potential, params, targets, validation, free: what `mdsens.fit` takes.
        inputs: all files it was read from.
        elements: a system with one particle of each species.
        identity: a hash of all that determines the result.
    """

    spec: FitSpec
    potential: Potential
    params: Mapping[str, Any]
    targets: tuple[Target, ...]
    validation: tuple[Target, ...]
    free: Mapping[str, Free | Tied]
    inputs: tuple[Path, ...]
    elements: System
    identity: str


def prepare(path: Any, overrides: Sequence[str] = ()) -> FitJob:
    """Read and check a FIT.toml and all files it names.

    Raises:
        InputError: "FILE: where: what; what to do".
    """
    spec = load(path, overrides)
    table = spec.tables.potential
    files = Files(spec)
    try:
        check_name("fit.optimizer", spec.tables.fit.optimizer, OPTIMIZERS)
        check_name("fit.loss", spec.tables.fit.loss, LOSSES)
        targets = targets_of(spec, files)
        elements = _one_of_each(files.systems)
        file = None if table.file is None else spec.file(table.file)
        params: dict[str, Any] = resolve(
            table.entry, table.options, elements, table.parameters, file
        )
        targets, held = _split(targets, spec.tables.fit.validation, spec.tables.fit.seed)
        potential = getattr(potentials, table.entry.class_name)(**table.options)
        free = {name: _rule(how) for name, how in spec.tables.free.items()}
        if spec.tables.fit.energy_shift:
            names = elements.type_names
            params[ENERGY_SHIFT] = Table(np.zeros(len(names)), names)
            free |= {f"{ENERGY_SHIFT}[{name}]": Free() for name in _told_apart(targets, names)}
        if spec.tables.fit.ensemble:
            _check_ensemble(spec.tables.fit.ensemble, space(params, free).size)
    except InputError as error:
        raise (
            error if str(error).startswith(str(path)) else InputError(f"{path}: {error}")
        ) from None
    inputs = (spec.path, *(spec.file(name) for name in files.names))
    return FitJob(
        spec, potential, params, targets, held, free, inputs, elements, _identity(spec, files)
    )


def perform(job: FitJob, **options: Any) -> Fit:
    """The fit; `options` are history, record and progress of `mdsens.fit`."""
    how = job.spec.tables.fit
    return fit(
        job.potential, job.params, job.targets, job.free,
        optimizer=how.optimizer, loss=how.loss, max_iterations=how.max_iterations,
        tolerance=how.tolerance, learning_rate=how.learning_rate, starts=how.starts,
        spread=how.spread, seed=how.seed, validation=job.validation, patience=how.patience, **options,
    )  # fmt: skip


def _rule(how: FreeTable) -> Free | Tied:
    if how.tied is not None:
        return Tied(how.tied, 1.0 if how.factor is None else how.factor)
    prior = None if how.prior is None else (how.prior[0], how.prior[1])
    lower = -np.inf if how.lower is None else how.lower
    upper = np.inf if how.upper is None else how.upper
    return Free(lower, upper, how.transform, prior)


def _check_ensemble(count: int, free: int) -> None:
    if free > MANY:
        raise InputError(
            f"fit.ensemble: {count} sets cannot be drawn of {free} free parameters, as error bars are "
            f"known of up to {MANY}; leave it out, or free fewer"
        )


def _told_apart(targets: Sequence[Target], names: tuple[str, ...]) -> list[str]:
    """The species whose shifts energies tell. Where all compositions are alike (Ar2Kr2, Ar4Kr4), some
    carry the shift of others, which stays zero: the energies are the same."""
    shares = [t.shares(names) for t in targets if isinstance(t, Labelled)]
    found: list[int] = []
    if shares:
        composition = np.concatenate(shares)
        for k in range(len(names)):
            if np.linalg.matrix_rank(composition[:, [*found, k]]) > len(found):
                found.append(k)
    return [names[k] for k in found]


def _one_of_each(systems: Sequence[System]) -> System:
    """A system with one particle of each species, for parameters to be resolved with."""
    units = {s.units for s in systems}
    if len(units) > 1:
        raise InputError("structures: some in metal units, some reduced; say units= in all of them")
    names = tuple(sorted({name for s in systems for name in s.type_names}))
    d = systems[0].dimension
    places = np.arange(len(names))[:, None] * np.ones(d)
    return System(
        places,
        1e3 * np.eye(d),
        (False,) * d,
        names,
        (False,) * len(names),
        {},
        units.pop(),
        "targets",
    )


def _split(
    targets: Sequence[Target], share: float, seed: int
) -> tuple[tuple[Target, ...], tuple[Target, ...]]:
    """The targets less a share of each labelled set, and these shares."""
    kept: list[Target] = []
    held: list[Target] = []
    for target in targets:
        if share == 0.0 or not isinstance(target, Labelled):
            kept.append(target)
            continue
        count = len(target.systems)
        out = round(share * count)
        if not 0 < out < count:
            raise InputError(
                f"fit.validation: {share:g} of the {count} structures of {target.name} are {out}; "
                "change the share"
            )
        order = np.random.default_rng(seed).permutation(count)
        held.append(target.part(target.name, sorted(order[:out])))
        kept.append(target.part(target.name, sorted(order[out:])))
    return tuple(kept), tuple(held)


def _identity(spec: FitSpec, files: Files) -> str:
    digest = hashlib.sha256(spec.text.encode())
    digest.update(repr(spec.overrides).encode())
    for file in sorted(files.names):
        digest.update(hashlib.sha256(spec.file(file).read_bytes()).digest())
    return digest.hexdigest()
