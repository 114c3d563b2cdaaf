"""Where the structure files go."""

from __future__ import annotations

from pathlib import Path

from mdsens.io.structures import write_extxyz
from mdsens.system import System

SYSTEMS = Path(__file__).resolve().parents[2] / "systems"


def save(system: System, name: str, file: str = "packing.extxyz") -> Path:
    """Write the structure file of one system; returns its folder."""
    folder = SYSTEMS / name
    folder.mkdir(parents=True, exist_ok=True)
    write_extxyz(system, folder / file)
    return folder
