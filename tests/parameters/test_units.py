"""Units are called what they are."""

import pytest

from mdsens.units import ENERGY, LENGTH, NUMBER, label, ratio


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [
        ((0, 0), "1"),
        ((1, 0), "eV"),
        ((0, 1), "angstrom"),
        ((2, 0), "eV^2"),
        ((1, -3), "eV/angstrom^3"),
        ((1, -2), "eV/angstrom^2"),
        ((1, 1), "eV*angstrom"),
        ((0, -1), "1/angstrom"),
        ((-1, 0), "1/eV"),
        ((-1, 3), "angstrom^3/eV"),
        ((-1, -3), "1/(eV*angstrom^3)"),
    ],
)
def test_label(dimension, expected: str):
    assert label("metal", dimension) == expected
    assert label("reduced", dimension) == ("1" if expected == "1" else "reduced")


def test_ratio():
    assert ratio((1, -3), LENGTH) == (1, -4)
    assert ratio(ENERGY, ENERGY) == NUMBER
    assert label("metal", ratio((1, -3), (0, -1))) == "eV/angstrom^2"
