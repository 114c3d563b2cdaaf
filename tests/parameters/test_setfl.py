"""Files of embedded atoms: what is written is read again to the bit, faults are named by line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mdsens.errors import InputError
from mdsens.parameter_files import Setfl, read_setfl, write_setfl


def example(fs: bool = False) -> Setfl:
    rng = np.random.default_rng(0)
    return Setfl(
        ("first, UNITS: metal", "second", "third"), ("Cu", "Ni", "Al"),
        ("29 63.55 3.615 fcc", "28 58.69 3.52 fcc", "13 26.98 4.05 fcc"), 0.1 + 0.2, 1 / 3, 4.1,
        rng.normal(size=(3, 7)), rng.normal(size=(3, 3, 12) if fs else (3, 12)),
        rng.normal(size=(6, 12)) * 10.0 ** rng.integers(-300, 300, size=(6, 12)),
    )  # fmt: skip


@pytest.mark.parametrize("fs", [False, True])
def test_written_and_read_again(tmp_path: Path, fs: bool):
    path, table = tmp_path / ("a.eam.fs" if fs else "a.eam.alloy"), example(fs)
    write_setfl(path, table)
    again = read_setfl(path)
    for name, value in vars(table).items():
        np.testing.assert_array_equal(getattr(again, name), value)


def test_parameters_of_some_elements():
    table = example(fs=True)
    some = table.parameters(("Al", "Cu"), "file")
    assert set(some) == {"embedding", "density", "pair", "drho", "dr", "cutoff"}
    np.testing.assert_array_equal(some["embedding"]["Al"], table.embedding[2])
    np.testing.assert_array_equal(some["density"]["Al-Cu"], table.density[2, 0])
    np.testing.assert_array_equal(some["density"]["Cu-Al"], table.density[0, 2])
    # Pairs in the file: Cu-Cu, Ni-Cu, Ni-Ni, Al-Cu, Al-Ni, Al-Al.
    np.testing.assert_array_equal(some["pair"]["Al-Cu"], table.pair[3])
    np.testing.assert_array_equal(some["pair"]["Al-Al"], table.pair[5])
    with pytest.raises(
        InputError, match=r"file: element Si of .* not in this file, .* Cu, Ni, Al;"
    ):
        table.parameters(("Cu", "Si"), "file")


FAULTS = {
    "other units": (1, "UNITS: real", r"line 1: units real; only metal"),
    "no elements": (4, "3 Cu Ni", r"line 4: should be the number of elements and their names"),
    "an element twice": (4, "3 Cu Ni Cu", r"line 4: should be the number"),
    "no grid": (5, "7 0.3 12 0.3", r'line 5: should be "Nrho drho Nr dr cutoff"'),
    "too few knots": (5, "4 0.3 12 0.3 4.1", r"line 5: should be .* at least 5 knots"),
    "backward grid": (5, "7 -0.3 12 0.3 4.1", r"line 5: should be .* positive lengths"),
    "no header": (6, "29 63.55", r"line 6: should be atomic number, .* of Cu; .* in \"\.fs\""),
    "no number": (8, "1.0 1.0D-3", r"line 8: '1.0D-3' is not a finite number; F of Cu needs one"),
    "not finite": (7, "nan 1 1 1 1", r"line 7: 'nan' is not a finite number"),
    "too long": (8, "1.0 2.0 3.0", r"line 8: F of Cu has 7 numbers and ends within this line"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(tmp_path: Path, fault: str):
    number, text, words = FAULTS[fault]
    path = tmp_path / "a.eam.alloy"
    write_setfl(path, example())
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=words) as caught:
        read_setfl(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_files_that_end_too_early_or_too_late(tmp_path: Path):
    path = tmp_path / "a.eam.alloy"
    write_setfl(path, example())
    text = path.read_text()
    path.write_text("\n".join(text.splitlines()[:-1]))
    with pytest.raises(
        InputError, match=r"the file ends where the next of 12 numbers for r phi of Al"
    ):
        read_setfl(path)
    path.write_text(text + "\n0.0 0.0\n")
    with pytest.raises(InputError, match=r"'0.0 0.0' after the last pair; remove it"):
        read_setfl(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not text"):
        read_setfl(path)


def test_names_say_what_files_are(tmp_path: Path):
    with pytest.raises(
        InputError, match=r'a name ending in "\.fs" is for a density per ordered pair'
    ):
        write_setfl(tmp_path / "a.eam.alloy", example(fs=True))
    with pytest.raises(InputError, match=r"name it accordingly"):
        write_setfl(tmp_path / "a.eam.fs", example())
    # A file of ordered densities under another name is no silent mistake.
    write_setfl(tmp_path / "a.eam.fs", example(fs=True))
    (tmp_path / "a.eam.fs").rename(tmp_path / "b.eam.alloy")
    with pytest.raises(InputError, match=r'let the name of the file end in "\.fs"'):
        read_setfl(tmp_path / "b.eam.alloy")


def test_comments_stay_three_lines(tmp_path: Path):
    table = replace(example(), comments=("a", "", "c"))
    write_setfl(tmp_path / "a.eam.alloy", table)
    assert read_setfl(tmp_path / "a.eam.alloy").comments == ("a", "", "c")
