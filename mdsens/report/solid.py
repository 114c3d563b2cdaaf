"""Three-dimensional systems, drawn so that depth can be read: shaded spheres that fade with distance.

Parallel projection from a little above and beside the y axis; what is nearer is drawn later.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy.spatial import KDTree

from mdsens.report.geometry import (
    Field,
    Response,
    contact_forces,
    diameters,
    visible_images,
    wrapped,
)
from mdsens.report.style import GREEN, INK, ORANGE, PALE, PURPLE, SKY, colour_map, norm
from mdsens.result import Result
from mdsens.system import System

TURN, LIFT = np.radians(22.0), np.radians(16.0)
SIZE = 0.5  # of what is drawn: spheres of full size hide what lies behind
FOG = 0.65  # how much of its colour the farthest particle loses
HIGHLIGHT = 0.32  # its size
FEW = 16  # fewer particles are drawn with their periodic images, else one sees no crystal
BONDED = 1.2  # times the distance of nearest neighbours
MOST_BONDS = 20_000


def draw_solid(
    figure: Figure, axes: Axes, result: Result, field: Field | None, response: Response | None
) -> None:
    """Spheres coloured by a field, bonds or contact forces, the cell, and a response as arrows."""
    shown, owners = _shown(result.system)
    width = SIZE * diameters(result)[owners]
    rgb = _colours(result, field)[owners]
    fog = _Fog(shown)
    _draw_cell(axes, result.system)
    _draw_bonds(axes, result, shown, fog)
    _draw_spheres(axes, shown, width, rgb, fog)
    if response is not None:
        _draw_response(axes, shown, response.arrows[owners], float(np.max(width)))
    _draw_axes(axes)
    if field is not None:
        colours = ScalarMappable(norm(field.values), colour_map(field.values))
        figure.colorbar(colours, ax=axes, shrink=0.8, label=f"{field.title}  ({field.units})")
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.autoscale_view()


def view(points: np.ndarray) -> np.ndarray:
    """(..., 3) as (right, up, towards the eye)."""
    x, y, z = np.moveaxis(points, -1, 0)
    right, away = np.cos(TURN) * x + np.sin(TURN) * y, np.cos(TURN) * y - np.sin(TURN) * x
    up, away = np.cos(LIFT) * z + np.sin(LIFT) * away, np.cos(LIFT) * away - np.sin(LIFT) * z
    return np.stack([right, up, -away], axis=-1)


class _Fog:
    """Colours fade towards white with the distance from the eye."""

    def __init__(self, points: np.ndarray):
        depth = view(points)[:, 2]
        self.near, self.extent = float(np.max(depth)), max(float(np.ptp(depth)), 1e-300)

    def __call__(self, rgb: np.ndarray, depth: np.ndarray) -> np.ndarray:
        share = FOG * np.clip((self.near - depth) / self.extent, 0.0, 1.0)[:, None]
        return (1 - share) * rgb + share


def _shown(system: System) -> tuple[np.ndarray, np.ndarray]:
    """Centres (M, 3) and owners (M,): all particles; of few also images, up to the far faces."""
    if system.n_particles >= FEW or not any(system.pbc):
        return wrapped(system), np.arange(system.n_particles)
    steps = [(0, 1) if periodic else (0,) for periodic in system.pbc]
    cell = np.asarray(system.cell)
    moved = np.concatenate([wrapped(system) + np.array(s) @ cell for s in product(*steps)])
    doubled = System(
        moved, cell * (1.0 + np.asarray(system.pbc))[:, None], system.pbc,
        ("X",) * len(moved), (False,) * len(moved),
    )  # fmt: skip
    near = 1e-3 * float(np.max(np.linalg.norm(cell, axis=1)))
    centres, owners = visible_images(doubled, np.full(len(moved), near))
    return centres, owners % system.n_particles


def _colours(result: Result, field: Field | None) -> np.ndarray:
    if field is not None:
        colours = ScalarMappable(norm(field.values), colour_map(field.values))
        return colours.to_rgba(field.values)[:, :3]
    kinds = result.system.type_names
    palette = [to_rgb(c) for c in (PALE, "#F0E442", SKY, PURPLE, GREEN)]
    return np.array([palette[kinds.index(s) % len(palette)] for s in result.system.species])


def _draw_spheres(
    axes: Axes, centres: np.ndarray, width: np.ndarray, rgb: np.ndarray, fog: _Fog
) -> None:
    """Each with its highlight, from back to front."""
    seen = view(centres)
    order = np.argsort(seen[:, 2])
    seen, width, rgb = seen[order], width[order], rgb[order]
    body = fog(rgb, seen[:, 2])
    light = 0.45 * body + 0.55
    edge = fog(np.broadcast_to(to_rgb(INK), rgb.shape), seen[:, 2])
    places = np.stack([seen[:, :2], seen[:, :2] + 0.16 * width[:, None] * [-1, 1]], axis=1)
    sizes = np.stack([width, HIGHLIGHT * width], axis=1).ravel()
    spheres = EllipseCollection(
        sizes, sizes, np.zeros_like(sizes), units="xy", offsets=places.reshape(-1, 2),
        offset_transform=axes.transData, zorder=2, linewidths=np.tile([0.5, 0.0], len(seen)),
        facecolors=np.stack([body, light], axis=1).reshape(-1, 3),
        edgecolors=np.stack([edge, light], axis=1).reshape(-1, 3),
    )  # fmt: skip
    axes.add_collection(spheres)
    for side in (-0.5, 0.5):
        axes.update_datalim(seen[:, :2] + side * width[:, None])


def _draw_bonds(axes: Axes, result: Result, centres: np.ndarray, fog: _Fog) -> None:
    """Contact forces as line widths where the potential knows contacts, else neighbours."""
    segments, force = contact_forces(result)
    widths: np.ndarray | float = 1.5
    if len(force):
        widths = 3.0 * force / force.max()
    else:
        pairs = _neighbours(centres)
        segments = centres[pairs]
    if not 0 < len(segments) <= MOST_BONDS:
        return
    seen = view(segments)
    colours = fog(np.broadcast_to(to_rgb("#777777"), (len(seen), 3)), seen[:, :, 2].mean(axis=1))
    axes.add_collection(
        LineCollection(list(seen[:, :, :2]), linewidths=widths, colors=colours, zorder=1)
    )


def _neighbours(centres: np.ndarray) -> np.ndarray:
    tree = KDTree(centres)
    if len(centres) < 2:
        return np.zeros((0, 2), dtype=int)
    nearest = np.median(tree.query(centres, k=2)[0][:, 1])
    return tree.query_pairs(BONDED * nearest, output_type="ndarray")


def _draw_cell(axes: Axes, system: System) -> None:
    """Its edges along periodic directions."""
    corners = list(product(*[(0, 1) if p else (0,) for p in system.pbc]))
    pairs = [(a, b) for a in corners for b in corners if sum(np.abs(np.subtract(a, b))) == 1]
    edges = [view(np.array([a, b]) @ np.asarray(system.cell))[:, :2] for a, b in pairs if a < b]
    axes.add_collection(LineCollection(edges, colors=INK, linewidths=0.7, zorder=0.5))
    if edges:
        axes.update_datalim(np.concatenate(edges))


def _draw_response(axes: Axes, centres: np.ndarray, arrows: np.ndarray, width: float) -> None:
    """The longest arrow is twice as long as the largest sphere is wide."""
    longest = float(np.linalg.norm(arrows, axis=1).max())
    if longest == 0.0:
        return
    scale = longest / (2 * width)
    seen, along = view(centres), view(arrows)
    axes.quiver(
        *seen.T[:2], *along.T[:2], color=ORANGE, angles="xy", scale_units="xy", scale=scale,
        width=0.004, zorder=5,
    )  # fmt: skip
    axes.update_datalim((seen + along / scale)[:, :2])


def _draw_axes(axes: Axes) -> None:
    """The directions x, y and z in a corner."""
    for name, arrow in zip("xyz", view(np.eye(3))[:, :2], strict=True):
        tip = 0.07 * arrow
        axes.annotate(
            "", xy=(0.03 + tip[0], 0.03 + tip[1]), xytext=(0.03, 0.03), xycoords="axes fraction",
            arrowprops={"arrowstyle": "->", "color": INK, "lw": 0.8, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        x, y = 0.03 + 1.35 * tip
        axes.text(
            x, y, name, fontsize=8, color=INK, ha="center", va="center",
            transform=axes.transAxes,
        )  # fmt: skip
