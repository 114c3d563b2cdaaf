"""Result files: the layout, the way back, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest

from mdsens.errors import InputError, OutputError
from mdsens.io.results import read_result, write_result
from tests.io import handmade
from tests.io.handmade import N


@pytest.fixture
def written(tmp_path):
    return write_result(handmade.result(), tmp_path / "out.h5", "a = 1\n", "sha256:0", ("a=2",))


def every_dataset(path):
    names: list[str] = []
    with h5py.File(path) as file:
        file.visit(names.append)
        yield from ((name, file[name]) for name in names if isinstance(file[name], h5py.Dataset))


def test_layout(written):
    with h5py.File(written) as file:
        assert file.attrs["format"] == "mdsens"
        assert {"format_version", "creator", "created"} <= set(file.attrs)
        assert file["state/positions"].shape == (N, 2)
        assert file["state/cell"].shape == (2, 2)
        assert file["state/species"].asstr()[1] == "Bé"
        assert file["sensitivity/positions/diameter"].chunks == (1, N, 2)
        assert file["sensitivity/pressure/epsilon"].attrs["keys"].tolist() == [
            "A-A",
            "A-Bé",
            "Bé-Bé",
        ]
        assert file["sensitivity/pressure/epsilon"].attrs["mode"] == "adjoint"
        assert file["certificate"].attrs["rattlers"] == 1
        assert file["certificate/rattler_indices"][()].tolist() == [3]
        assert file["provenance/run_toml"].asstr()[()] == "a = 1\n"
        assert file["provenance/structure_hash"].asstr()[()] == "sha256:0"
        provenance = file["provenance"].attrs
        assert provenance["version_jax"] == "1.2.3"
        assert {"version_numpy", "device", "seed", "wall_relax_s"} <= set(provenance)


def test_every_float_has_units_and_every_array_a_checksum(written):
    for name, dataset in every_dataset(written):
        if dataset.dtype.kind == "f":
            assert dataset.attrs["units"], name
        if dataset.ndim and dataset.size:
            assert dataset.fletcher32, name


def test_everything_comes_back(written):
    start, back = handmade.result(), read_result(written)
    for name in ("positions", "cell"):
        assert np.array_equal(getattr(back.system, name), getattr(start.system, name))
    for name in ("pbc", "species", "fixed", "units", "source"):
        assert getattr(back.system, name) == getattr(start.system, name)
    assert back.system.columns.keys() == start.system.columns.keys()
    assert list(back.parameters) == list(start.parameters)
    assert back.parameters["epsilon"].keys == start.parameters["epsilon"].keys
    assert list(back.observables) == list(start.observables)
    assert back.observable_units == start.observable_units
    assert back.parameter_units == start.parameter_units
    for observable, derivatives in start.sensitivity.items():
        assert list(back.sensitivity[observable]) == list(derivatives)
        for name, derivative in derivatives.items():
            other = vars(back.sensitivity[observable][name])
            assert np.array_equal(other.pop("value"), derivative.value)
            assert all(getattr(derivative, k) == v for k, v in other.items())
    stated, told = vars(start.certificate).copy(), vars(back.certificate).copy()
    assert np.array_equal(stated.pop("rattler_indices"), told.pop("rattler_indices"))
    assert stated == told


def test_state_without_derivatives(tmp_path):
    nothing = np.zeros(0, dtype=np.int64)
    bare = replace(
        handmade.result(),
        sensitivity={},
        observables={},
        certificate=handmade.certificate(
            converged=False, lambda_min=np.nan, rattler_indices=nothing
        ),
    )
    path = write_result(bare, tmp_path / "out.h5")
    with h5py.File(path) as file:
        assert "sensitivity" not in file
    back = read_result(path)
    assert back.sensitivity == {}
    assert not back.certificate.converged
    assert np.isnan(back.certificate.lambda_min)


# What must not be believed.


def refusal(path, told) -> str:
    line = told(OutputError, lambda: read_result(path))
    assert line.startswith(f"{path}: ") and "; " in line
    return line


def test_no_result(tmp_path, told):
    assert "no such file" in told(InputError, lambda: read_result(tmp_path / "none.h5"))
    assert "folder" in told(InputError, lambda: read_result(tmp_path))
    path = tmp_path / "x.h5"
    path.touch()
    assert "empty" in refusal(path, told)
    path.write_text("not HDF5")
    assert "not an HDF5 file" in refusal(path, told)
    with h5py.File(path, "w") as file:
        file["x"] = 1
    assert "not of mdsens" in refusal(path, told)


def test_newer_format(written, told):
    with h5py.File(written, "a") as file:
        file.attrs["format_version"] = 99
    assert "update mdsens" in refusal(written, told)


@pytest.mark.parametrize("keep", [100, 2048, -200])
def test_truncated(written, told, keep):
    written.write_bytes(written.read_bytes()[:keep])
    refusal(written, told)


@pytest.mark.parametrize("sealed", [True, False])
def test_one_flipped_bit(written, told, sealed):
    """Found by the digest of the whole file, and without it by the array's own checksum."""
    image = bytearray(written.read_bytes())
    if not sealed:
        del image[-80:]
    image[image.index(handmade.result().system.cell[1].tobytes())] ^= 1
    written.write_bytes(image)
    assert "damaged" in refusal(written, told)


