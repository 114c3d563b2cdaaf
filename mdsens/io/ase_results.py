"""Result files as ASE Atoms; `read_mdsens` is what ASE calls. No JAX."""

from __future__ import annotations

from pathlib import Path

import ase
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from mdsens.io.described import facts, with_responses
from mdsens.io.results import read_result
from mdsens.io.structures import to_atoms
from mdsens.result import Result


def read_mdsens(filename: str | Path) -> ase.Atoms:
    """The relaxed structure of a result file, see `result_atoms`.

    Raises:
        InputError: there is no such file.
        OutputError: the file is damaged, hostile, or no mdsens result.
    """
    return result_atoms(read_result(filename))


def result_atoms(result: Result) -> ase.Atoms:
    """The state of a result as ASE Atoms; of an ensemble the last sample of the first walker.

    Arrays hold the columns of the structure and the derivatives per particle, `info` the scalar
    observables; energy and stress of a relaxed state are also where ASE looks for them.
    """
    atoms = to_atoms(with_responses(result))
    told = facts(result)
    atoms.info |= told | {"potential": result.potential}
    stress = atoms.info.pop("stress", None)
    known = {} if stress is None else {"stress": full_3x3_to_voigt_6_stress(stress)}
    if "energy" in told:
        known["energy"] = told["energy"]
    if known:
        atoms.calc = SinglePointCalculator(atoms, **known)
    return atoms
