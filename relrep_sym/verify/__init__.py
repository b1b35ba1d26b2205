"""The judge: an independent mpmath oracle, hard points and certificates.

Takes densities and callables only, imports no other floor, and shares no formula with the engine.
"""

from relrep_sym.verify.certificate import Case, Certificate, Entry, certify
from relrep_sym.verify.em import EMObjective
from relrep_sym.verify.oracle import Density, Oracle, OracleAt
from relrep_sym.verify.points import Point, points
from relrep_sym.verify.yardstick import Measured, bound, ratio

__all__ = [
    "Case",
    "Certificate",
    "Density",
    "EMObjective",
    "Entry",
    "Measured",
    "Oracle",
    "OracleAt",
    "Point",
    "bound",
    "certify",
    "points",
    "ratio",
]
