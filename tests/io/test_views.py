"""Results as tables and labelled arrays: every number in its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mdsens as ms
from mdsens.result import Derivative
from mdsens.sweeps.merge import merge
from tests.io import handmade
from tests.sweeps.conftest import fake, planned, shards, work  # noqa: F401

RESULT = handmade.result()


def test_rows():
    table = ms.to_pandas(RESULT)
    assert len(table) == 3 + 1 + handmade.N + 4
    row = table[(table.parameter == "epsilon") & (table.entry == "A-Bé")].iloc[0]
    d = RESULT.sensitivity["pressure"]["epsilon"]
    assert row.value == d.value[1] and row.error == abs(d.value[1]) * 1e-12
    assert row.relative == pytest.approx(1.5 * d.value[1] / 0.1)
    stress = table[table.observable == "stress"].set_index("component")
    assert stress.loc["0,1"].value == RESULT.sensitivity["stress"]["alpha"].value[0, 1]
    assert np.isnan(stress.loc["0,1"].relative)


def test_errors_of_averages():
    d = Derivative(np.array(2.0), "covariance", "1", error=np.array(0.3))
    table = ms.to_pandas(replace(RESULT, sensitivity={"energy": {"alpha": d}}))
    assert table.error.tolist() == [0.3]


def test_dimensions():
    data = ms.to_xarray(RESULT)
    assert float(data.pressure) == 0.1 and data.pressure.units == "reduced"
    by_epsilon = data.d_pressure_d_epsilon
    assert float(by_epsilon.sel(epsilon="A-Bé")) == by_epsilon.values[1]
    assert data.d_pressure_d_diameter.dims == ("particle",)
    assert data.d_positions_d_diameter.dims == ("moved_by", "particle", "axis")
    assert data.d_positions_d_alpha.dims == ("particle", "axis")
    assert data.stress.sel(axis="x", axis2="x") == -0.1
    assert data.attrs["outcome"] == RESULT.certificate.outcome


@pytest.mark.usefixtures("fake")
def test_sweeps(shards, work, tmp_path):  # noqa: F811
    work(shards)
    merge(shards, tmp_path / "sweep.h5")
    record = ms.read_sweep(tmp_path / "sweep.h5")
    table, data = ms.to_pandas(record), ms.to_xarray(record)
    item = handmade.result(5).sensitivity["pressure"]["alpha"].value
    at = {"potential.parameters.epsilon": 1.5, "potential.parameters.alpha": 2.5}
    assert table.loc[tuple(at.values()), "d pressure / d alpha"] == item
    assert float(data["d pressure / d alpha"].sel(at)) == item
    assert table.exit_code.tolist().count(3) == 1
    assert str(data.outcome.values[1, 1]) == "relax: not converged"
