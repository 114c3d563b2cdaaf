"""What the orders of error of a study must be."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.bench.super_efficiency import Problem, ladder, study


def check_orders(problem: Problem, most: int, automatic: tuple[float, float]) -> None:
    """Ablin, Peyre, Moreau 2020, arXiv:2002.03722; `automatic` says between what its order lies."""
    curves = study(problem, ladder(most, 9))
    value = {name: curve.orders[0] for name, curve in curves.items()}
    observable = {name: curve.orders[1] for name, curve in curves.items()}
    assert value["analytic"] == pytest.approx(1.0, abs=0.1)
    assert value["implicit"] == pytest.approx(2.0, abs=0.1)
    assert automatic[0] < value["automatic"] < automatic[1]
    assert observable["analytic"] == pytest.approx(0.0, abs=0.01)
    assert observable["implicit"] == pytest.approx(1.0, abs=0.1)
    assert 0.5 < observable["automatic"] < 1.05
    late = slice(4, None)
    ratio = np.divide(curves["automatic"].observable, curves["implicit"].observable)[late]
    assert (ratio > 1.0).all(), "at one x_k the implicit estimator is the better one"
