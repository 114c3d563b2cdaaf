"""Parameter files of LAMMPS, read and written. No JAX, no systems: text and numbers."""

from mdsens.parameter_files.setfl import Setfl, read_setfl, write_setfl
from mdsens.parameter_files.triples import read_triples, write_triples

__all__ = ["Setfl", "read_setfl", "read_triples", "write_setfl", "write_triples"]
