"""Derivatives of what an equation defines: x*(theta) with F(x*, theta) = 0. Knows no atoms.

`custom_root` and `custom_fixed_point` decorate a solver; `attach` gives a known solution its
derivative; `root_jvp` and `root_vjp` compute one product with the Jacobian. `host` puts any Python
function, and so any program, in front; `scipy_minimize` and `scipy_root` put SciPy there. An
`Iteration` is differentiated by an estimator: `Analytic`, `Automatic`, `Implicit`, `Neumann`,
`OneStep`.
`bilevel` minimises a loss of x*(theta) over theta, with warm starts. `certify` says how good a root
and a derivative taken there are.
"""

from mdsens.implicit import optimality
from mdsens.implicit.attach import attach
from mdsens.implicit.auto import AUTO, Auto
from mdsens.implicit.bilevel import (
    BilevelRecord,
    BilevelResult,
    BilevelState,
    Hypergradient,
    WarmImplicit,
    bilevel,
    hypergradient,
)
from mdsens.implicit.certificates import RootCertificate, Verdict, certify
from mdsens.implicit.custom import custom_fixed_point, custom_root
from mdsens.implicit.estimators import (
    Analytic,
    Automatic,
    Estimator,
    Implicit,
    Neumann,
    OneStep,
)
from mdsens.implicit.guard import Side, guard
from mdsens.implicit.host import host
from mdsens.implicit.host_scipy import scipy_minimize, scipy_root
from mdsens.implicit.iteration import Info, Iteration
from mdsens.implicit.products import root_jvp, root_vjp
from mdsens.implicit.projected import Projected
from mdsens.implicit.solve import Certified, Refined

__all__ = [
    "AUTO",
    "Analytic",
    "Auto",
    "Automatic",
    "BilevelRecord",
    "BilevelResult",
    "BilevelState",
    "Certified",
    "Estimator",
    "Hypergradient",
    "Implicit",
    "Info",
    "Iteration",
    "Neumann",
    "OneStep",
    "Projected",
    "Refined",
    "RootCertificate",
    "Side",
    "Verdict",
    "WarmImplicit",
    "attach",
    "bilevel",
    "certify",
    "custom_fixed_point",
    "custom_root",
    "guard",
    "host",
    "hypergradient",
    "optimality",
    "root_jvp",
    "root_vjp",
    "scipy_minimize",
    "scipy_root",
]
