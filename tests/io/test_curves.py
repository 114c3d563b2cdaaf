"""Curves from text files."""

from __future__ import annotations

import numpy as np
import pytest

from mdsens.errors import InputError
from mdsens.io.curves import read_curve


@pytest.mark.parametrize(
    "text",
    ["# r g(r)\n1.0 0.5\n2.0 1.5  # peak\n", "1,0.5\n2,1.5\n", '@ title "g(r)"\n1 5e-1\n2 1.5\n'],
)
def test_columns(tmp_path, text):
    (tmp_path / "gr.dat").write_text(text)
    at, values, sigma = read_curve(tmp_path / "gr.dat")
    np.testing.assert_array_equal(at, [1.0, 2.0])
    np.testing.assert_array_equal(values, [0.5, 1.5])
    assert sigma is None


def test_standard_deviations_in_the_third_column(tmp_path):
    (tmp_path / "gr.dat").write_text("1 0.5 0.1\n2 1.5 0.2\n")
    np.testing.assert_array_equal(read_curve(tmp_path / "gr.dat").sigma, [0.1, 0.2])


@pytest.mark.parametrize(
    "text, sentence",
    [
        (None, "no columns of numbers"),
        ("", "nothing in it"),
        ("# r g\n", "nothing in it"),
        ("1 x\n", "no columns of numbers"),
        ("1 2\n3\n", "no columns of numbers"),
        ("1\n2\n", "2 rows of 1 columns; give where, value"),
        ("1 1 1 1\n", "1 rows of 4 columns"),
        ("1 1\n2 nan\n", "row 1 holds what is no finite number"),
        ("0 1\n2 1\n", "positive and to ascend"),
        ("2 1\n1 1\n", "positive and to ascend"),
        ("1 1 0\n2 1 1\n", "all above zero"),
    ],
)
def test_bad_files(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "gr.dat").write_text(text)
    with pytest.raises(InputError, match=sentence) as error:
        read_curve(tmp_path / "gr.dat")
    assert "gr.dat" in str(error.value)
