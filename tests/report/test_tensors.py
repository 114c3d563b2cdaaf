"""Young's modulus by direction: closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mdsens.errors import InputError
from mdsens.report.figures import image
from mdsens.report.tensors import young_modulus
from tests.io import handmade
from tests.report.test_relative import cubic


def test_cubic_crystal(rng):
    """1/E(n) = S11 - 2 (S11 - S12 - S44/2) (n1^2 n2^2 + n2^2 n3^2 + n3^2 n1^2); Nye."""
    c11, c12, c44 = 151.4, 76.4, 56.4
    s11 = (c11 + c12) / ((c11 - c12) * (c11 + 2 * c12))
    s12 = -c12 / ((c11 - c12) * (c11 + 2 * c12))
    n = rng.normal(size=(20, 3))
    n /= np.linalg.norm(n, axis=1)[:, None]
    x, y, z = n.T**2
    expected = 1 / (s11 - 2 * (s11 - s12 - 0.5 / c44) * (x * y + y * z + z * x))
    assert np.allclose(young_modulus(cubic(c11, c12, c44), n), expected)


def test_isotropic_sheet():
    """E = 4 K G / (K + G) in two dimensions, in every direction."""
    k, g = 3.0, 1.2
    tensor = np.array([[k + g, k - g, 0], [k - g, k + g, 0], [0, 0, g]])
    angles = np.linspace(0, np.pi, 7)
    n = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert np.allclose(young_modulus(tensor, n), 4 * k * g / (k + g))


def test_figures():
    start = handmade.result()
    with pytest.raises(InputError, match="no elastic tensor"):
        image(start, what="elastic")
    tensor = np.array([[4.2, 1.8, 0], [1.8, 4.2, 0], [0, 0, 1.2]])
    units = {**start.observable_units, "elastic_tensor": "reduced"}
    sheet = replace(
        start,
        observables={**start.observables, "elastic_tensor": tensor},
        observable_units=units,
    )
    crystal = replace(
        sheet,
        observables={"elastic_tensor": cubic(1.0, 0.5, 0.3)},
        observable_units={"elastic_tensor": "eV/angstrom^3"},
        sensitivity={},
    )
    for result in (sheet, crystal):
        for what in ("overview", "elastic"):
            assert image(result, what=what).startswith(b"\x89PNG")
