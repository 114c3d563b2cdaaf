"""Figures of fits: labels of ticks that can be read."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes

from mdsens.fit_record import FitRecord, TargetRecord
from mdsens.report import draw_fit


def record(chi2, stress) -> FitRecord:
    """One structure with stresses, and a history."""
    m, stress = len(stress), np.asarray(stress)
    target = TargetRecord(
        "x", m * ("stress",), m * ("eV/angstrom^3",), stress, np.ones(m), 1.1 * stress, stress,
        np.ones(m), np.full(m, np.nan),
    )  # fmt: skip
    chi2 = np.asarray(chi2, float)
    history = ({"chi2": chi2, "validation": np.full(len(chi2), np.nan)},)
    facts = {"chi2_start": chi2[0], "chi2": chi2[-1], "chosen": 0}
    return FitRecord("morse", {}, ("D0",), {}, facts, (target,), history, {})


def boxes(axes: Axes, along: str) -> list[tuple[float, float]]:
    """Where the labels of an axis that are to be seen begin and end, in pixels, in order."""
    axis = axes.xaxis if along == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    seen = [t.label1 for t in ticks if low <= t.get_loc() <= high and t.label1.get_text()]
    return sorted(tuple(getattr(s.get_window_extent(), f"interval{along}")) for s in seen)


@pytest.mark.parametrize(
    "chi2",
    [
        (1800, 146, 145.9),
        (104.8, 48.3),
        (29700, 28300),
        (754854, 1.2e6, 27819),
        (8e3, 1e-9),
        (5, 5),
    ],
)
def test_labels_of_ticks_do_not_overlap(chi2):
    figure = draw_fit(record(chi2, np.linspace(-0.0023, 0.0005, 7)))
    figure.draw_without_rendering()
    stress, history = figure.axes
    for axes in (stress, history):
        for along in "xy":
            found = boxes(axes, along)
            gaps = [after[0] - before[1] for before, after in pairwise(found)]
            assert len(found) >= 2 and min(gaps) > 2.0, (along, gaps)
    assert len(boxes(history, "y")) <= 10
    assert all(x == round(x) for x in history.get_xticks())
