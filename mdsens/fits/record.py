"""A fit as the data that are kept of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mdsens.fit_record import KINDS, FitRecord, TargetRecord
from mdsens.fits.job import FitJob
from mdsens.fitting import Fit, Labelled, Properties, rows_of
from mdsens.parameters import Table
from mdsens.system import System
from mdsens.units import ENERGY, LENGTH, label, ratio


def record_of(job: FitJob, fit: Fit, drawn: np.ndarray, seconds: float) -> FitRecord:
    """The record of a fit and its ensemble, points u (n, k)."""
    known = fit.posterior
    free = {"value": np.asarray(fit.space.theta(fit.best.u)), "start": fit.space.start}
    if known is None:
        free["sigma"] = np.full(fit.space.size, np.nan)
    else:
        deviations, directions = known.spectrum
        free |= {
            "sigma": known.sigma, "correlation": known.correlation,
            "deviation": deviations, "direction": directions,
        }  # fmt: skip
    if len(drawn):
        free["ensemble"] = np.array([np.asarray(fit.space.theta(u)) for u in drawn])
    freedom = len(fit.best.residuals) - fit.space.size if known is None else known.freedom
    facts = {
        "chi2": fit.best.chi2, "chi2_start": fit.first.chi2, "freedom": freedom,
        "inflation": np.nan if known is None else known.inflation, "why": fit.why,
        "bounds": ", ".join(fit.on_bounds), "chosen": fit.chosen,
        "failed": "; ".join(f"{name}: {why}" for name, why in fit.best.failures.items()),
    }  # fmt: skip
    history = tuple(
        {name: np.array([getattr(s, name) for s in run.steps]) for name in ("chi2", "validation")}
        if run is not None else {}
        for run in fit.runs
    )  # fmt: skip
    provenance = {
        "wall_total_s": seconds, "fit_toml": job.spec.text, "identity": job.identity,
        "overrides": "\n".join(job.spec.overrides),
    }  # fmt: skip
    parameters = {
        name: Table(np.asarray(v.values), v.keys) if isinstance(v, Table) else np.asarray(v)
        for name, v in fit.params.items()
    }
    return FitRecord(
        job.spec.tables.potential.kind, parameters, fit.space.labels, free, facts,
        tuple(_target_records(fit)), history, provenance,
    )  # fmt: skip


def ensemble_of(job: FitJob, fit: Fit) -> np.ndarray:
    """(n, k) draws u of the free parameters, as many as the input asks for; none where some are not told."""
    how = job.spec.tables.fit
    if fit.posterior is None or fit.posterior.untold:
        return np.zeros((0, fit.space.size))
    return fit.posterior.draws(how.ensemble, how.seed)


def _target_records(fit: Fit) -> Iterator[TargetRecord]:
    first, best = fit.values(fit.first), fit.values(fit.best)
    for target, rows in zip(fit.targets, rows_of(fit.targets), strict=True):
        bars = np.full(len(target.wanted), np.nan)
        if fit.posterior is not None:
            assert fit.best.jacobian is not None
            bars = fit.posterior.deviations(fit.best.jacobian[rows]) * target.sigma
        if isinstance(target, Labelled):
            labels = tuple(KINDS[k] for k in target.kinds)
            names = _units_of_kinds(target.systems[0])
            units = tuple(names[k] for k in target.kinds)
            at = np.full(len(labels), np.nan)
        else:
            assert isinstance(target, Properties)
            labels = tuple(r.label for r in target.readings)
            units = tuple(r.units for r in target.readings)
            at = np.array([np.nan if r.at is None else r.at for r in target.readings])
        yield TargetRecord(
            target.name, labels, units, target.wanted, target.sigma, first[target.name],
            best[target.name], bars, at,
        )  # fmt: skip


def _units_of_kinds(system: System) -> tuple[str, ...]:
    """Of each of KINDS; an energy is one per particle."""
    if system.units == "reduced":
        return ("reduced",) * len(KINDS)
    stress = ratio(ENERGY, (0, system.dimension))
    return "eV/atom", label(system.units, ratio(ENERGY, LENGTH)), label(system.units, stress)
