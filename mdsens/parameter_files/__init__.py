"""Parameter files of LAMMPS, read and written. No JAX, no systems: text and numbers."""

from mdsens.parameter_files.triples import read_triples, write_triples

__all__ = ["read_triples", "write_triples"]
