"""Parameters by name: "diameter", or "morse.D0" for an addend of a sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mdsens.errors import InputError
from mdsens.parameters import Table


def named(params: Any, prefix: str = "") -> dict[str, Any]:
    """Every array or Table of a nested dict, by dotted name, in order."""
    found: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            found.update(named(value, f"{prefix}{name}."))
        else:
            found[prefix + name] = value
    return found


def select(params: Any, wrt: list[str]) -> dict[str, Any]:
    """The arrays behind the names (values of a Table).

    Raises:
        InputError: a name is not a parameter; says which are.
    """
    known = named(params)
    for name in wrt:
        if name not in known:
            raise InputError(
                f'wrt: "{name}" is not a parameter of this potential; allowed: {", ".join(known)}'
            )
    return {name: _bare(known[name]) for name in wrt}


def replaced(params: Any, theta: Mapping[str, Any], prefix: str = "") -> Any:
    """`params` with the arrays named in `theta` in their place."""
    out = {}
    for name, value in params.items():
        full = prefix + name
        if isinstance(value, Mapping):
            out[name] = replaced(value, theta, f"{full}.")
        elif full not in theta:
            out[name] = value
        elif isinstance(value, Table):
            out[name] = Table(theta[full], value.keys)
        else:
            out[name] = theta[full]
    return out


def keys_of(params: Any, name: str) -> tuple[str, ...] | None:
    """The keys of a table parameter, else None."""
    value = named(params)[name]
    return value.keys if isinstance(value, Table) else None


def plain(params: Any) -> dict[str, np.ndarray | Table]:
    """Every parameter as NumPy, by dotted name."""
    return {
        name: Table(np.asarray(v.values), v.keys) if isinstance(v, Table) else np.asarray(v)
        for name, v in named(params).items()
    }


def _bare(value: Any) -> Any:
    return value.values if isinstance(value, Table) else value
