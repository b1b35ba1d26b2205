"""What every test shares: the Hypothesis profiles, and what a missing pdflatex means.

Hypothesis runs with the profile ``default``; ``--hypothesis-profile=thorough`` looks longer. Where
the environment has ``CI`` set, examples are derived from the test alone, so that a failure repeats.
"""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")

_CI = bool(os.environ.get("CI"))
settings.register_profile(
    "default",
    deadline=None,
    max_examples=50,
    derandomize=_CI,
    database=None if _CI else settings.default.database,
    print_blob=True,
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=1000)
settings.load_profile("default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if shutil.which("pdflatex") is None:
        absent = pytest.mark.skip(reason="pdflatex is not installed: the LaTeX was not compiled")
        for item in items:
            if item.get_closest_marker("latex"):
                item.add_marker(absent)
