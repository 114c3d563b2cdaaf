"""What ASE is told of result files, so that `ase.io.read("out.h5")` reads them.

ASE loads this whenever it is imported; what reads is in `mdsens.io.ase_results`.
"""

from __future__ import annotations

from ase.utils.plugins import ExternalIOFormat

# HDF5, and in it the word "mdsens" with its length, as the first that stands in the root's attributes.
_MAGIC = rb"\x89HDF\r\n\x1a\n.{0,8192}?GCOL.{20}\x06\x00{7}mdsens\x00"

FORMAT = ExternalIOFormat(
    desc="mdsens result", code="1S", module="mdsens.io.ase_results", magic_regex=_MAGIC
)
