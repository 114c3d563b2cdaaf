"""One picture of a fit: labelled data against the potential, curves, properties with bars, convergence."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    StrMethodFormatter,
)

from mdsens.fit_record import KINDS, FitRecord, TargetRecord
from mdsens.report.style import BLUE, INK, ORANGE, PALE, new_figure, rendered


def fit_image(record: FitRecord, suffix: str = ".png") -> bytes:
    """The figure of a fit as the content of a PNG, SVG or PDF file.

    Raises:
        InputError: another suffix.
    """
    return rendered(draw_fit(record), suffix)


def draw_fit(record: FitRecord) -> Figure:
    """Parity of each kind of label, curves, deviations of properties, and chi^2 step by step."""
    kinds = [k for k in KINDS if any(k in t.labels for t in record.targets)]
    curves = [(t, name) for t in record.targets for name in t.curves]
    properties = any(t.single for t in record.targets)
    count = len(kinds) + len(curves) + properties + 1
    figure = new_figure(4.2 * count, 4.0)
    axes = list(np.atleast_1d(figure.subplots(1, count)))
    for kind in kinds:
        _draw_parity(axes.pop(0), record, kind)
    for target, name in curves:
        _draw_curve(axes.pop(0), target, name)
    if properties:
        _draw_properties(axes.pop(0), record)
    _draw_history(axes.pop(0), record)
    figure.suptitle(
        f"{record.potential}, {len(record.labels)} free parameters: chi^2 "
        f"{record.facts['chi2_start']:.4g} to {record.facts['chi2']:.4g}",
        fontsize=10, color=INK,
    )  # fmt: skip
    return figure


def _draw_parity(axes: Axes, record: FitRecord, kind: str) -> None:
    those = [t for t in record.targets if kind in t.labels]
    pairs = [
        (t.wanted[mine], t.start[mine], t.value[mine])
        for t in those
        for mine in [np.array(t.labels) == kind]
    ]
    wanted, start, fitted = (np.concatenate(column) for column in zip(*pairs, strict=True))
    unit = those[0].units[those[0].labels.index(kind)]
    for values, colour, name in ((start, ORANGE, "start"), (fitted, BLUE, "fitted")):
        rms = np.sqrt(np.mean((values - wanted) ** 2))
        axes.plot(
            wanted, values, ".", color=colour, markersize=3, alpha=0.4, rasterized=True,
            label=f"{name}: rms {rms:.3g}",
        )  # fmt: skip
    ends = [wanted.min(), wanted.max()]
    axes.plot(ends, ends, color=INK, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.set_xlabel(f"{kind} of the data ({unit})")
    axes.set_ylabel(f"{kind} of the potential ({unit})")
    axes.legend(fontsize=8, frameon=False, markerscale=3)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_curve(axes: Axes, target: TargetRecord, name: str) -> None:
    mine = target.curves[name]
    at, wanted, sigma = (x[mine] for x in (target.at, target.wanted, target.sigma))
    axes.fill_between(at, wanted - sigma, wanted + sigma, color=PALE, linewidth=0.0, label="wanted")
    for values, colour, when in ((target.start, ORANGE, "start"), (target.value, BLUE, "fitted")):
        axes.plot(at, values[mine], color=colour, linewidth=1.2, label=when)
    axes.set_xlabel(f"{target.name}: {name}")
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_properties(axes: Axes, record: FitRecord) -> None:
    """(value - wanted) / sigma of every property, with the bar that the fit gives it."""
    rows = [
        (f"{t.name}: {t.labels[k]}", *((v - t.wanted[k]) / t.sigma[k] for v in (t.start[k], t.value[k])),
         t.predicted_sigma[k] / t.sigma[k])
        for t in record.targets for k in t.single
    ]  # fmt: skip
    labels, start, fitted, bars = zip(*rows, strict=True)
    places = np.arange(len(rows))
    axes.axvspan(-1.0, 1.0, color=PALE, alpha=0.6, linewidth=0.0)
    axes.plot(start, places, "o", color=ORANGE, markersize=5, label="start")
    axes.errorbar(fitted, places, xerr=bars, fmt="o", color=BLUE, markersize=5, label="fitted")
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_yticks(places, labels, fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("(potential - wanted) / sigma")
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_history(axes: Axes, record: FitRecord) -> None:
    for k, steps in enumerate(record.history):
        if not steps:
            continue
        chosen = k == record.facts["chosen"]
        axes.plot(steps["chi2"], color=BLUE if chosen else PALE, zorder=2 if chosen else 1,
                  label="chi^2" if chosen else None)  # fmt: skip
        if chosen and np.isfinite(steps["validation"]).any():
            axes.plot(steps["validation"], color=ORANGE, label="chi^2 of held-out data")
    _few_labels_per_decade(axes)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("step")
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _few_labels_per_decade(axes: Axes) -> None:
    """A logarithmic axis of y: labels at powers of ten, over less than two decades at 1, 2, 3, 5 of each."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high > 100.0 * low:
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_formatter(NullFormatter())
        return
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0), numticks=6))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
