"""Neighbour lists: half lists of pairs with explicit periodic images."""

from mdsens.neighbors.pairs import NoPairs, Pairs
from mdsens.neighbors.traced import AllPairs, CellList, upper_triangular
from mdsens.neighbors.tree import find_pairs, pair_list

__all__ = [
    "AllPairs",
    "CellList",
    "NoPairs",
    "Pairs",
    "find_pairs",
    "pair_list",
    "upper_triangular",
]
