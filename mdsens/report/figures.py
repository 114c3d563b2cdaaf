"""Figures of a result: the particles and what they respond to, what matters for what, the elastic tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdsens.catalogue import CURVES
from mdsens.errors import InputError
from mdsens.report.averages import draw_function
from mdsens.report.discs import draw_discs
from mdsens.report.geometry import colouring, largest_response
from mdsens.report.solid import draw_solid
from mdsens.report.style import length_unit, new_figure, rendered
from mdsens.report.tensors import draw_tensor, draw_young, tensor_name
from mdsens.report.tornado import draw_tornado
from mdsens.result import Derivative, Result
from mdsens.units import label


def image(result: Result, suffix: str = ".png", what: str = "overview") -> bytes:
    """A figure of a result as the content of a PNG, SVG or PDF file.

    Args:
        result: what to draw.
        suffix: .png, .svg or .pdf.
        what: one of `FIGURES`.

    Raises:
        InputError: another suffix; nothing of that kind in the result.
    """
    return rendered(FIGURES[what](result), suffix)


def draw(result: Result) -> Figure:
    """All that there is: particles, relative sensitivities, elastic tensor."""
    name = tensor_name(result)
    widths = (1.15, 1.0) if name is None else (1.1, 1.0, 1.0)
    figure = new_figure(11.0 if name is None else 15.5, 5.2, _heading(result))
    axes = figure.subplots(1, len(widths), width_ratios=widths)
    _draw_particles(figure, axes[0], result)
    draw_tornado(axes[1], result)
    if name is not None:
        draw_tensor(figure, axes[2], result, name)
    return figure


def particles(result: Result) -> Figure:
    """The particles alone, coloured by a derivative, with a displacement field as arrows."""
    figure = new_figure(7.0, 6.0, _heading(result))
    _draw_particles(figure, figure.subplots(), result)
    return figure


def tornado(result: Result) -> Figure:
    """Relative sensitivities: per cent of the observable for one per cent of the parameter."""
    figure = new_figure(7.0, 6.0, _heading(result))
    draw_tornado(figure.subplots(), result)
    return figure


def elastic(result: Result) -> Figure:
    """The elastic tensor as a matrix, and Young's modulus by direction.

    Raises:
        InputError: the result holds no elastic tensor.
    """
    name = tensor_name(result)
    if name is None:
        raise InputError(
            "plot: no elastic tensor in this result; put elastic_tensor among its observables"
        )
    figure = new_figure(11.0, 5.2, _heading(result))
    draw_tensor(figure, figure.add_subplot(1, 2, 1), result, name)
    draw_young(cast(Any, figure.add_subplot(1, 2, 2, projection="polar")), result, name)
    return figure


def average(result: Result) -> Figure:
    """Averages that are functions, g(r) and S(k), and below them their derivatives.

    Raises:
        InputError: the result holds none.
    """
    if not result.observable_along:
        raise InputError(
            "plot: no function of distance or wavenumber in this result; put pair_correlation or "
            "structure_factor among the averages"
        )
    rows = 2 if any(_slopes(result, name) for name in result.observable_along) else 1
    count = len(result.observable_along)
    figure = new_figure(6.5 * count, 2.8 * rows)
    panels = figure.subplots(rows, count, sharex="col", squeeze=False)
    for column, (name, points) in zip(panels.T, result.observable_along.items(), strict=True):
        error = result.observable_errors[name]
        value = Derivative(result.observables[name], "covariance", "1", error=error)
        along = CURVES[name]
        words = f"{along.symbol} ({label(result.system.units, along.dimension)})"
        draw_function(
            column, points, value, _slopes(result, name), along.function, words, "ln parameter"
        )
    return figure


def _slopes(result: Result, name: str) -> dict[str, Derivative]:
    """d/d ln(parameter), for one axis has to do, of parameters that are single numbers."""
    found = {}
    for p, d in result.sensitivity.get(name, {}).items():
        if d.value.ndim == 1:
            size = float(np.asarray(result.parameters[p]))
            error = None if d.error is None else abs(size) * d.error
            found[p] = replace(d, value=size * d.value, error=error)
    return found


FIGURES: dict[str, Callable[[Result], Figure]] = {
    "overview": draw,
    "particles": particles,
    "tornado": tornado,
    "elastic": elastic,
    "average": average,
}


def _heading(result: Result) -> str:
    system = result.system
    return (
        f"{result.potential}, {system.n_particles} particles in {system.dimension}D: "
        f"{result.certificate.outcome.splitlines()[0][:90]}"
    )


def _draw_particles(figure: Figure, axes: Axes, result: Result) -> None:
    field, response = colouring(result), largest_response(result)
    draw_kind = draw_discs if result.system.dimension == 2 else draw_solid
    draw_kind(figure, axes, result, field, response)
    notes = [] if response is None else [f"arrows: {response.title}"]
    notes += [_cell_words(result)] if result.system.dimension == 3 else []
    axes.set_title(", ".join(filter(None, notes)), fontsize=9)


def _cell_words(result: Result) -> str:
    if not any(result.system.pbc):
        return ""
    sides = " × ".join(f"{(row @ row) ** 0.5:.4g}" for row in result.cell)
    return f"cell {sides} {length_unit(result.system.units)}"
