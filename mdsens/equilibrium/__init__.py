"""States that solve F(state, params) = 0."""

from mdsens.equilibrium.eager import Progress
from mdsens.equilibrium.relax import Found, neighbor_list, relax, search

__all__ = ["Found", "Progress", "neighbor_list", "relax", "search"]
