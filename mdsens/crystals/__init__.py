"""What several crystals say together: defects and surfaces against the crystal they are in; and what a
tensor of elastic constants says."""

from mdsens.crystals.aggregate import Aggregate, aggregate_moduli, born_stability
from mdsens.crystals.defects import Formation, formation, surface_energy

__all__ = [
    "Aggregate",
    "Formation",
    "aggregate_moduli",
    "born_stability",
    "formation",
    "surface_energy",
]
