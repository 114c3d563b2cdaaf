"""Functions of one variable from text files: two columns, or three with standard deviations. No JAX."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mdsens.errors import InputError


class Curve(NamedTuple):
    """A measured function.

    Attributes:
        at, values: (n,), `at` ascending.
        sigma: (n,) standard deviations; None where the file has none.
    """

    at: np.ndarray
    values: np.ndarray
    sigma: np.ndarray | None


def read_curve(path: Path) -> Curve:
    """Numbers in columns, between blanks or commas; # begins a comment, and @ a line of comment.

    Raises:
        InputError: no such file, not two or three columns of finite numbers, the first one not positive
            or not ascending, a standard deviation that is not positive.
    """
    try:
        text = path.read_text()
        lines = [line for line in text.splitlines() if line.strip() and line.strip()[0] not in "#@"]
        if not lines:
            raise ValueError("nothing in it")
        rows = np.loadtxt(lines, delimiter="," if "," in lines[0] else None, ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no columns of numbers ({error})") from None
    if rows.shape[1] not in (2, 3):
        raise InputError(
            f"{path}: {len(rows)} rows of {rows.shape[1]} columns; give where, value and, if known, sigma"
        )
    if not np.isfinite(rows).all():
        row = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise InputError(f"{path}: row {row} holds what is no finite number; leave it out")
    at, values, *sigma = rows.T
    if not (at[0] > 0.0 and np.all(np.diff(at) > 0.0)):
        raise InputError(f"{path}: the first column has to be positive and to ascend")
    if sigma and not np.all(sigma[0] > 0.0):
        raise InputError(f"{path}: the third column holds standard deviations, all above zero")
    return Curve(at, values, sigma[0] if sigma else None)
