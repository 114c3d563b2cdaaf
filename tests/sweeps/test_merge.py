"""One file in the end: every item in its place, nothing believed unseen."""

from __future__ import annotations

import json
from hashlib import sha256

import h5py
import numpy as np
import pytest

from mdsens.errors import OutputError
from mdsens.io.grid import boxes
from mdsens.sweeps.merge import merge
from mdsens.sweeps.shards import Shards
from tests.io import handmade
from tests.io.handmade import N

pytestmark = pytest.mark.usefixtures("fake")


@pytest.fixture
def computed(shards, work) -> Shards:
    work(shards)
    return shards


def data(path) -> dict[str, bytes]:
    """Every dataset but what tells where it comes from."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, node: (
                found.update({name: node[()].tobytes()})
                if isinstance(node, h5py.Dataset) and not name.startswith("provenance")
                else None
            )
        )
    return found


def test_every_item_in_its_place(computed, tmp_path):
    assert merge(computed, tmp_path / "out.h5").missing == {}
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["format"] == "mdsens sweep"
        assert file["items/item"][()].tolist() == np.arange(10).reshape(5, 2).tolist()
        assert file["items/exit_code"][1].tolist() == [0, 3]
        for item in range(10):
            place, expected = np.unravel_index(item, (5, 2)), handmade.result(item)
            assert np.array_equal(file["state/positions"][place], expected.positions)
            field = file["sensitivity/positions/diameter"][place]
            if item == 3:
                assert np.isnan(field).all()
                assert file["items/outcome"].asstr()[place] == "relax: not converged"
            else:
                assert np.array_equal(field, expected.sensitivity["positions"]["diameter"].value)
            assert file["state/species"].asstr()[place].tolist() == ["A", "Bé"] * (N // 2)
            assert np.flatnonzero(file["certificate/is_rattler"][place]).tolist() == [3]
            assert item in computed.plan.batches[file["provenance/batch"][place]]
        assert file["keys/epsilon"].asstr()[0, 0].tolist() == ["A-A", "A-Bé", "Bé-Bé"]
        assert file["provenance/run_toml"].asstr()[()] == handmade.RUN_TOML
        assert json.loads(file["provenance/workers"].asstr()[0])["version_numpy"] == np.__version__


def test_the_axes_are_scales(computed, tmp_path):
    merge(computed, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        dims = file["observables/pressure"].dims
        assert [d.label for d in dims] == [
            "potential.parameters.epsilon",
            "potential.parameters.alpha",
        ]
        assert dims[0][0][()].tolist() == [1.0, 1.25, 1.5, 1.75, 2.0]
        assert dims[1]["potential.parameters.alpha"][()].tolist() == [2.0, 2.5]


def test_large_columns_are_the_same_piece_by_piece(computed, tmp_path, monkeypatch):
    merge(computed, tmp_path / "a.h5")
    monkeypatch.setattr("mdsens.io.grid._SMALL", 0)
    monkeypatch.setattr("mdsens.io.grid._CHUNK", 2000)
    merge(computed, tmp_path / "b.h5")
    assert data(tmp_path / "a.h5") == data(tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["sensitivity/positions/diameter"].chunks[:2] == (1, 1)


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 2), (1, 1, 5), (2, 1, 3)])
def test_boxes(shape):
    numbers = np.arange(np.prod(shape)).reshape(shape)
    for start in range(numbers.size):
        for stop in range(start + 1, numbers.size + 1):
            found = [numbers[box].ravel() for box, _ in boxes(start, stop, shape)]
            assert np.concatenate(found).tolist() == list(range(start, stop))
            assert [len(f) for f in found] == [n for _, n in boxes(start, stop, shape)]


def test_missing_items(computed, tmp_path):
    computed.path(1).unlink()
    with pytest.raises(OutputError, match="3 items missing, in batch 1; "):
        merge(computed, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
    merged = merge(computed, tmp_path / "out.h5", partial=True)
    assert list(merged.missing) == [1] and merged.missing_items == 3
    with h5py.File(tmp_path / "out.h5") as file:
        codes = file["items/exit_code"][()].ravel()
        assert np.flatnonzero(codes == -1).tolist() == computed.plan.batches[1].tolist()
        assert np.isnan(file["observables/energy"][()].ravel()[codes == -1]).all()


def test_full_disk(computed, tmp_path, monkeypatch):
    """The kernel's own refusal, with HDF5 in the middle of its work."""
    import resource

    merge(computed, tmp_path / "out.h5")
    before = (tmp_path / "out.h5").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (0, 1000, len(before) // 2, len(before) - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with pytest.raises(OutputError, match="File too large"):
                merge(computed, tmp_path / "out.h5")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "out.h5").read_bytes() == before
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_shard_without_its_seal(computed, tmp_path):
    path = computed.path(1)
    path.write_bytes(path.read_bytes()[:-80])
    merged = merge(computed, tmp_path / "out.h5", partial=True)
    assert "damaged" in merged.missing[1]


