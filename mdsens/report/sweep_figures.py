"""Figures of a merged sweep: how numbers are distributed over the runs, and how they follow an axis."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from mdsens.errors import InputError
from mdsens.report.style import BLUE, INK, ORANGE, new_figure, rendered, tidy
from mdsens.sweep_record import Column, SweepRecord

MOST_PANELS = 9
ACROSS = 3


def sweep_image(record: SweepRecord, suffix: str = ".png") -> bytes:
    """The first figure of a sweep as the content of a PNG, SVG or PDF file.

    Raises:
        InputError: another suffix; no run of the sweep gave a number.
    """
    figures = draw_sweep(record)
    if not figures:
        raise InputError("plot: no run of this sweep gave a number; see `mdsens report`")
    return rendered(figures[0][1], suffix)


def draw_sweep(record: SweepRecord) -> list[tuple[str, Figure]]:
    """Titles and figures."""
    found = []
    for title, columns in (
        ("Observables over all runs", record.observables),
        ("Derivatives over all runs", record.derivatives),
    ):
        known = {k: c for k, c in columns.items() if np.isfinite(c.values).any()}
        if known:
            found.append((title, _histograms(known)))
    axis = _numeric_axis(record)
    if axis is not None and record.observables:
        key, values = axis
        found.append((f"Observables against {key}", _against(key, values, record.observables)))
    return found


def _numeric_axis(record: SweepRecord) -> tuple[str, np.ndarray] | None:
    """The first that is a number and takes several values."""
    for dimension, axes in enumerate(record.axes):
        for key, values in axes.items():
            if values.dtype.kind in "if" and len(np.unique(values)) > 1:
                return key, record.along(dimension, key)
    return None


def _panels(count: int) -> tuple[Figure, list]:
    rows, across = -(-count // ACROSS), min(count, ACROSS)
    figure = new_figure(4.0 * across, 2.9 * rows)
    panels = list(figure.subplots(rows, across, squeeze=False).ravel())
    for panel in panels[count:]:
        panel.set_axis_off()
    return figure, panels


def _histograms(columns: Mapping[str, Column]) -> Figure:
    shown = list(columns.items())[:MOST_PANELS]
    figure, panels = _panels(len(shown))
    for panel, (name, column) in zip(panels, shown, strict=False):
        values = column.values[np.isfinite(column.values)]
        panel.hist(values, bins="sqrt" if len(values) < 1000 else 40, color=BLUE)
        panel.axvline(float(np.median(values)), color=ORANGE, linewidth=1.2)
        panel.set_xlabel(f"{name}  ({column.units})", fontsize=8)
        panel.set_ylabel("runs", fontsize=8)
        panel.tick_params(labelsize=7)
        tidy(panel)
    return figure


def _against(key: str, values: np.ndarray, columns: Mapping[str, Column]) -> Figure:
    shown = list(columns.items())[:MOST_PANELS]
    figure, panels = _panels(len(shown))
    places = np.unique(values)
    for panel, (name, column) in zip(panels, shown, strict=False):
        panel.plot(values, column.values, ".", color=BLUE, alpha=0.6, markersize=5)
        means = [_mean(column.values[values == v]) for v in places]
        panel.plot(places, means, color=INK, linewidth=1.0)
        panel.set_xlabel(key, fontsize=8)
        panel.set_ylabel(f"{name}  ({column.units})", fontsize=8)
        panel.tick_params(labelsize=7)
        tidy(panel)
    return figure


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else np.nan
