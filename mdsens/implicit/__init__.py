"""Derivatives of what an equation defines: x*(theta) with F(x*, theta) = 0. Knows no atoms.

`custom_root` and `custom_fixed_point` decorate a solver; `attach` gives a known solution its
derivative; `root_jvp` and `root_vjp` compute one product with the Jacobian.
"""

from mdsens.implicit import optimality
from mdsens.implicit.attach import attach
from mdsens.implicit.auto import AUTO, Auto
from mdsens.implicit.custom import custom_fixed_point, custom_root
from mdsens.implicit.guard import Side, guard
from mdsens.implicit.products import root_jvp, root_vjp
from mdsens.implicit.projected import Projected
from mdsens.implicit.solve import Certified, Refined

__all__ = [
    "AUTO",
    "Auto",
    "Certified",
    "Projected",
    "Refined",
    "Side",
    "attach",
    "custom_fixed_point",
    "custom_root",
    "guard",
    "optimality",
    "root_jvp",
    "root_vjp",
]