# Shards that must not be believed, though they are sealed.


def spoiled(shards: Shards, batch: int, change) -> None:
    """A shard changed, and sealed again by whoever did it."""
    path, note = shards.path(batch), json.dumps(shards.note(batch))
    with h5py.File(path, "a") as file:
        change(file)
    content = path.read_bytes() + f"\nmdsens note {note}\n".encode()
    path.write_bytes(content + f"\nmdsens sha256 {sha256(content).hexdigest()}\n".encode())
    assert shards.is_done(batch, thorough=False)


def to_outside(file):
    del file["rows0"]
    file["rows0"] = h5py.ExternalLink("other.h5", "/x")


def recreated(file, **how):
    old = file["rows0"]
    dtype, units = old.dtype, old.attrs["units"]
    del file["rows0"]
    new = file.create_dataset("rows0", **{"shape": (3,), "dtype": dtype, **how})
    new.attrs["units"] = units
    return new


def to_raw(file):
    recreated(file, external=[("raw", 0, 10**6)])


def virtual(file):
    dtype = file["rows0"].dtype
    del file["rows0"]
    layout = h5py.VirtualLayout((3,), dtype)
    layout[:] = h5py.VirtualSource("gone.h5", "x", (3,))
    file.create_virtual_dataset("rows0", layout)


def absurd(file):
    recreated(file, shape=(10**12,), chunks=(1000,))


def swollen(file):
    recreated(file, chunks=(3,), compression="gzip")[...] = file["rows0"][...]


def never_written(file):
    recreated(file, chunks=(1,))


def upwards(file):
    file["rows1"] = np.zeros(3, [("../up", float)])
    file["rows1"].attrs["units"] = '{"../up": "1"}'


def other_rows(file):
    recreated(file, shape=(2,))[...] = 0


def other_items(file):
    file.attrs["items_sha256"] = "0" * 64


def objects(file):
    file["rows1"] = np.array([("a",)] * 3, [("any", h5py.string_dtype())])
    file["rows1"].attrs["units"] = '{"any": ""}'


def without_units(file):
    file["rows0"].attrs["units"] = "{"


def other_plan(file):
    file.attrs["plan"] = "0" * 64


@pytest.mark.parametrize(
    "change, telling",
    [
        (to_outside, "leads elsewhere"),
        (to_raw, "another file"),
        (virtual, "another file"),
        (absurd, "claims"),
        (swollen, "no table"),
        (never_written, "data are missing"),
        (upwards, "no column of ours"),
        (other_rows, ""),
        (other_items, "not batch 1"),
        (objects, "no column of ours"),
        (without_units, "damaged"),
        (other_plan, "not batch 1"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_hostile_shards(computed, work, tmp_path, change, telling):
    spoiled(computed, 1, change)
    merged = merge(computed, tmp_path / "out.h5", partial=True)
    assert telling in merged.missing[1] and list(merged.missing) == [1]
    with pytest.raises(OutputError, match="in batch 1;"):
        merge(computed, tmp_path / "full.h5")
    assert work(computed).batches == 1  # computed again
    assert merge(computed, tmp_path / "full.h5").missing == {}
