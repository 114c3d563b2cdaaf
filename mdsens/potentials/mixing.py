"""Parameters of pairs and of particles, from numbers, tables and per-particle values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from mdsens.catalogue import PotentialEntry
from mdsens.errors import InputError
from mdsens.neighbors import Pairs
from mdsens.parameters import Table, active_parameters, check_keys, index_matrix

jax.tree_util.register_dataclass(Table, data_fields=["values"], meta_fields=["keys"])


def check_complete(
    entry: PotentialEntry, options: Mapping[str, str], params: Mapping[str, Any]
) -> None:
    """Raise InputError where parameters are missing."""
    known = active_parameters(entry, options)
    missing = {p.name for p in known if not p.optional} - set(params)
    if missing:
        raise InputError(
            f"{entry.kind}: parameters lack {', '.join(sorted(missing))}; make them with "
            "potential.parameters(system, ...)"
        )


def of_pairs(name: str, value: Any, neighbors: Pairs) -> jax.Array:
    """() or (P,): a number, the entry of each pair, or the mean over its two particles."""
    if isinstance(value, Table):
        check_keys(name, value.keys, neighbors.type_names)
        index = index_matrix(value.keys, neighbors.type_names)
        if index is not None and len(value.keys) > 1:
            a, b = (neighbors.types[k] for k in (neighbors.i, neighbors.j))
            return jnp.asarray(value.values)[jnp.asarray(index)[a, b]]
        if index is not None:
            return jnp.asarray(value.values)[0]
    own = of_particles(name, value, neighbors)
    return own if jnp.ndim(own) == 0 else 0.5 * (own[neighbors.i] + own[neighbors.j])


def of_particles(name: str, value: Any, neighbors: Pairs) -> jax.Array:
    """() or (N,): a number, the entry of each particle's species, or its own value."""
    n = len(neighbors.types)
    if isinstance(value, Table):
        check_keys(name, value.keys, neighbors.type_names)
        if any(key not in neighbors.type_names for key in value.keys):
            raise InputError(f"{name}: a table of pairs; give one entry per species")
        if len(value.keys) == 1:
            return jnp.asarray(value.values)[0]
        order = jnp.array([value.keys.index(t) for t in neighbors.type_names])
        return jnp.asarray(value.values)[order][neighbors.types]
    if jnp.shape(value) not in ((), (n,)):
        raise InputError(
            f"{name}: shape {jnp.shape(value)}; one number, one per particle ({n},), or a Table "
            "per species"
        )
    return jnp.asarray(value)


def plain(value: Any) -> Any:
    """The array of a Table; anything else as it is."""
    return value.values if isinstance(value, Table) else value


def derivative(f):
    """d/dr of an element-wise function."""
    return lambda r: jax.jvp(f, (r,), (jnp.ones_like(r),))[1]
