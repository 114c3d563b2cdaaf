"""What a picture of a packing needs to know; plain NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from mdsens.parameters import Table
from mdsens.result import Result
from mdsens.system import System

LARGEST_WITH_CONTACTS = 2000  # contacts are found among all pairs
SIZE_PARAMETERS = ("diameter", "sigma", "r0")


@dataclass(frozen=True)
class Field:
    """One number per particle to colour by.

    Attributes:
        values: (N,).
        title: what it is.
        units: of the values.
    """

    values: np.ndarray
    title: str
    units: str


@dataclass(frozen=True)
class Response:
    """How all particles move when one parameter (entry) grows.

    Attributes:
        arrows: (N, d) displacement per unit of the parameter.
        title: of which parameter.
        particle: whose parameter it is, if it is a particle's own.
    """

    arrows: np.ndarray
    title: str
    particle: int | None


def diameters(result: Result) -> np.ndarray:
    """(N,) sizes to draw: what the potential calls a size, else the distance of neighbours."""
    n = result.system.n_particles
    for name in SIZE_PARAMETERS:
        size = result.parameters.get(name)
        if isinstance(size, Table) and set(result.system.type_names) <= set(size.keys):
            return np.array([size[s] for s in result.system.species])
        if size is not None and not isinstance(size, Table):
            return np.broadcast_to(np.asarray(size, dtype=float), (n,))
    return np.full(n, 0.9 * _neighbor_distance(wrapped(result.system)))


def _neighbor_distance(positions: np.ndarray) -> float:
    from scipy.spatial import KDTree

    if len(positions) < 2:
        return 1.0
    return float(np.median(KDTree(positions).query(positions, k=2)[0][:, 1]))


def wrapped(system: System) -> np.ndarray:
    """(N, d) positions inside the cell where it is periodic."""
    fractional = np.asarray(system.positions) @ np.linalg.inv(system.cell)
    inside = fractional - np.where(system.pbc, np.floor(fractional), 0.0)
    return inside @ np.asarray(system.cell)


def visible_images(system: System, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (M, d) and owners (M,) of all images of particles that reach into the cell."""
    home, cell = wrapped(system), np.asarray(system.cell)
    steps = [(-1, 0, 1) if periodic else (0,) for periodic in system.pbc]
    margin = radius[:, None] * np.linalg.norm(np.linalg.inv(cell), axis=0)
    centres, owners = [], []
    for step in product(*steps):
        moved = home + np.array(step) @ cell
        fractional = moved @ np.linalg.inv(cell)
        near = np.where(system.pbc, (fractional > -margin) & (fractional < 1 + margin), True)
        owner = np.flatnonzero(near.all(axis=1))
        centres.append(moved[owner])
        owners.append(owner)
    return np.concatenate(centres), np.concatenate(owners)


def colouring(result: Result) -> Field | None:
    """The first derivative that has one value per particle; else how far each particle moves.

    That of the energy comes last: at a minimum it does not know how the others give way.
    """
    n = result.system.n_particles
    for observable, derivatives in sorted(result.sensitivity.items(), key=_is_energy):
        for name, d in derivatives.items():
            if d.value.shape == (n,) and d.keys is None:
                return Field(d.value, f"d {observable} / d {name}$_i$", d.units)
    response = largest_response(result)
    if response is None:
        return None
    units = next(iter(result.sensitivity["positions"].values())).units
    return Field(np.linalg.norm(response.arrows, axis=1), f"|{response.title}|", units)


def _is_energy(item: tuple[str, object]) -> bool:
    return item[0] == "energy"


def largest_response(result: Result) -> Response | None:
    """The stored displacement field of largest norm."""
    best: Response | None = None
    n, d = result.system.n_particles, result.system.dimension
    for name, derivative in result.sensitivity.get("positions", {}).items():
        fields = derivative.value.reshape(-1, n, d)
        k = int(np.argmax(np.linalg.norm(fields, axis=(1, 2))))
        if best is not None and np.linalg.norm(fields[k]) <= np.linalg.norm(best.arrows):
            continue
        own = derivative.keys is None and derivative.value.ndim == 3
        entry = derivative.keys[k] if derivative.keys else k
        label = name if derivative.value.ndim == 2 else f"{name}[{entry}]"
        best = Response(fields[k], f"d R / d {label}", k if own else None)
    return best


def contact_forces(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """Segments (C, 2, d) from each centre to the other's nearest image, and forces (C,); contacts
    across the cell stand there from both sides.

    Empty where the potential knows no simple contact, or particles are many.
    """
    n, d = result.system.n_particles, result.system.dimension
    nothing = np.zeros((0, 2, d)), np.zeros(0)
    size = diameters(result)
    strength = [result.parameters.get(name) for name in ("epsilon", "alpha")]
    if result.potential != "soft_sphere" or n > LARGEST_WITH_CONTACTS:
        return nothing
    if any(np.ndim(x) for x in strength if x is not None):
        return nothing
    epsilon, alpha = map(float, map(np.asarray, strength))
    home, cell = wrapped(result.system), np.asarray(result.system.cell)
    i, j = np.triu_indices(n, k=1)
    fractional = (home[j] - home[i]) @ np.linalg.inv(cell)
    away = (fractional - np.where(result.system.pbc, np.round(fractional), 0.0)) @ cell
    reach, distance = (size[i] + size[j]) / 2, np.linalg.norm(away, axis=1)
    touch = distance < reach
    i, j, away, reach, distance = i[touch], j[touch], away[touch], reach[touch], distance[touch]
    force = epsilon / reach * (1 - distance / reach) ** (alpha - 1)
    segments = np.stack([home[i], home[i] + away], axis=1)
    across = np.linalg.norm(segments[:, 1] - home[j], axis=1) > 0.5 * distance
    mirrored = np.stack([home[j], home[j] - away], axis=1)[across]
    return np.concatenate([segments, mirrored]), np.concatenate([force, force[across]])
