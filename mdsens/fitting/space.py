"""Which parameters are free, within what, and how they are counted: theta = theta(u).

    linear   theta = theta_0 + s u,  s = |theta_0|, of an array without keys (weights) the root mean
             square of its entries; 1 where that is zero
    log      theta = theta_0 exp(u)

u = 0 is the start, and a step in u is a relative change of the parameter: all free parameters are of
one size, whatever their units.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mdsens.errors import InputError
from mdsens.parameters import Table

TRANSFORMS = ("linear", "log")


@dataclass(frozen=True)
class Free:
    """A parameter that is fitted.

    Attributes:
        lower, upper: bounds, of every entry.
        transform: "linear", or "log" for what has one sign and may change by factors.
        prior: (mean, standard deviation) of what is believed beforehand; one more residual per entry.
    """

    lower: float = -np.inf
    upper: float = np.inf
    transform: str = "linear"
    prior: tuple[float, float] | None = None


@dataclass(frozen=True)
class Tied:
    """A parameter that is `factor` times another entry, always: "epsilon[Ar-Kr]"."""

    to: str
    factor: float = 1.0


@dataclass(frozen=True, eq=False)
class Space:
    """k free numbers u and the parameters they make.

    Attributes:
        base: all parameters, where the fit starts.
        labels: k names, "A" or "A[Si-Si-Si]".
        start, lower, upper: (k,) of theta.
        scale: (k,) s above.
        logarithmic: (k,) which are counted by their logarithm.
        priors: (k, 2) mean and deviation; infinite deviation where there is no prior.
    """

    base: Any
    labels: tuple[str, ...]
    start: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    scale: np.ndarray
    logarithmic: np.ndarray
    priors: np.ndarray
    _places: tuple[tuple[int, int], ...] = field(repr=False)
    _ties: tuple[tuple[tuple[int, int], tuple[int, int], float], ...] = field(repr=False)

    @property
    def size(self) -> int:
        return len(self.labels)

    def theta(self, u: Any) -> jax.Array:
        """(k,) the free parameters themselves."""
        return _theta(self.start, self.scale, self.logarithmic, jnp.asarray(u))

    def slope(self, u: Any) -> np.ndarray:
        """(k,) d theta / d u."""
        return np.where(self.logarithmic, np.asarray(self.theta(u)), self.scale)

    def params(self, u: Any) -> Any:
        """All parameters, as a differentiable function of u (k,)."""
        leaves, structure = jax.tree.flatten(self.base)
        counted = (self.start, self.scale, self.logarithmic)
        return jax.tree.unflatten(structure, _made(leaves, *counted, u, self._places, self._ties))

    def without(self, k: int, theta: np.ndarray) -> Space:
        """The space around `theta` (k,) in which the k-th parameter is no longer free."""
        left = np.arange(self.size) != k
        start = theta[left]
        return Space(
            self.params(self.u(theta)), tuple(np.array(self.labels)[left]), start,
            self.lower[left], self.upper[left], np.where(start == 0.0, 1.0, np.abs(start)),
            self.logarithmic[left], self.priors[left],
            tuple(p for p, keep in zip(self._places, left, strict=True) if keep), self._ties,
        )  # fmt: skip

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(k,) and (k,): the lowest and highest u."""
        return self.u(self.lower), self.u(self.upper)

    def inside(self, u: np.ndarray) -> np.ndarray:
        """Points (..., k) moved off the bounds, by a thousandth of what is between them or of one: next
        to a bound a trust region can be too small to leave it."""
        lower, upper = self.bounds()
        margin = 1e-3 * np.minimum(upper - lower, 1.0)
        return np.clip(u, lower + margin, upper - margin)

    def u(self, theta: np.ndarray) -> np.ndarray:
        """(k,) the inverse of `theta`."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithms = np.log(np.maximum(theta / self.start, 0.0))
        return np.where(self.logarithmic, logarithms, (theta - self.start) / self.scale)


def _theta(start: Any, scale: Any, logarithmic: Any, u: jax.Array) -> jax.Array:
    logarithms = jnp.where(logarithmic, u, 0.0)
    return jnp.where(logarithmic, start * jnp.exp(logarithms), start + scale * u)


# One program for all spaces that are alike: a fit that is made again compiles nothing.
@partial(jax.jit, static_argnames=("places", "ties"))
def _made(
    leaves: list[jax.Array], start: Any, scale: Any, logarithmic: Any, u: jax.Array,
    places: tuple[tuple[int, int], ...], ties: tuple[Any, ...],
) -> list[jax.Array]:  # fmt: skip
    """The leaves of all parameters at u."""
    leaves = list(leaves)
    theta = _theta(start, scale, logarithmic, u)
    owner, entry = np.array(places).T
    for leaf in np.unique(owner):
        mine = owner == leaf
        leaves[leaf] = _with_entries(leaves[leaf], entry[mine], theta[mine])
    for (leaf, entry), (source, at), factor in ties:
        leaves[leaf] = _with_entries(leaves[leaf], entry, factor * leaves[source].ravel()[at])
    return leaves


def space(params: Any, free: Mapping[str, Free | Tied]) -> Space:
    """The space of the parameters named in `free`.

    Names are those of the parameters (with a dot where they are nested), "A" for all entries of a
    table but those that have a rule of their own, "A[Si-Si-Si]" or "w[3]" for one.

    Raises:
        InputError: an unknown name or transform, a start outside its bounds, a tie to a tied
            parameter, nothing free.
    """
    names = _names(params)
    # A Table is one array with keys here, and one leaf below.
    base = jax.tree.map(lambda x: jnp.asarray(x, dtype=jnp.float64), params)
    arrays = [np.asarray(x) for x in jax.tree.leaves(base)]
    places: dict[tuple[int, int], tuple[str, Free]] = {}
    ties = []
    for name, how in free.items():
        found = _entries(names, arrays, name)
        if isinstance(how, Tied):
            sources = _entries(names, arrays, how.to)
            if len(sources) != len(found):
                raise InputError(
                    f"fit: {name} has {len(found)} entries, but {how.to} it is tied to "
                    f"{len(sources)}; tie entry by entry"
                )
            ties += [(a, b, how.factor) for (a, _), (b, _) in zip(found, sources, strict=True)]
        else:
            # What is said of an entry counts more than what is said of all.
            places |= {
                p: (label, how) for p, label in found if name.endswith("]") or p not in places
            }
    _check_ties(
        places, ties, {place: label for n in names for place, label in _all(n, names, arrays)}
    )
    if not places:
        raise InputError("fit: no parameter is free; name at least one")
    theta = np.array([arrays[leaf].ravel()[entry] for leaf, entry in places])
    rules = [how for _, how in places.values()]
    labels = tuple(label for label, _ in places.values())
    _check_rules(labels, rules, theta)
    return Space(
        base, labels, theta,
        np.array([r.lower for r in rules]), np.array([r.upper for r in rules]),
        _scales(params, arrays, list(places)),
        np.array([r.transform == "log" for r in rules]),
        np.array([r.prior or (0.0, np.inf) for r in rules]),
        tuple(places), tuple(ties),
    )  # fmt: skip


def _scales(params: Any, arrays: list[np.ndarray], places: list[tuple[int, int]]) -> np.ndarray:
    """(k,) s of each free entry."""
    leaves = jax.tree.leaves(params, is_leaf=lambda x: isinstance(x, Table))
    sizes = [
        np.abs(a).ravel() if isinstance(leaf, Table) else np.full(a.size, np.sqrt(np.mean(a**2)))
        for leaf, a in zip(leaves, arrays, strict=True)
    ]
    found = np.array([sizes[leaf][entry] for leaf, entry in places])
    return np.where(found == 0.0, 1.0, found)


def _with_entries(leaf: jax.Array, entries: Any, values: jax.Array) -> jax.Array:
    return leaf.ravel().at[entries].set(values).reshape(leaf.shape)


def _names(params: Any) -> dict[str, tuple[int, tuple[str, ...] | None]]:
    """The number of each leaf and the keys of its entries, by name."""
    leaves = jax.tree_util.tree_flatten_with_path(params, is_leaf=lambda x: isinstance(x, Table))[0]
    return {
        ".".join(str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in path): (
            number, leaf.keys if isinstance(leaf, Table) else None,
        )
        for number, (path, leaf) in enumerate(leaves)
    }  # fmt: skip


def _all(name: str, names: Mapping[str, Any], arrays: list[np.ndarray]) -> Iterable[Any]:
    """((leaf, entry), label) of every entry of a leaf."""
    leaf, keys = names[name]
    array = arrays[leaf]
    if array.ndim == 0:
        return [((leaf, 0), name)]
    per_key = array.size // len(keys) if keys else 1
    ends = keys or [",".join(map(str, k)) for k in np.ndindex(array.shape)]
    return [
        ((leaf, e), f"{name}[{ends[e // per_key]}]" + (f"[{e % per_key}]" if per_key > 1 else ""))
        for e in range(array.size)
    ]


def _entries(names: Mapping[str, Any], arrays: list[np.ndarray], wanted: str) -> list[Any]:
    """The entries that a name stands for: a leaf, all leaves under it, or entries of a leaf."""
    below = [n for n in names if n == wanted or n.startswith(f"{wanted}.")]
    found = [entry for n in below for entry in _all(n, names, arrays)]
    parts = re.fullmatch(r"([^\[]+)\[.+\]", wanted)
    if parts and parts[1] in names:
        every = _all(parts[1], names, arrays)
        found = [
            (p, label) for p, label in every if label == wanted or label.startswith(f"{wanted}[")
        ]
    if not found:
        raise InputError(f'fit: no parameter "{wanted}"; there are {", ".join(names)}')
    return found


def _check_ties(places: Mapping[Any, Any], ties: list[Any], labels: Mapping[Any, str]) -> None:
    tied = {a for a, _, _ in ties}
    for a, b, _ in ties:
        if a in places:
            raise InputError(f"fit: {labels[a]} is free and tied; leave one out")
        if b in tied:
            raise InputError(
                f"fit: {labels[a]} is tied to {labels[b]}, itself tied; tie to a free one"
            )


def _check_rules(labels: tuple[str, ...], rules: list[Free], theta: np.ndarray) -> None:
    for label, rule, value in zip(labels, rules, theta, strict=True):
        if rule.transform not in TRANSFORMS:
            raise InputError(
                f'fit: {label}: transform "{rule.transform}" is unknown; allowed: '
                f"{', '.join(TRANSFORMS)}"
            )
        if rule.transform == "log" and value <= 0.0:
            raise InputError(
                f"fit: {label} starts at {value:g}, which has no logarithm; "
                'use transform = "linear", or start above zero'
            )
        if not rule.lower < rule.upper:
            raise InputError(
                f"fit: {label}: lower {rule.lower:g} is not below upper {rule.upper:g}"
            )
        if not rule.lower < value < rule.upper:
            raise InputError(
                f"fit: {label} starts at {value:g}, not between its bounds {rule.lower:g} and "
                f"{rule.upper:g}; move one of them"
            )
        if rule.prior is not None and not rule.prior[1] > 0.0:
            raise InputError(f"fit: {label}: a prior needs a positive standard deviation")
