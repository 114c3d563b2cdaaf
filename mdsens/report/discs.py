"""Two-dimensional systems: discs to scale, contact forces, and what they respond to."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from mdsens.report.geometry import (
    Field,
    Response,
    contact_forces,
    diameters,
    visible_images,
    wrapped,
)
from mdsens.report.style import INK, ORANGE, PALE, colour_map, length_unit, norm
from mdsens.result import Result


def draw_discs(
    figure: Figure, axes: Axes, result: Result, field: Field | None, response: Response | None
) -> None:
    """Discs with their contact forces as line widths, coloured by a field; a response as arrows."""
    outline = _draw_cell(axes, result)
    discs = _draw_discs(axes, result, field, outline)
    _draw_contacts(axes, result, outline)
    if response is not None:
        _draw_response(axes, result, response)
    if field is not None:
        figure.colorbar(discs, ax=axes, shrink=0.8, label=f"{field.title}  ({field.units})")
    length = length_unit(result.system.units)
    axes.set_xlabel(f"x  ({length})")
    axes.set_ylabel(f"y  ({length})")
    axes.set_aspect("equal")
    axes.autoscale_view()


def _draw_cell(axes: Axes, result: Result) -> Polygon | None:
    """The cell, dotted where it is partly open; else the outline that clips what crosses it."""
    if not any(result.system.pbc):
        return None
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ np.asarray(result.system.cell)
    outline = Polygon(corners, fill=False, edgecolor=INK, linewidth=1.0, zorder=4)
    outline.set_linestyle("-" if all(result.system.pbc) else ":")
    axes.add_patch(outline)
    return outline if all(result.system.pbc) else None


def _draw_discs(
    axes: Axes, result: Result, field: Field | None, outline: Polygon | None
) -> EllipseCollection:
    size = diameters(result)
    if outline is not None:
        centres, owners = visible_images(result.system, size / 2)
    else:
        centres, owners = wrapped(result.system), np.arange(result.system.n_particles)
    width = size[owners]
    discs = EllipseCollection(
        width, width, np.zeros_like(width), units="xy", offsets=centres,
        offset_transform=axes.transData, edgecolors=INK, linewidths=0.4, zorder=2,
    )  # fmt: skip
    if field is None:
        discs.set_facecolor(PALE)
    else:
        discs.set_array(np.asarray(field.values)[owners])
        discs.set_norm(norm(field.values))
        discs.set_cmap(colour_map(field.values))
    axes.add_collection(discs)
    for side in (-0.5, 0.5):
        axes.update_datalim(centres + side * width[:, None])
    if outline is not None:
        discs.set_clip_path(outline)
        axes.set_xlim(*_limits(outline.get_xy()[:, 0]))
        axes.set_ylim(*_limits(outline.get_xy()[:, 1]))
    return discs


def _limits(values: Any) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    return low - 0.02 * (high - low), high + 0.02 * (high - low)


def _draw_contacts(axes: Axes, result: Result, outline: Polygon | None) -> None:
    segments, force = contact_forces(result)
    if len(force) == 0:
        return
    widths = 3.0 * force / force.max()
    lines = LineCollection(list(segments), linewidths=widths, colors=INK, alpha=0.6, zorder=3)
    axes.add_collection(lines)
    if outline is not None:
        lines.set_clip_path(outline)


def _draw_response(axes: Axes, result: Result, response: Response) -> None:
    centres, arrows = wrapped(result.system), response.arrows
    longest = float(np.linalg.norm(arrows, axis=1).max())
    if longest == 0.0:
        return
    # The longest arrow is as long as a large particle is wide.
    scale = longest / float(np.max(diameters(result)))
    axes.quiver(
        *centres.T, *arrows.T, color=ORANGE, angles="xy", scale_units="xy", scale=scale,
        width=0.004, zorder=5,
    )  # fmt: skip
    axes.update_datalim(centres + arrows / scale)
    if response.particle is not None:
        axes.plot(*centres[response.particle], "o", color=ORANGE, markersize=5, zorder=6)
