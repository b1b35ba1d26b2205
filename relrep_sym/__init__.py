"""relrep_sym: learning equations of statistical models in the coordinates you choose.

State a model and a chart, derive everything that learning in those coordinates needs, write it as
LaTeX and as NumPy, and certify each number against a high-precision computation::

    import relrep_sym as rs

    model = rs.mixture("normal", components=2, scales=1)
    chart = rs.relative(model, "mu", gap="square", clearance="1/2")
    d = rs.derive(model, chart)

The public names are loaded when they are first used, so that importing a generated module
(``from relrep_sym.generated import normal2_relative``) loads neither SymPy nor the engine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relrep_sym import plot
    from relrep_sym.api import Derivation, derive, nodes
    from relrep_sym.declare.chart import Chart, identity
    from relrep_sym.declare.charts import affine, log, relative
    from relrep_sym.declare.model import Mixture, mixture
    from relrep_sym.declare.own import family
    from relrep_sym.declare.own_map import chart
    from relrep_sym.declare.truth import Truth, truth
    from relrep_sym.declare.view import View, view
    from relrep_sym.declare.weight_charts import cleared, softmax, stick_breaking
    from relrep_sym.errors import (
        CertificateError,
        ChartWarning,
        ConditionWarning,
        DataError,
        DeclarationError,
        DerivationError,
        DomainError,
        FitWarning,
        FlowWarning,
        GenerationError,
        InferenceWarning,
        NoInverseError,
        NotInstalledError,
        ParseError,
        PrecisionWarning,
        RelrepError,
        RelrepWarning,
    )
    from relrep_sym.identities import E, Verdict, check
    from relrep_sym.kernel import Kernel

__version__ = "0.1.0"

_HOME = {
    "CertificateError": "errors",
    "Chart": "declare.chart",
    "ChartWarning": "errors",
    "ConditionWarning": "errors",
    "DataError": "errors",
    "DeclarationError": "errors",
    "Derivation": "api",
    "DerivationError": "errors",
    "DomainError": "errors",
    "E": "identities",
    "FitWarning": "errors",
    "FlowWarning": "errors",
    "GenerationError": "errors",
    "InferenceWarning": "errors",
    "Kernel": "kernel",
    "Mixture": "declare.model",
    "NoInverseError": "errors",
    "NotInstalledError": "errors",
    "ParseError": "errors",
    "PrecisionWarning": "errors",
    "RelrepError": "errors",
    "RelrepWarning": "errors",
    "Truth": "declare.truth",
    "Verdict": "identities",
    "View": "declare.view",
    "affine": "declare.charts",
    "chart": "declare.own_map",
    "check": "identities",
    "cleared": "declare.weight_charts",
    "derive": "api",
    "family": "declare.own",
    "identity": "declare.chart",
    "log": "declare.charts",
    "mixture": "declare.model",
    "nodes": "api",
    "plot": "plot",
    "relative": "declare.charts",
    "softmax": "declare.weight_charts",
    "stick_breaking": "declare.weight_charts",
    "truth": "declare.truth",
    "view": "declare.view",
}

__all__ = [
    "CertificateError",
    "Chart",
    "ChartWarning",
    "ConditionWarning",
    "DataError",
    "DeclarationError",
    "Derivation",
    "DerivationError",
    "DomainError",
    "E",
    "FitWarning",
    "FlowWarning",
    "GenerationError",
    "InferenceWarning",
    "Kernel",
    "Mixture",
    "NoInverseError",
    "NotInstalledError",
    "ParseError",
    "PrecisionWarning",
    "RelrepError",
    "RelrepWarning",
    "Truth",
    "Verdict",
    "View",
    "affine",
    "chart",
    "check",
    "cleared",
    "derive",
    "family",
    "identity",
    "log",
    "mixture",
    "nodes",
    "plot",
    "relative",
    "softmax",
    "stick_breaking",
    "truth",
    "view",
]


_NOT_YET = ("cholesky", "embedding", "exponential_family", "log_cholesky", "network", "product")
"""Names of other kinds of model, and of their charts, which people look for."""


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        wrong = f"module {__name__!r} has no attribute {name!r}"
        if name in _NOT_YET:
            wrong += ": models are mixtures in one dimension, rs.mixture(…), and nothing else yet"
        raise AttributeError(wrong)
    value = importlib.import_module(f"{__name__}.{home}")
    if home != name:  # else the module itself is the public name
        value = getattr(value, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
