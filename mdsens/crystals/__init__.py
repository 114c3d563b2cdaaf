"""What several crystals say together: defects and surfaces against the crystal they are in."""

from mdsens.crystals.defects import Formation, formation, surface_energy

__all__ = ["Formation", "formation", "surface_energy"]
