"""Figures: that they show what they should, not how they look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import EllipseCollection, LineCollection

from mdsens.derivatives.verify import Check
from mdsens.errors import InputError
from mdsens.parameters import Table
from mdsens.report import draw_average, draw_bands, draw_modes, draw_verification, geometry
from mdsens.report.figures import draw, image
from mdsens.report.solid import view
from mdsens.result import Derivative
from mdsens.system import System
from mdsens.thermal import Estimate
from mdsens.vibrations import Modes
from tests.io import handmade


def crystal(pbc=(True, True, True)):
    """A result in 3D without contacts and with one displacement field."""
    rng = np.random.default_rng(0)
    system = System(
        positions=rng.random((9, 3)) * 5,
        cell=np.diag([5.0, 6.0, 7.0]),
        pbc=pbc,
        species=("Ar",) * 9,
        fixed=(False,) * 9,
        units="metal",
    )
    return replace(
        handmade.result(),
        system=system,
        potential="morse",
        parameters={"D0": np.array(1.0)},
        sensitivity={"positions": {"D0": Derivative(rng.normal(size=(9, 3)), "forward", "1")}},
    )


RESULTS = {
    "discs": handmade.result(),
    "no derivatives": replace(handmade.result(), sensitivity={}),
    "crystal": crystal(),
    "wire": crystal((True, False, False)),
    "cluster": crystal((False, False, False)),
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_every_kind_can_be_drawn(result):
    assert image(result).startswith(b"\x89PNG")


def test_formats():
    assert b"<svg" in image(handmade.result(), ".SVG")
    assert image(handmade.result(), ".pdf").startswith(b"%PDF")
    for suffix in ("", ".gif"):
        with pytest.raises(InputError, match="allowed"):
            image(handmade.result(), suffix)


def test_notebooks_show_them():
    assert draw(handmade.result())._repr_png_().startswith(b"\x89PNG")


def test_axes_have_units():
    assert draw(handmade.result()).axes[0].get_xlabel() == "x  (reduced)"
    particles, bars = draw(crystal()).axes[:2]
    assert "cell 5 × 6 × 7 angstrom" in particles.get_title()
    assert bars.texts


def test_discs_are_drawn_to_scale_with_their_images():
    result = handmade.result()
    axes = draw(result).axes[0]
    discs = next(c for c in axes.collections if isinstance(c, EllipseCollection))
    assert np.allclose(discs.get_widths(), 1.1)
    assert len(discs.get_offsets()) > result.system.n_particles


def test_colour_is_the_response_of_what_gives_way():
    start = handmade.result()
    energy = {"diameter": Derivative(np.zeros(handmade.N), "envelope", "reduced")}
    both = replace(start, sensitivity={"energy": energy, **start.sensitivity})
    field = geometry.colouring(both)
    assert field is not None and field.title.startswith("d pressure")


def test_largest_response_names_its_disc():
    response = geometry.largest_response(handmade.result())
    assert response is not None
    assert response.title == f"d R / d diameter[{response.particle}]"


def test_sizes():
    result = handmade.result()
    table = replace(result, parameters={"sigma": Table(np.array([1.0, 2.0]), ("A", "Bé"))})
    assert geometry.diameters(table)[:2].tolist() == [1.0, 2.0]
    assert np.allclose(geometry.diameters(replace(result, parameters={"r0": np.array(3.0)})), 3.0)
    assert (geometry.diameters(replace(result, parameters={})) > 0).all()


def test_contacts_of_two_discs_across_the_cell():
    system = System(
        np.array([[0.1, 1.0], [3.3, 1.0]]), np.eye(2) * 4, (True, True), ("X",) * 2, (False,) * 2
    )
    result = replace(
        handmade.result(),
        system=system,
        parameters={"diameter": np.ones(2), "epsilon": np.array(2.0), "alpha": np.array(2.0)},
        sensitivity={},
    )
    segments, force = geometry.contact_forces(result)
    assert np.allclose(segments, [[[0.1, 1.0], [-0.7, 1.0]], [[3.3, 1.0], [4.1, 1.0]]])
    assert np.allclose(force, 2.0 * (1 - 0.8))
    assert any(isinstance(c, LineCollection) for c in draw(result).axes[0].collections)


def test_nearer_particles_hide_those_behind():
    front, back = view(np.array([[0.0, 0.0, 0.0], [0.0, 5.0, 0.0]]))
    assert front[2] > back[2]
    turned = view(np.eye(3))
    assert np.allclose(turned @ turned.T, np.eye(3)) and np.linalg.det(turned) > 0


def test_few_atoms_are_drawn_with_their_images():
    """Two atoms of a diamond cell show the bonds of the crystal."""
    cell = 5.43 / 2 * (np.ones((3, 3)) - np.eye(3))
    sites = np.array([[0.0, 0.0, 0.0], [0.25, 0.25, 0.25]]) @ (2 * cell)
    system = System(sites, cell, (True,) * 3, ("Si",) * 2, (False,) * 2, units="metal")
    result = replace(crystal(), system=system, sensitivity={})
    axes = draw(result).axes[0]
    bonds = max((len(c.get_segments()) for c in axes.collections
                 if isinstance(c, LineCollection) and c.get_zorder() == 1), default=0)  # fmt: skip
    assert bonds >= 16


def test_modes_and_bands():
    n = 9
    vectors = np.eye(27)[:4].reshape(4, n, 3)
    figure = draw_modes(crystal().system, Modes(np.arange(4.0), vectors, 3), 4)
    assert len([a for a in figure.axes if a.get_title()]) == 4
    with pytest.raises(InputError, match="9 particles, a system of 16"):
        draw_modes(handmade.result().system, Modes(np.arange(4.0), vectors, 3))
    path = np.linspace(0, 1, 5)
    bands = np.outer(path, [1.0, 2.0, 3.0])
    figure = draw_bands(
        path, bands, {"G": 0, "X": 4}, sigma=0.1 * bands, others=[("other", 1.1 * bands)]
    )
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["G", "X"]
    assert axes.get_ylabel() == "frequency  (THz)"


def test_averages():
    r, ones = np.linspace(0.5, 3.0, 20), np.ones(20)
    g = Estimate(np.cos(r), 0.1 * ones, 50 * ones, ones)
    figure = draw_average(r, g, {"sigma": g, "epsilon": g}, along="r  (angstrom)")
    top, bottom = figure.axes
    band = top.collections[0].get_paths()[0].vertices
    assert np.isclose(band[:, 1].max(), np.cos(0.5) + 0.2)
    assert [t.get_text() for t in bottom.get_legend().get_texts()] == ["sigma", "epsilon"]
    assert bottom.get_xlabel() == "r  (angstrom)"
    assert len(draw_average(r, g).axes) == 1


def test_verification():
    rows = [
        Check("energy", "alpha", "", 1.0, 1.0 + 1e-9, 1e-9, 1e-8, True),
        Check("energy", "diameter", "[3]", 1.0, 1.1, 0.1, 1e-8, False),
    ]
    axes = draw_verification(rows).axes[0]
    assert axes.get_title() == "1 of 2 derivatives agree"
    assert axes.get_yticklabels()[0].get_text() == "d energy / d diameter [3]"
