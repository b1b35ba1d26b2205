"""The comments of a generated module say what its letters and its long numbers are."""

from __future__ import annotations

import math
import re

import pytest
from mpmath import mp

import relrep_sym as rs
from relrep_sym.declare.family import names
from relrep_sym.emit.numpy.spelled import spelled

TRIALS = {"binomial": {"trials": 7}}
with mp.workdps(40):  # √ of the double next to π is another double than that next to √π
    SHOWN = {
        float(value): shown
        for value, shown in (
            (mp.sqrt(2), "√2"),
            (mp.sqrt(0.5), "1/√2"),
            (mp.sqrt(mp.pi), "√π"),
            (mp.sqrt(2 * mp.pi), "√(2π)"),
            (mp.sqrt(3 * mp.pi / 2), "√(3π/2)"),
            (1 / mp.sqrt(mp.pi), "1/√π"),
            (mp.log(2), "log(2)"),
            (mp.log(mp.pi) / 2, "log(π)/2"),
            (mp.mpf(2) / 3, "2/3"),
            (mp.mpf(22) / 7, "22/7"),
        )
    }


@pytest.mark.parametrize("value", SHOWN, ids=SHOWN.get)
def test_a_number_is_said_where_it_is_the_double_nearest_to_it(value: float) -> None:
    assert spelled(float(value)) == SHOWN[value]
    for near in (math.nextafter(value, 0), math.nextafter(value, 9)):
        assert spelled(near) is None


@pytest.mark.parametrize("family", [*names(), "own"])
def test_each_module_says_what_it_sums_and_what_its_numbers_are(family: str) -> None:
    own = rs.family("-(x - m)**2/2 - log(8*atan(1))/2", {"m": "real"}, "line", name="unit")
    model = rs.mixture(own if family == "own" else family, 2, **TRIALS.get(family, {}))
    for standalone in (False, True):
        text = rs.derive(model).source(standalone=standalone)
        head, _, code = text.rpartition("# A data pass sums R_k and R_k b_j over x, where R_k = ")
        assert head
        said = code.partition("\ndef _prepare(")[0]
        assert "b_1 = " in said
        for number in re.findall(r"(?<![\w.])\d\.\d{14,}\b", code.partition("\ndef _prepare(")[2]):
            if spelled(float(number)) is not None:
                assert re.search(rf"\b{re.escape(number)} = \S", said), number
