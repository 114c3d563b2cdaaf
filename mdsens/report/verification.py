"""Derivatives beside their finite differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from mdsens.report.style import BLUE, INK, ORANGE, PALE, new_figure, tidy

if TYPE_CHECKING:  # figures do not need JAX
    from mdsens.derivatives.verify import Check

MOST_ROWS = 40


def draw_verification(rows: Sequence[Check]) -> Figure:
    """How far each derivative is from its finite difference, in units of what that can be trusted to.

    Both differences and expected errors are relative to the derivative. A dot left of its bar's end
    agrees; those that do not are orange. Of many rows the worst are drawn.
    """
    worst = sorted(rows, key=lambda row: -_ratio(row))[:MOST_ROWS]
    scale = np.array([max(abs(r.implicit), abs(r.finite_difference), 1e-300) for r in worst])
    expected = np.array([r.expected_error for r in worst]) / scale
    difference = np.maximum(np.array([r.difference for r in worst]) / scale, 1e-17)
    figure = new_figure(7.5, 1.4 + 0.24 * max(len(worst), 6))
    axes, places = figure.subplots(), np.arange(len(worst))
    floor = 0.3 * min(difference.min(initial=1.0), expected.min(initial=1.0))
    axes.barh(
        places, expected - floor, left=floor, color=PALE, label="expected of the finite difference"
    )
    colours = [BLUE if r.agrees else ORANGE for r in worst]
    axes.scatter(difference, places, c=colours, s=22, zorder=3, label="found")
    labels = [f"d {r.observable} / d {r.parameter} {r.component}".strip() for r in worst]
    axes.set_yticks(places, labels, fontsize=8)
    axes.set_ylim(max(len(worst), 6) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.set_xlabel("implicit less finite difference, relative to the derivative")
    agreeing = sum(row.agrees for row in rows)
    title = f"{agreeing} of {len(rows)} derivatives agree"
    title += f"; the worst {len(worst)}" if len(worst) < len(rows) else ""
    axes.set_title(title, fontsize=10, color=INK)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    tidy(axes)
    return figure


def _ratio(row: Check) -> float:
    return row.difference / max(row.expected_error, 1e-300)
