"""Numbers in tables."""

from __future__ import annotations

import numpy as np
import pytest

from mdsens.words.results import _number


@pytest.mark.parametrize(
    ("value", "error", "plain", "brackets"),
    [
        (-275.0815882, 0.00048, "-275.08159", "-275.08159(48)"),
        (197.7346, 9.1, "197.7", "197.7(91)"),
        (12345.6, 150.0, "12346", "12346(150)"),
        (8.766e-12, 2.2e-13, "8.77e-12", "8.77(22)e-12"),
        (4e-9, 2.7e-8, "0.4e-08", "0.4(27)e-08"),
        (0.0, 1e-12, "0.0e-12", "0.0(10)e-12"),
        (1 / 3, 0.0, "0.3333333333", "0.3333333333"),
        (np.nan, 0.1, "nan", "nan"),
    ],
)
def test_numbers_end_at_the_second_digit_of_their_error(value, error, plain, brackets):
    assert _number(value, error) == plain
    assert _number(value, error, brackets=True) == brackets