def test_random_damage_is_found_before_hdf5_opens_the_file(written, told, rng):
    whole = written.read_bytes()
    for place in rng.integers(0, len(whole) - 80, 200):
        image = bytearray(whole)
        image[place] ^= int(rng.integers(1, 256))
        written.write_bytes(image)
        refusal(written, told)


def replaced(path, name):
    file = h5py.File(path, "a")
    del file[name]
    return file


def test_missing_parts(written, told):
    with replaced(written, "state/positions"):
        pass
    assert "/state/positions" in refusal(written, told)


def test_soft_link(written, told):
    with replaced(written, "state/cell") as file:
        file["state/cell"] = h5py.SoftLink("/state/positions")
    assert "leads elsewhere" in refusal(written, told)


def test_external_link(written, told, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.eye(2)
    with replaced(written, "state/cell") as file:
        file["state/cell"] = h5py.ExternalLink("other.h5", "/x")
    assert "leads elsewhere" in refusal(written, told)


def test_external_storage(written, told, tmp_path):
    (tmp_path / "raw").write_bytes(bytes(32))
    with replaced(written, "state/cell") as file:
        file["state"].create_dataset(
            "cell", (2, 2), "f8", external=[(str(tmp_path / "raw"), 0, 32)]
        )
    assert "another file" in refusal(written, told)


def test_virtual_dataset(written, told, tmp_path):
    layout = h5py.VirtualLayout((2, 2), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "gone.h5"), "x", (2, 2))
    with replaced(written, "state/cell") as file:
        file["state"].create_virtual_dataset("cell", layout)
    assert "another file" in refusal(written, told)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_absurd_shape(written, told, compression):
    with replaced(written, "state/positions") as file:
        file["state"].create_dataset(
            "positions", (10**12, 2), "f8", chunks=(1000, 2), compression=compression
        )
    assert "claims" in refusal(written, told)


def test_data_never_written(written, told):
    with replaced(written, "state/positions") as file:
        file["state"].create_dataset("positions", (N, 2), "f8", chunks=(4, 2))
    assert "data are missing" in refusal(written, told)


def test_wrong_types(written, told):
    with replaced(written, "state/positions") as file:
        file["state/positions"] = ["a"] * N
    assert "no numbers" in refusal(written, told)


def test_shapes_that_do_not_fit(written, told):
    with replaced(written, "state/positions") as file:
        file["state/positions"] = np.zeros((N, 3))
    assert "do not fit" in refusal(written, told)
