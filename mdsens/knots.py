"""Functions as parameters, given by their values at knots: one row per species or pair. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np

from mdsens.errors import InputError

# What a key stands for -> the keys for these species.
_KEYS = {
    "species": lambda names: list(names),
    "pairs": lambda names: [f"{a}-{b}" for a, b in combinations_with_replacement(names, 2)],
    "ordered pairs": lambda names: [f"{a}-{b}" for a, b in product(names, repeat=2)],
}


def rows(
    where: str, raw: Any, allowed: tuple[str, ...], names: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(n, K) checked values and their n keys.

    Args:
        raw: {key: K values}.
        allowed: what keys may stand for: "species", "pairs", "ordered pairs".

    Raises:
        InputError: no such table, a missing or unknown key, rows of unequal length, fewer than five
            knots, a value that is not finite.
    """
    if not isinstance(raw, Mapping):
        raise InputError(f"{where}: is a table of values at knots; name a file that has it")
    keys = tuple(raw)
    wanted = [_KEYS[kind](names) for kind in allowed]
    if not any(sorted(keys) == sorted(w) for w in wanted):
        raise InputError(
            f"{where}: has rows for {', '.join(map(str, keys)) or 'nothing'}; give one for each of "
            + ", or one for each of ".join(", ".join(w) for w in wanted)
        )
    values = [np.asarray(raw[k]) for k in keys]
    if any(v.ndim != 1 or v.dtype.kind not in "iuf" for v in values):
        raise InputError(f"{where}: a row is not a list of numbers; give one number per knot")
    if len({v.shape for v in values}) > 1 or len(values[0]) < 5:
        lengths = ", ".join(str(len(v)) for v in values)
        raise InputError(f"{where}: rows of {lengths} knots; give all the same number, at least 5")
    for key, row in zip(keys, values, strict=True):
        bad = np.flatnonzero(~np.isfinite(row))
        if bad.size:
            raise InputError(
                f"{where}[{key}]: value {row[bad[0]]} at knot {bad[0]}; must be finite"
            )
    return np.array(values, dtype=np.float64), keys
