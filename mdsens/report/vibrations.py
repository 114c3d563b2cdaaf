"""Vibrations: softest modes of a packing or a defect, phonon bands of a crystal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mdsens.errors import InputError
from mdsens.report.solid import view
from mdsens.report.style import BLUE, INK, ORANGE, PALE, length_unit, new_figure, tidy
from mdsens.system import System

if TYPE_CHECKING:  # figures do not need JAX
    from mdsens.vibrations import Modes

ACROSS = 3


def draw_modes(system: System, modes: Modes, count: int = 6) -> Figure:
    """The softest modes as arrows, those of the largest amplitude as long as a twelfth of the cell.

    Args:
        system: the relaxed configuration the modes belong to.
        modes: from `mdsens.vibrations.modes`.
        count: how many, the lowest first.

    Raises:
        InputError: the modes belong to another number of particles.
    """
    if modes.vectors.shape[1:] != np.shape(system.positions):
        raise InputError(
            f"draw_modes: modes of {modes.vectors.shape[1]} particles, "
            f"a system of {system.n_particles}; give the system they were computed for"
        )
    count = min(count, len(modes.eigenvalues))
    rows = -(-count // ACROSS)
    figure = new_figure(3.6 * min(count, ACROSS), 3.7 * rows)
    axes = np.atleast_1d(figure.subplots(rows, min(count, ACROSS), squeeze=False)).ravel()
    for panel in axes[count:]:
        panel.set_axis_off()
    for k, panel in enumerate(axes[:count]):
        _draw_mode(panel, system, modes.vectors[k])
        told = f"$\\omega$ = {modes.frequencies[k]:.4g}, participation {modes.participation[k]:.2f}"
        panel.set_title(f"mode {k + 1}: {told}", fontsize=8.5, color=INK)
    figure.supxlabel(
        f"$\\omega$ in roots of energy/length², lengths {length_unit(system.units)}", fontsize=8
    )
    return figure


def _draw_mode(axes: Axes, system: System, vectors: np.ndarray) -> None:
    seen, along = np.asarray(system.positions), vectors
    if system.dimension == 3:
        seen, along = view(seen)[:, :2], view(along)[:, :2]
        axes.set_axis_off()
    extent = float(np.max(np.ptp(seen, axis=0)))
    longest = float(np.max(np.linalg.norm(along, axis=1)))
    axes.plot(*seen.T, "o", color=PALE, markersize=3, zorder=1)
    axes.quiver(
        *seen.T, *along.T, color=BLUE, angles="xy", scale_units="xy",
        scale=12 * longest / max(extent, 1e-300), width=0.005, zorder=2,
    )  # fmt: skip
    axes.set_aspect("equal")
    axes.tick_params(labelsize=7)


def draw_bands(
    path: Any,
    frequencies: Any,
    ticks: Mapping[str, int],
    sigma: Any = None,
    others: Sequence[tuple[str, Any]] = (),
    unit: str = "THz",
) -> Figure:
    """Phonon bands along a path, with the band that uncertain parameters give each.

    Args:
        path: (M,) distance along the path.
        frequencies: (M, 3 N), as `mdsens.phonon_frequencies` returns them; negative ones are unstable.
        ticks: names of special points and their indices on the path.
        sigma: (M, 3 N) one standard deviation of each, such as |d omega/d theta| times that of theta.
        others: names and frequencies (M, 3 N) of other parameters, dashed.
        unit: of the frequencies.
    """
    path, frequencies = np.asarray(path), np.asarray(frequencies)
    figure = new_figure(6.5, 4.4)
    axes = figure.subplots()
    for k, band in enumerate(frequencies.T):
        axes.plot(path, band, color=BLUE, linewidth=1.3, zorder=2)
        if sigma is not None:
            bar = np.asarray(sigma)[:, k]
            axes.fill_between(
                path, band - bar, band + bar, color=BLUE, alpha=0.25, linewidth=0, zorder=1
            )
    for name, values in others:
        lines = axes.plot(path, np.asarray(values), color=ORANGE, linewidth=1.0, linestyle="--")
        lines[0].set_label(name)
    for place in ticks.values():
        axes.axvline(path[place], color=INK, linewidth=0.5)
    axes.axhline(0.0, color=INK, linewidth=0.5)
    axes.set_xticks([path[place] for place in ticks.values()], list(ticks))
    axes.set_xlim(path[0], path[-1])
    axes.set_ylabel(f"frequency  ({unit})")
    if others:
        axes.legend(fontsize=8, frameon=False)
    tidy(axes)
    return figure
