"""A merged sweep in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from mdsens.sweep_record import Column, SweepRecord
from mdsens.words.listing import Listing

MOST_REASONS = 20
EXPLAINED = (
    "Every run has a certificate of its own in the merged file (/certificate, /items/outcome); the "
    "tables here summarise the runs that succeeded.",
    "Everything but /provenance is the same, bit for bit, however the work was divided.",
)


def axis(values: Mapping[str, np.ndarray]) -> str:
    """What varies along one dimension, and over what."""
    return " with ".join(f"{key} ({_range(v)})" for key, v in values.items())


def numbers(columns: Mapping[str, Column]) -> Listing:
    """Mean, spread and extremes over the runs."""
    rows = []
    for name, column in columns.items():
        known = column.values[np.isfinite(column.values)]
        if known.size:
            told = (np.mean(known), np.std(known), known.min(), np.median(known), known.max())
            rows.append((name, str(known.size), *(f"{x:.6g}" for x in told), column.units))
    heads = ("runs", "mean", "deviation", "smallest", "median", "largest")
    return Listing(("over all runs", *heads, "unit"), tuple(rows), heads)


def failures(record: SweepRecord) -> Listing:
    """Why runs failed, and which."""
    failed = np.flatnonzero(record.exit_codes)
    reasons = Counter(record.outcomes[k].splitlines()[0] or "missing" for k in failed)
    first = {record.outcomes[k].splitlines()[0] or "missing": k for k in failed[::-1]}
    rows = tuple(
        (str(count), str(record.exit_codes[first[why]]), str(first[why]), why)
        for why, count in reasons.most_common(MOST_REASONS)
    )
    return Listing(("runs", "exit code", "first item", "why"), rows, ("runs", "exit code"))


def _range(values: np.ndarray) -> str:
    if values.dtype.kind in "if" and len(values) > 1:
        return f"{len(values)} values from {values.min():.6g} to {values.max():.6g}"
    return f"{values[0]}" if len(values) == 1 else f"{len(values)} values"
