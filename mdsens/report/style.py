"""One look for all figures, and their files.

Colours are those a colour-blind reader can tell apart (Okabe and Ito): blue and orange for two signs or
two curves, cividis for fields of one sign, PuOr for fields of two.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure

from mdsens.errors import InputError

FORMATS = (".png", ".svg", ".pdf")
INK, PALE, BLUE, ORANGE, GREEN = "#222222", "#d9d9d9", "#0072B2", "#D55E00", "#009E73"
PURPLE, SKY, GOLD = "#CC79A7", "#56B4E9", "#E69F00"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, GOLD)


def rendered(figure: Figure, suffix: str) -> bytes:
    """A figure as the content of a PNG, SVG or PDF file.

    Raises:
        InputError: another suffix.
    """
    if suffix.lower() not in FORMATS:
        raise InputError(
            f"plot: figures cannot be written as {suffix or 'a file without suffix'}; "
            f"allowed: {', '.join(FORMATS)}"
        )
    stream = BytesIO()
    figure.savefig(stream, format=suffix.lower()[1:], dpi=160)
    return stream.getvalue()


class Drawing(Figure):
    """A figure that notebooks show without pyplot."""

    def _repr_png_(self) -> bytes:
        return rendered(self, ".png")


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """An empty figure, in inches."""
    figure = Drawing(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title, fontsize=10, color=INK)
    return figure


def tidy(axes: Axes, *hidden: str) -> None:
    """Without the lines of the frame that say nothing."""
    axes.spines[["top", "right", *hidden]].set_visible(False)


def length_unit(units: str) -> str:
    return "reduced" if units == "reduced" else "angstrom"


def colour_map(values: np.ndarray) -> str:
    return "PuOr" if _two_signs(values) else "cividis"


def norm(values: np.ndarray) -> Normalize:
    """From values to colours: symmetric about zero where there are two signs."""
    if _two_signs(values):
        extent = float(np.max(np.abs(values)))
        return TwoSlopeNorm(0.0, -extent, extent)
    return Normalize(float(np.min(values)), float(np.max(values)))


def _two_signs(values: np.ndarray) -> bool:
    low, high = float(np.min(values)), float(np.max(values))
    return low < -0.01 * high and high > -0.01 * low
