"""Neighbour lists: half lists of pairs with explicit periodic images."""

from mdsens.neighbors.nearby import count_nearby, nearby
from mdsens.neighbors.pairs import NoPairs, Pairs, even
from mdsens.neighbors.pieces import folded, mapped
from mdsens.neighbors.sites import (
    WIDTH,
    Surroundings,
    most_neighbors,
    places_for,
    surroundings,
    tabulated,
)
from mdsens.neighbors.traced import AllPairs, CellList, upper_triangular
from mdsens.neighbors.tree import find_pairs, pair_list, room_for, room_for_pairs

__all__ = [
    "WIDTH",
    "AllPairs",
    "CellList",
    "NoPairs",
    "Pairs",
    "Surroundings",
    "count_nearby",
    "even",
    "find_pairs",
    "folded",
    "mapped",
    "most_neighbors",
    "nearby",
    "pair_list",
    "places_for",
    "room_for",
    "room_for_pairs",
    "surroundings",
    "tabulated",
    "upper_triangular",
]
