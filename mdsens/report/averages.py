"""Averages that are curves, with their error bars: pair correlations, structure factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdsens.report.style import BLUE, CYCLE, INK, new_figure, tidy
from mdsens.result import Derivative

if TYPE_CHECKING:  # figures do not need JAX
    from mdsens.thermal import Estimate

SIGMAS = 2.0


def draw_average(
    x: Any,
    average: Estimate | Derivative,
    slopes: Mapping[str, Estimate] | Mapping[str, Derivative] | None = None,
    *,
    name: str = "g(r)",
    along: str = "r",
) -> Figure:
    """A function of x and, below it, its derivatives by parameters, each within two standard deviations.

    Args:
        x: (m,) where the average is known.
        average: (m,), from `mdsens.thermal.thermal_sensitivity`.
        slopes: (m,) by parameter, from the same.
        name, along: of the function and of x, with units.
    """
    x, slopes = np.asarray(x), slopes or {}
    rows = 2 if slopes else 1
    figure = new_figure(6.5, 2.8 * rows)
    panels = list(np.atleast_1d(figure.subplots(rows, 1, sharex=True)))
    draw_function(panels, x, average, slopes, name, along)
    return figure


def draw_function(
    panels: Sequence[Axes],
    x: np.ndarray,
    average: Estimate | Derivative,
    slopes: Mapping[str, Estimate] | Mapping[str, Derivative],
    name: str,
    along: str,
    by: str = "parameter",
) -> None:
    """Into one panel, or two where there are derivatives."""
    _draw_curve(panels[0], x, average, BLUE, None)
    panels[0].set_ylabel(name)
    for (parameter, slope), colour in zip(slopes.items(), CYCLE[1:], strict=False):
        _draw_curve(panels[1], x, slope, colour, parameter)
    if slopes:
        panels[1].axhline(0.0, color=INK, linewidth=0.6)
        panels[1].set_ylabel(f"d {name} / d {by}")
        panels[1].legend(fontsize=8, frameon=False)
    panels[-1].set_xlabel(along)


def _draw_curve(
    axes: Axes, x: np.ndarray, e: Estimate | Derivative, colour: str, label: str | None
) -> None:
    bar = SIGMAS * np.asarray(e.error)
    axes.plot(x, e.value, color=colour, linewidth=1.4, label=label)
    axes.fill_between(x, e.value - bar, e.value + bar, color=colour, alpha=0.3, linewidth=0)
    tidy(axes)
