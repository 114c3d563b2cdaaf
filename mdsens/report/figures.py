"""One picture of a result: the particles and what they respond to, beside the scalar derivatives.

Colours are those a colour-blind reader can tell apart: cividis for one sign, PuOr for two.
"""

from __future__ import annotations

from io import BytesIO
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from mdsens.errors import InputError
from mdsens.report.geometry import (
    Field,
    Response,
    colouring,
    contact_forces,
    diameters,
    largest_response,
    visible_images,
    wrapped,
)
from mdsens.result import Derivative, Result

FORMATS = (".png", ".svg", ".pdf")
INK, PALE, BLUE, ORANGE = "#222222", "#d9d9d9", "#0072B2", "#D55E00"
LARGEST_BARS = 24
ROOM_FOR_BARS = 6  # fewer bars do not get fatter
BEHIND = 0.5  # in 3D particles are drawn smaller, so that one sees what lies behind


def image(result: Result, suffix: str = ".png") -> bytes:
    """The figure of a result as the content of a PNG, SVG or PDF file.

    Raises:
        InputError: another suffix.
    """
    return rendered(draw(result), suffix)


def rendered(figure: Figure, suffix: str) -> bytes:
    """A figure as the content of a file; see `image`."""
    if suffix.lower() not in FORMATS:
        raise InputError(
            f"plot: figures cannot be written as {suffix or 'a file without suffix'}; "
            f"allowed: {', '.join(FORMATS)}"
        )
    stream = BytesIO()
    figure.savefig(stream, format=suffix.lower()[1:], dpi=160)
    return stream.getvalue()


def draw(result: Result) -> Figure:
    """The particles on the left, scalar derivatives on the right."""
    figure = Figure(figsize=(11.0, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1.0))
    _draw_particles(figure, left, result)
    _draw_bars(right, result)
    figure.suptitle(_heading(result), fontsize=10, color=INK)
    return figure


def _heading(result: Result) -> str:
    system = result.system
    return (
        f"{result.potential}, {system.n_particles} particles in {system.dimension}D: "
        f"{result.certificate.outcome.splitlines()[0][:90]}"
    )


def _draw_particles(figure: Figure, axes: Axes, result: Result) -> None:
    field, response = colouring(result), largest_response(result)
    outline = _draw_cell(axes, result)
    discs = _draw_discs(axes, result, field, outline)
    _draw_contacts(axes, result, outline)
    if response is not None:
        _draw_response(axes, result, response)
    if field is not None:
        figure.colorbar(discs, ax=axes, shrink=0.8, label=f"{field.title}  ({field.units})")
    notes = [] if response is None else [f"arrows: {response.title}"]
    notes += ["seen along z"] if result.system.dimension == 3 else []
    axes.set_title(", ".join(notes), fontsize=9)
    length = "reduced" if result.system.units == "reduced" else "angstrom"
    axes.set_xlabel(f"x  ({length})")
    axes.set_ylabel(f"y  ({length})")
    axes.set_aspect("equal")
    axes.autoscale_view()


def _draw_cell(axes: Axes, result: Result) -> Polygon | None:
    """The cell's edges; in a periodic 2D system the outline that clips what crosses it."""
    cell, d = np.asarray(result.system.cell), result.system.dimension
    if not any(result.system.pbc):
        return None
    if d == 2 and all(result.system.pbc):
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ cell
        outline = Polygon(corners, fill=False, edgecolor=INK, linewidth=1.0, zorder=4)
        axes.add_patch(outline)
        return outline
    axes.add_collection(LineCollection(_edges(cell, result.system.pbc), colors=INK, linewidths=0.8))
    return None


def _edges(cell: np.ndarray, pbc: tuple[bool, ...]) -> list[Any]:
    """Edges of the cell along its periodic directions, projected on x and y."""
    corners = list(product(*[(0, 1) if p else (0,) for p in pbc]))
    pairs = [(a, b) for a in corners for b in corners if sum(np.subtract(b, a)) == 1]
    whole = [(a, b) for a, b in pairs if np.abs(np.subtract(a, b)).sum() == 1]
    return [np.array([a, b]) @ cell[:, :2] for a, b in whole]


