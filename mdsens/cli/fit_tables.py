"""Records of fits in words."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from rich.text import Text

from mdsens.cli.console import console, plain_table
from mdsens.fit_record import FitRecord, TargetRecord


def print_fit(record: FitRecord) -> None:
    """Parameters with error bars, properties, errors of labelled structures, and the end."""
    out = console()
    table = plain_table("parameter", "fitted", "+-", "start", numbers=("fitted", "+-", "start"))
    free = record.free
    for k, label in enumerate(record.labels):
        table.add_row(
            Text(label),
            f"{free['value'][k]:.8g}",
            f"{free['sigma'][k]:.2g}",
            f"{free['start'][k]:.8g}",
        )
    out.print(table)
    for rows, print_rows in (
        ([t for t in record.targets if not t.labelled], _properties),
        ([t for t in record.targets if t.labelled], _errors),
    ):
        if rows:
            out.print()
            out.print(print_rows(rows))
    out.print()
    facts = record.facts
    out.print(
        f"chi^2 {facts['chi2']:.6g} (start {facts['chi2_start']:.6g}) of "
        f"{facts['freedom']} degrees of freedom; "
        + (f"stopped: {facts['why']}" if facts["why"] else "converged")
    )
    if facts["failed"]:
        out.print(Text(f"not evaluated at the end: {facts['failed']}"))


def as_json(record: FitRecord) -> str:
    """A record as JSON; labelled structures by their root-mean-square errors."""
    told = {
        "potential": record.potential,
        "parameters": {
            label: {name: float(record.free[name][k]) for name in ("value", "sigma", "start")}
            for k, label in enumerate(record.labels)
        },
        "targets": {t.name: _summary(t) for t in record.targets},
        **{k: v for k, v in record.facts.items()},
    }
    return json.dumps(told, indent=1)


def _summary(target: TargetRecord) -> dict[str, dict[str, float]]:
    if target.labelled:
        return {kind: {"rms_start": a, "rms": b} for kind, _, _, a, b in _rms(target)}
    columns = ("wanted", "sigma", "start", "value", "predicted_sigma")
    return {
        label: {name: float(getattr(target, name)[k]) for name in columns}
        for k, label in enumerate(target.labels)
    }


def _properties(targets: list[TargetRecord]):
    numbers = ("wanted", "+-", "start", "fitted", "+- ")
    table = plain_table("property", *numbers, "unit", numbers=numbers)
    for t in targets:
        for k, label in enumerate(t.labels):
            table.add_row(
                Text(f"{t.name}: {label}"), f"{t.wanted[k]:.6g}", f"{t.sigma[k]:.2g}",
                f"{t.start[k]:.6g}", f"{t.value[k]:.6g}", f"{t.predicted_sigma[k]:.2g}", t.units[k],
            )  # fmt: skip
    return table


def _errors(targets: list[TargetRecord]):
    numbers = ("numbers", "rms at the start", "rms fitted")
    table = plain_table("data", *numbers, "unit", numbers=numbers)
    for t in targets:
        for kind, unit, count, before, after in _rms(t):
            table.add_row(
                Text(f"{t.name}: {kind}"), str(count), f"{before:.4g}", f"{after:.4g}", unit
            )
    return table


def _rms(t: TargetRecord) -> Iterator[tuple[str, str, int, float, float]]:
    """(kind, unit, count, root-mean-square error at the start and fitted) of each kind of label."""
    kinds = np.array(t.labels)
    for kind in dict.fromkeys(t.labels):
        mine = kinds == kind
        unit = t.units[int(np.flatnonzero(mine)[0])]
        before, after = (
            float(np.sqrt(np.mean((values - t.wanted)[mine] ** 2))) for values in (t.start, t.value)
        )
        yield kind, unit, int(mine.sum()), before, after
