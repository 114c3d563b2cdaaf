"""Jammed packings: making them, loading them, designing them."""

from mdsens.packings.design import Design, design
from mdsens.packings.loading import Loading, load, shear
from mdsens.packings.protocol import Packing, jam
from mdsens.packings.start import packing_fraction, random_spheres

__all__ = [
    "Design",
    "Loading",
    "Packing",
    "design",
    "jam",
    "load",
    "packing_fraction",
    "random_spheres",
    "shear",
]
