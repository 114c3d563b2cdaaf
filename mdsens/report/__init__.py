"""Results as figures and pages. Needs `pip install 'mdsens[plot]'`."""

from mdsens.report.averages import draw_average
from mdsens.report.figures import draw, elastic, particles, tornado
from mdsens.report.fit_figures import draw_fit
from mdsens.report.style import rendered
from mdsens.report.verification import draw_verification
from mdsens.report.vibrations import draw_bands, draw_modes

__all__ = [
    "draw",
    "draw_average",
    "draw_bands",
    "draw_fit",
    "draw_modes",
    "draw_verification",
    "elastic",
    "particles",
    "rendered",
    "tornado",
]
