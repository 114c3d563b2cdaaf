"""What matters for what: relative sensitivities as bars."""

from __future__ import annotations

from itertools import groupby

import numpy as np
from matplotlib.axes import Axes

from mdsens.report.relative import Effect, effects
from mdsens.report.style import BLUE, INK, ORANGE, tidy
from mdsens.result import Result

MOST_BARS = 24
ROOM_FOR_BARS = 6  # fewer bars do not get fatter
LINEAR = 30.0  # a larger ratio of effects is drawn on a logarithmic scale


def draw_tornado(axes: Axes, result: Result) -> None:
    """Per cent for one per cent, a group per observable, the largest on top."""
    bars, without = effects(result)
    if not bars:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no relative sensitivities", ha="center", color=INK)
        return
    shown, hidden = _largest(bars)
    places, heads = _places(shown)
    _draw_bars(axes, shown, places)
    for name, place in heads:
        axes.annotate(
            name, (0.0, place), xycoords=("axes fraction", "data"), xytext=(-4, 0),
            textcoords="offset points", ha="right", va="center", fontsize=8.5, weight="bold",
            color=INK, annotation_clip=False,
        )  # fmt: skip
    bottom = max(places[-1], ROOM_FOR_BARS) + 0.7
    axes.set_ylim(bottom, min(place for _, place in heads) - 0.7)
    _scale(axes, [bar.value for bar in shown])
    notes = [f"{hidden} smaller ones not shown"] if hidden else []
    notes += [f"zero here: {', '.join(without)}"] if without else []
    axes.set_title("; ".join(notes), fontsize=8, color=INK)
    tidy(axes, "left")
    axes.tick_params(axis="y", length=0)


def _scale(axes: Axes, values: list[float]) -> None:
    sizes, label = np.abs(values), "change in % per % of the parameter"
    if max(sizes) > LINEAR * max(min(sizes), 1.0):
        axes.set_xscale("symlog", linthresh=1.0, linscale=0.7)
        axes.tick_params(axis="x", labelsize=7)
        low, high = min(values), max(values)
        # Room for the numbers beside the bars.
        axes.set_xlim(15 * min(low, -0.05), 15 * max(high, 0.05))
        label += "; logarithmic beyond 1"
    else:
        axes.margins(x=0.25)
    axes.set_xlabel(label, fontsize=9)


def _largest(bars: list[Effect]) -> tuple[list[Effect], int]:
    """Of each observable the largest, sorted; and how many are left out."""
    groups = [list(g) for _, g in groupby(bars, key=lambda bar: bar.observable)]
    groups = groups[: MOST_BARS // 2]
    room = max(1, MOST_BARS // len(groups))
    sorted_ones = [sorted(g, key=lambda bar: -abs(bar.value))[:room] for g in groups]
    shown = [bar for group in sorted_ones for bar in group]
    return shown, len(bars) - len(shown)


def _places(bars: list[Effect]) -> tuple[np.ndarray, list[tuple[str, float]]]:
    """Heights of bars and of the names of their groups."""
    places, heads, height = [], [], -1.0
    for name, group in groupby(bars, key=lambda bar: bar.observable):
        height += 1.0
        heads.append((name, height))
        for _ in group:
            height += 1.0
            places.append(height)
        height += 0.4
    return np.array(places), heads


def _draw_bars(axes: Axes, bars: list[Effect], places: np.ndarray) -> None:
    values = [bar.value for bar in bars]
    colours = [BLUE if value >= 0 else ORANGE for value in values]
    errors = [bar.error or 0.0 for bar in bars]
    axes.barh(places, values, color=colours, height=0.7)
    if any(errors):
        axes.errorbar(values, places, xerr=errors, fmt="none", ecolor=INK, capsize=2, linewidth=1)
    axes.set_yticks(places, [bar.parameter for bar in bars], fontsize=8)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    for bar, place, error in zip(bars, places, errors, strict=True):
        outside = bar.value + np.copysign(error, bar.value)
        axes.annotate(
            f"{bar.value:.3g}" + (f" ± {error:.1g}" if error else ""), (outside, place),
            xytext=(4 if bar.value >= 0 else -4, 0), textcoords="offset points",
            ha="left" if bar.value >= 0 else "right", va="center", fontsize=7,
        )  # fmt: skip
