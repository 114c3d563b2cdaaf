"""The systems that come with mdsens: every route to their derivatives agrees."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mdsens as ms
from mdsens.catalogue import POTENTIALS
from mdsens.derivatives import total
from mdsens.derivatives.linearization import linearize, newton_correction
from mdsens.derivatives.named import select
from mdsens.equilibrium import search
from tests.derivatives.routes import close, dense_response, off_centre, partials

SYSTEMS = Path(__file__).resolve().parents[2] / "systems"
SMALL = ["disks_128", "argon_vacancy", "lj_cluster_38"]
LARGER = [
    "packing_2d_64", "packing_3d_128", "polydisperse_2d_256", "walled_2d_256", "jammed_2d_1024",
    "silicon_vacancy", "copper_vacancy",
]  # fmt: skip
ALL = [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER)]


@cache
def solved(name: str):
    text = tomllib.loads((SYSTEMS / name / "run.toml").read_text())
    where = text["system"]
    system = ms.read(SYSTEMS / name / where["structure"], dimension=where.get("dimension"))
    table = dict(text["potential"])
    values, kind = table.pop("parameters", {}), table.pop("kind")
    if "file" in table:
        values = {"file": SYSTEMS / name / table.pop("file")}
    potential = getattr(ms.potentials, POTENTIALS[kind].class_name)(**table)
    params = potential.parameters(system, **values)
    wrt = text["sensitivity"]["wrt"]
    found = search(potential, params, system, **text["relax"])
    assert not found.why
    line = linearize(found.problem, found.setting, "auto", 1e-10)
    theta = {k: jnp.asarray(v) for k, v in select(params, wrt).items()}
    return potential, params, system, found, line, theta, newton_correction(line)


@pytest.mark.parametrize("name", ALL)
def test_forward_adjoint_dense(name: str):
    _, _, _, found, line, theta, correction = solved(name)
    adjoint = total.adjoint(line, off_centre, theta, correction)
    for parameter in theta:
        response = dense_response(found, theta, parameter, line.rattlers)
        by_x, by_theta = partials(found, theta, parameter, off_centre, line.rattlers)
        dense = (by_theta + by_x @ response).reshape(-1, *theta[parameter].shape)
        if np.linalg.norm(by_x @ response) < 1e-8:
            np.testing.assert_allclose(adjoint[parameter].value, 0.0, atol=1e-8)
            continue
        forward = total.response(line, parameter, theta, correction, lambda *_: None)
        along = total.forward(line, off_centre, parameter, theta, correction, forward)
        close(adjoint[parameter].value, dense, 1e-9)
        close(along.value, dense, 1e-9)
        close(along.value, adjoint[parameter].value, 1e-9)


@pytest.mark.parametrize("name", ALL)
def test_verified_by_relaxing_again(name: str):
    potential, params, _, found, _, theta, _ = solved(name)
    relaxed = solved(name)[2].with_positions(np.asarray(found.setting.positions))
    observables = ["energy", "pressure"] if all(relaxed.pbc) else ["energy"]
    rows = ms.verify(
        potential, params, relaxed, observables=observables, wrt=list(theta), samples=2
    )
    assert len(rows) >= len(theta)
    probes = {o: getattr(ms, o)(potential, params, relaxed) for o in observables}

    def scale(row) -> float:
        return float(jnp.max(jnp.abs(probes[row.observable])) / jnp.max(theta[row.parameter]))

    for row in rows:
        assert row.agrees, row
        # Where no contact changes within the step the comparison must be sharp as well; relative
        # to |o / theta| where the derivative vanishes.
        size = max(abs(row.implicit), scale(row))
        assert row.expected_error < 1e-5 * size, row


@pytest.mark.parametrize(
    "name",
    ["disks_128", "lj_cluster_38", pytest.param("argon_vacancy", marks=pytest.mark.slow)],
)
def test_second_derivatives_against_differences_of_first_ones(name: str):
    potential, params, system, found, _, theta, _ = solved(name)
    start = system.with_positions(np.asarray(found.setting.positions))
    which = next(iter(theta))
    direction = jnp.ones_like(theta[which])

    def slope(step):
        moved = {**params, which: params[which] * (1.0 + step * direction)}
        minimum = ms.relax(potential, moved, start)
        return jnp.sum(off_centre(potential, moved, minimum)) + ms.energy(potential, moved, minimum)

    first = jax.grad(slope)
    h = 1e-6
    difference = float(first(h) - first(-h)) / (2 * h)
    found_second = float(jax.grad(first)(0.0))
    noise = 1e-11 * abs(float(slope(0.0))) / h
    assert found_second == pytest.approx(difference, rel=1e-5, abs=noise)
