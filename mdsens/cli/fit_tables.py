"""Records of fits, printed."""

from __future__ import annotations

import json

from rich.text import Text

from mdsens.cli.console import console, listing
from mdsens.cli.tables import finite
from mdsens.fit_record import FitRecord, TargetRecord
from mdsens.words import fits as words


def print_fit(record: FitRecord) -> None:
    """Parameters with error bars, properties, errors of data, and the end."""
    out = console()
    out.print(listing(words.parameters(record)))
    for rows in (words.properties(record), words.data(record)):
        if rows:
            out.print()
            out.print(listing(rows))
    out.print()
    out.print(Text(words.end(record)))


def as_json(record: FitRecord) -> str:
    """A record as JSON; labelled structures and curves by their root-mean-square errors."""
    told = {
        "potential": record.potential,
        "parameters": {
            label: {name: float(record.free[name][k]) for name in ("value", "sigma", "start")}
            for k, label in enumerate(record.labels)
        },
        "targets": {t.name: _summary(t) for t in record.targets},
        **{k: v for k, v in record.facts.items()},
    }
    return json.dumps(finite(told), indent=1, allow_nan=False)


def _summary(target: TargetRecord) -> dict[str, dict[str, float]]:
    columns = ("wanted", "sigma", "start", "value", "predicted_sigma")
    groups = {kind: {"rms_start": a, "rms": b} for kind, _, _, a, b in words.rms(target)}
    return groups | {
        target.labels[k]: {name: float(getattr(target, name)[k]) for name in columns}
        for k in target.single
    }
