"""Neighbour lists: half lists of pairs with explicit periodic images."""

from mdsens.neighbors.pairs import Pairs
from mdsens.neighbors.traced import AllPairs, CellList
from mdsens.neighbors.tree import find_pairs, pair_list

__all__ = ["AllPairs", "CellList", "Pairs", "find_pairs", "pair_list"]
