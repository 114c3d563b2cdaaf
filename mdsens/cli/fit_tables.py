"""Records of fits, printed."""

from __future__ import annotations

import json
from collections.abc import Container
from itertools import chain, count
from typing import Any

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
    """A record as JSON; labelled structures and curves by their root-mean-square errors.

    Of targets with one label, as the same length in two units, all but the first have a number: "a (2)".
    """
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


def _summary(target: TargetRecord) -> dict[str, dict[str, Any]]:
    columns = ("wanted", "sigma", "start", "value", "predicted_sigma")
    told: dict[str, dict[str, Any]] = {
        kind: {"units": unit, "rms_start": before, "rms": after}
        for kind, unit, _, before, after in words.rms(target)
    }
    for k in target.single:
        numbers = {name: float(getattr(target, name)[k]) for name in columns}
        told[_free_key(target.labels[k], told)] = {"units": target.units[k], **numbers}
    return told


def _free_key(label: str, taken: Container[str]) -> str:
    """The label, or the first of "label (2)", "label (3)", ... for one that is wanted again."""
    again = (f"{label} ({k})" for k in count(2))
    return next(key for key in chain([label], again) if key not in taken)
