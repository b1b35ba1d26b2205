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
    from relrep_sym.api import Derivation, derive, nodes
    from relrep_sym.declare.chart import Chart, chart, identity, log, relative
    from relrep_sym.declare.model import Mixture, mixture
    from relrep_sym.declare.own import family
    from relrep_sym.declare.truth import Truth, truth
    from relrep_sym.declare.view import View, view
    from relrep_sym.errors import RelrepError

__version__ = "0.1.0"

_HOME = {
    "Chart": "declare.chart",
    "Derivation": "api",
    "Mixture": "declare.model",
    "RelrepError": "errors",
    "Truth": "declare.truth",
    "View": "declare.view",
    "chart": "declare.chart",
    "derive": "api",
    "family": "declare.own",
    "identity": "declare.chart",
    "log": "declare.chart",
    "mixture": "declare.model",
    "nodes": "api",
    "relative": "declare.chart",
    "truth": "declare.truth",
    "view": "declare.view",
}

__all__ = [
    "Chart",
    "Derivation",
    "Mixture",
    "RelrepError",
    "Truth",
    "View",
    "chart",
    "derive",
    "family",
    "identity",
    "log",
    "mixture",
    "nodes",
    "relative",
    "truth",
    "view",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
