"""The record of a fit in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mdsens.fit_record import FitRecord, TargetRecord, not_told
from mdsens.words.listing import Listing

EXPLAINED = (
    "Bars of parameters are one standard deviation by the Gauss-Newton covariance of all residuals at the "
    "end, priors included. Those of relaxed properties follow from them through implicit derivatives.",
    "They hold as far as the residuals are linear over the bars and the sigmas given for the data are "
    "right; a chi^2 far above the degrees of freedom says that the form of the potential cannot do better.",
    "Parameters with unknown bars change no residual at the end, alone or together with others.",
)


def parameters(record: FitRecord) -> Listing:
    """Fitted values with their error bars."""
    free = record.free
    rows = tuple(
        (
            label,
            f"{free['value'][k]:.8g}",
            _bar(free["sigma"][k]),
            f"{free['start'][k]:.8g}",
        )
        for k, label in enumerate(record.labels)
    )
    numbers = ("fitted", "+-", "start")
    return Listing(("parameter", *numbers), rows, numbers)


def properties(record: FitRecord) -> Listing:
    """What was wanted of properties, and what they are, with the bars that the fit gives them."""
    rows = tuple(
        (
            f"{t.name}: {t.labels[k]}", f"{t.wanted[k]:.6g}", f"{t.sigma[k]:.2g}", f"{t.start[k]:.6g}",
            f"{t.value[k]:.6g}", f"{t.predicted_sigma[k]:.2g}", t.units[k],
        )
        for t in record.targets for k in t.single
    )  # fmt: skip
    numbers = ("wanted", "+-", "start", "fitted", "+- ")
    return Listing(("property", *numbers, "unit"), rows, numbers)


def data(record: FitRecord) -> Listing:
    """Errors of labelled structures and of curves."""
    rows = tuple(
        (f"{t.name}: {kind}", str(count), f"{before:.4g}", f"{after:.4g}", unit)
        for t in record.targets for kind, unit, count, before, after in rms(t)
    )  # fmt: skip
    numbers = ("numbers", "rms at the start", "rms fitted")
    return Listing(("data", *numbers, "unit"), rows, numbers)


def end(record: FitRecord) -> str:
    """How it ended."""
    facts = record.facts
    why = f"stopped: {facts['why']}" if facts["why"] else "converged"
    told = (
        f"chi^2 {facts['chi2']:.6g} (start {facts['chi2_start']:.6g}) of "
        f"{facts['freedom']} degrees of freedom; {why}"
    )
    held_out = record.history[facts["chosen"]]["validation"]
    if np.isfinite(held_out).any():
        told += f"\nchi^2 of held-out data {np.nanmin(held_out):.6g} (start {held_out[0]:.6g})"
    if facts.get("bounds"):
        told += f"\non a bound: {facts['bounds']}; bars take no notice of bounds"
    if facts["failed"]:
        told += f"\nnot evaluated at the end: {facts['failed']}"
    if record.untold:
        told += f"\n{not_told(record.untold)}"
    return told


def _bar(sigma: float) -> str:
    return "unknown" if np.isinf(sigma) else f"{sigma:.2g}"


def rms(t: TargetRecord) -> Iterator[tuple[str, str, int, float, float]]:
    """(kind, unit, count, root-mean-square error at the start and fitted) of each group."""
    for kind, mine in t.groups.items():
        before, after = (
            float(np.sqrt(np.mean((values - t.wanted)[mine] ** 2))) for values in (t.start, t.value)
        )
        yield kind, t.units[mine[0]], len(mine), before, after
