"""Neighbour lists: half lists of pairs with explicit periodic images."""

from mdsens.neighbors.nearby import count_nearby, nearby
from mdsens.neighbors.pairs import NoPairs, Pairs
from mdsens.neighbors.traced import AllPairs, CellList, upper_triangular
from mdsens.neighbors.tree import find_pairs, pair_list, room_for

__all__ = [
    "AllPairs",
    "CellList",
    "NoPairs",
    "Pairs",
    "count_nearby",
    "find_pairs",
    "nearby",
    "pair_list",
    "room_for",
    "upper_triangular",
]
