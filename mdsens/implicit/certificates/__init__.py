"""How good is the derivative of a root: its distance, its constants, its error."""

from mdsens.implicit.certificates.certify import certify
from mdsens.implicit.certificates.record import RootCertificate, Verdict

__all__ = ["RootCertificate", "Verdict", "certify"]