def _draw_discs(
    axes: Axes, result: Result, field: Field | None, outline: Polygon | None
) -> EllipseCollection:
    size = diameters(result)
    if result.system.dimension == 3:
        size = BEHIND * size
    if outline is not None:
        centres, owners = visible_images(result.system, size / 2)
    else:
        centres, owners = wrapped(result.system), np.arange(result.system.n_particles)
        if result.system.dimension == 3:  # what is nearer to the eye is drawn later
            order = np.argsort(centres[:, 2])
            centres, owners = centres[order], owners[order]
    width = size[owners]
    discs = EllipseCollection(
        width, width, np.zeros_like(width), units="xy", offsets=centres[:, :2],
        offset_transform=axes.transData, edgecolors=INK, linewidths=0.4, zorder=2,
    )  # fmt: skip
    if field is None:
        discs.set_facecolor(PALE)
    else:
        discs.set_array(np.asarray(field.values)[owners])
        discs.set_norm(_norm(field.values))
        discs.set_cmap("PuOr" if _two_signs(field.values) else "cividis")
    axes.add_collection(discs)
    for side in (-0.5, 0.5):
        axes.update_datalim(centres[:, :2] + side * width[:, None])
    if outline is not None:
        discs.set_clip_path(outline)
        axes.set_xlim(*_limits(outline.get_xy()[:, 0]))
        axes.set_ylim(*_limits(outline.get_xy()[:, 1]))
    return discs


def _limits(values: Any) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    return low - 0.02 * (high - low), high + 0.02 * (high - low)


def _two_signs(values: np.ndarray) -> bool:
    low, high = float(np.min(values)), float(np.max(values))
    return low < -0.01 * high and high > -0.01 * low


def _norm(values: np.ndarray) -> Normalize:
    if _two_signs(values):
        extent = float(np.max(np.abs(values)))
        return TwoSlopeNorm(0.0, -extent, extent)
    return Normalize(float(np.min(values)), float(np.max(values)))


def _draw_contacts(axes: Axes, result: Result, outline: Polygon | None) -> None:
    if result.system.dimension == 3:
        return
    segments, force = contact_forces(result)
    if len(force) == 0:
        return
    widths = 3.0 * force / force.max()
    lines = LineCollection(list(segments), linewidths=widths, colors=INK, alpha=0.6, zorder=3)
    axes.add_collection(lines)
    if outline is not None:
        lines.set_clip_path(outline)


def _draw_response(axes: Axes, result: Result, response: Response) -> None:
    centres = wrapped(result.system)[:, :2]
    arrows = response.arrows[:, :2]
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


def _draw_bars(axes: Axes, result: Result) -> None:
    bars = [bar for o, by in result.sensitivity.items() for n, d in by.items()
            for bar in _bars(o, n, d)][:LARGEST_BARS]  # fmt: skip
    if not bars:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no scalar derivatives", ha="center", color=INK)
        return
    labels, values = zip(*bars, strict=True)
    places = np.arange(len(bars))
    axes.barh(places, values, color=[BLUE if v >= 0 else ORANGE for v in values], height=0.6)
    axes.set_yticks(places, labels, fontsize=8)
    axes.set_ylim(max(len(bars), ROOM_FOR_BARS) - 0.5, -0.5)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    sizes = np.abs([v for v in values if v])
    if sizes.size and sizes.max() > 100 * sizes.min():
        smallest = max(float(sizes.min()), 1e-5 * float(sizes.max()))
        axes.set_xscale("symlog", linthresh=smallest)
        axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel("derivative (unit of each beside its name)")
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            f"{value:.4g}", (value, place), xytext=(3 if value >= 0 else -3, 0),
            textcoords="offset points", ha="left" if value >= 0 else "right", va="center",
            fontsize=7,
        )  # fmt: skip
    axes.margins(x=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _bars(observable: str, name: str, d: Derivative) -> list[tuple[str, float]]:
    """Derivatives of scalar observables: by a number, by table entries, or by all particles' own."""
    title = f"d {observable} / d {name}"
    if observable == "positions" or d.value.ndim > 1:
        return []
    if d.keys is not None and d.value.shape == (len(d.keys),):
        return [
            (f"{title}[{k}]  ({d.units})", float(v)) for k, v in zip(d.keys, d.value, strict=True)
        ]
    if d.value.ndim == 1:  # all particles' parameters growing alike
        return [(f"{title}, all alike  ({d.units})", float(d.value.sum()))]
    return [(f"{title}  ({d.units})", float(d.value))]
