"""A request means what the same calls would mean; all else is refused, quickly, with its place."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.declare.request import Request, parse_request, read_request
from relrep_sym.errors import DeclarationError, ParseError, RelrepError

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))

NORMAL = 'name = "n"\n[model]\nfamily = "normal"\ncomponents = 2\nscales = 1\n'
MAP = f'{NORMAL}[chart]\nkind = "map"\n[chart.map]\npi_1 = "v"\nmu_2 = "b"\n'


def refusal(text: str, kind: type[RelrepError] = DeclarationError) -> str:
    """Why the request is refused; it must be, without much work."""
    start = time.thread_time()
    with pytest.raises(kind) as caught:
        parse_request(text, place="r.toml")
    assert time.thread_time() - start < 1.0
    message = str(caught.value)
    assert message.startswith("r.toml: ")
    assert len(message) < 1000
    return message


# What is written is what is meant


def test_no_chart_is_the_identity_chart() -> None:
    model = rs.mixture("normal", components=2, scales=1)
    assert parse_request(NORMAL) == Request("n", model, rs.identity(model), None)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("scales = 1", {"scales": 1}),
        ('scales = "tied"', {"scales": "tied"}),
        ('scales = [1, "free"]', {"scales": [1, None]}),
        ('scales = ["1/3", 0.1]', {"scales": ["1/3", "0.1"]}),
        ('weights = "1/2"\nmeans = [0, "free"]', {"weights": "1/2", "means": [0, None]}),
        ("scales = 0.30000000000000000001", {"scales": "0.30000000000000000001"}),
    ],
)
def test_patterns(written: str, meant: dict[str, object]) -> None:
    text = NORMAL.replace("scales = 1", written)
    assert parse_request(text).model == rs.mixture("normal", components=2, **meant)


def test_a_relative_chart() -> None:
    request = parse_request(
        NORMAL + '[chart]\nkind = "relative"\nparameter = ["mu"]\ngap = "square"\nclearance = 0.1\n'
    )
    meant = rs.relative(request.model, ["mu"], gap="square", clearance="1/10")
    assert request.chart == meant


def test_a_log_chart() -> None:
    text = 'name = "p"\n[model]\nfamily = "poisson"\ncomponents = 3\n'
    request = parse_request(text + '[chart]\nkind = "log"\nparameter = "rate"\n')
    assert request.chart == rs.log(rs.mixture("poisson", components=3), "rate")


CHARTS = [
    ('kind = "softmax"', lambda m: rs.softmax(m)),
    ('kind = "softmax"\nclearance = 0.01', lambda m: rs.softmax(m, clearance="1/100")),
    ('kind = "softmax"\nclearance = "lam"', lambda m: rs.softmax(m, clearance="lam")),
    ('kind = "stick_breaking"', lambda m: rs.stick_breaking(m)),
    ('kind = "cleared"\nclearance = "lam"', lambda m: rs.cleared(m, clearance="lam")),
    (
        'kind = "relative"\ngap = "softplus"\nreference = "last"\nclearance = "lam"',
        lambda m: rs.relative(m, gap="softplus", reference="last", clearance="lam"),
    ),
    (
        'kind = "affine"\nmatrix = [[1, -1], [1, "1/3"]]\nparameter = "mu"',
        lambda m: rs.affine(m, [[1, -1], [1, "1/3"]], parameter="mu"),
    ),
    (
        'kind = "affine"\nmatrix = [[1], [2], ["a"]]\noffset = [0, "b", 0.5]\nnames = ["t"]',
        lambda m: rs.affine(m, [[1], [2], ["a"]], [0, "b", "1/2"], names=["t"]),
    ),
    (
        'kind = "map"\nconstants = {a = "positive"}\n[chart.map]\npi_1 = "p"\nmu_1 = "m"\n'
        'mu_2 = "m + a*d"',
        lambda m: rs.chart(
            m, {"pi_1": "p", "mu_1": "m", "mu_2": "m + a*d"}, constants={"a": "positive"}
        ),
    ),
]


@pytest.mark.parametrize(("written", "meant"), CHARTS, ids=[w.split("\n")[0] for w, _ in CHARTS])
def test_each_kind_of_chart_is_the_call_of_its_name(written: str, meant) -> None:
    request = parse_request(f"{NORMAL}[chart]\n{written}\n")
    assert request.chart == meant(request.model)


def test_several_charts_compose_from_the_outermost_in() -> None:
    text = NORMAL + '[[chart]]\nkind = "relative"\nclearance = "lam"\n[[chart]]\nkind = "softmax"\n'
    text += '[[chart]]\nkind = "map"\n[chart.map]\nDelta_1 = "exp(rho)"\n'
    request = parse_request(text)
    outer = rs.relative(request.model, clearance="lam")
    assert request.chart == rs.chart(rs.softmax(outer), {"Delta_1": "exp(rho)"})
    assert request.chart.names == ("alpha_1", "mu_1", "rho")
    assert [c.name for c in request.chart.constants] == ["lam"]


def test_one_table_in_an_array_is_one_chart() -> None:
    chart = '\nkind = "relative"\n'
    one, array = (parse_request(NORMAL + head + chart) for head in ("[chart]", "[[chart]]"))
    assert one == array


@pytest.mark.parametrize("written", ['"Delta_1"', '["Delta_1"]'])
def test_what_moves(written: str) -> None:
    text = f"moving = {written}\n{NORMAL}" + '[chart]\nkind = "relative"\n'
    request = parse_request(text)
    assert request.moving == ("Delta_1",)
    assert request.chart.names == ("Delta_1",)
    d = rs.derive(request.model, rs.relative(request.model), moving=["Delta_1"])
    assert request.chart == d.chart


def test_a_map_with_domains_order_and_inverse() -> None:
    text = MAP.replace('kind = "map"', 'kind = "map"\ncoordinates = ["b", "a", "v"]')
    text += 'mu_1 = "b + a"\n[chart.domains]\na = "nonnegative"\n'
    text += '[chart.inverse]\nv = "pi_1"\nb = "mu_2"\na = "mu_1 - mu_2"\n'
    request = parse_request(text)
    assert request.chart == rs.chart(
        request.model,
        {"pi_1": "v", "mu_1": "b + a", "mu_2": "b"},
        domains={"a": "nonnegative"},
        coordinates=["b", "a", "v"],
        inverse={"v": "pi_1", "b": "mu_2", "a": "mu_1 - mu_2"},
    )


def test_a_view_keeps_its_order() -> None:
    request = parse_request(NORMAL + '[view]\nw = "mu_1"\nu = "mu_1 - mu_2"\nhalf = 0.5\n')
    assert request.view == rs.view(request.chart, {"w": "mu_1", "u": "mu_1 - mu_2", "half": "1/2"})


def test_requests_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_request(NORMAL).name = "m"  # type: ignore[misc]


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"\xef\xbb\xbf" + NORMAL.replace("\n", "\r\n").encode())
    assert read_request(path) == parse_request(NORMAL)


# The examples


def test_there_are_examples_of_every_kind_of_chart() -> None:
    titles = {read_request(path).chart.title.split()[0] for path in EXAMPLES}
    assert {"relative", "log", "chart"} <= titles
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_becomes_a_module_whose_score_is_the_slope(path: Path) -> None:
    request = read_request(path)
    derivation = rs.derive(request.model, request.chart, view=request.view, name=request.name)
    module = derivation.compile()
    inside = {"real": 0.3, "positive": 1.2, "nonnegative": 0.7, "unit": 0.15}
    at = np.array([inside[c.domain.name] for c in request.chart.coordinates])
    at += 0.01 * np.arange(len(at))
    if "rate_3" in request.chart.names:  # the largest, which gaps are taken from
        at[request.chart.names.index("rate_3")] = 3.0
    given = {c.name: inside[c.domain.name] / 8 for c in request.chart.constants}
    x = np.array([0.0, 1.0, 2.0, 5.0])
    step = 1e-6
    slopes = [
        (
            module.log_likelihood(x, at + step * e, **given)
            - module.log_likelihood(x, at - step * e, **given)
        )
        / (2 * step)
        for e in np.eye(len(at))
    ]
    np.testing.assert_allclose(module.score(x, at, **given), slopes, atol=1e-8)
    back = module.from_model(module.to_model(at, **given), **given)
    np.testing.assert_allclose(back, at, atol=1e-14)


# What is refused, and where


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "r.toml: 'name' is missing; given: nothing"),
        (NORMAL.replace('name = "n"\n', ""), "'name' is missing; given: model"),
        ('name = "n"', "'model' is missing"),
        ("model = 1", "'name' is missing"),
        ('name = "n"\nmodel = 1', "r.toml: model: of a wrong type; given: a number"),
        (NORMAL.replace('"n"', "3"), "r.toml: name: of a wrong type; given: a number"),
        (NORMAL.replace('"n"', "1979-05-27"), "name: of a wrong type; given: a date"),
        (NORMAL.replace("model", "modle"), "unknown key; given: modle;"),
        (NORMAL.replace("model", "modle"), "(did you mean model?)"),
        (NORMAL.replace("scales", "scale"), "[model]: unknown key; given: scale;"),
        (NORMAL.replace("scales", "rates"), "expected: family, components, weights, means"),
        (NORMAL.replace("components = 2\n", ""), "[model]: 'components' is missing"),
        (NORMAL.replace("normal", "norml"), "[model] family: unknown family; given: norml"),
        (NORMAL.replace("= 2", "= 2.0"), "[model] components: of a wrong type; given: a float"),
        (NORMAL.replace("= 2", "= true"), "[model] components: of a wrong type; given: true"),
        (NORMAL.replace("= 2", "= 1000"), "[model] components: components is out of range"),
        (NORMAL.replace("s = 1", "s = true"), "[model] scales: of a wrong type"),
        (NORMAL.replace("s = 1", "s = [1, [2]]"), "given: a list with a list with a number"),
        (NORMAL.replace("s = 1", "s = [1]"), "[model] scales: scales has 1 entries"),
        (NORMAL.replace("s = 1", "s = -1"), "[model] scales: an entry of scales is outside"),
        (
            NORMAL.replace("s = 1", "s = nan"),
            "[model] scales: unknown pattern for scales; given: nan",
        ),
        (NORMAL.replace("s = 1", 's = "fre"'), "[model] scales: unknown pattern"),
        (NORMAL + "weights = [0.5, 0.6]", "[model] weights: the fixed weights cannot"),
        (NORMAL + '[chart]\nparameter = "mu"', "[chart]: 'kind' is missing"),
        (NORMAL + '[chart]\nkind = "relativ"', "did you mean relative?"),
        (NORMAL + '[chart]\nkind = "relative"\nmap = 1', "[chart]: unknown key; given: map"),
        (NORMAL + '[chart]\nkind = "relative"\ngap = "cube"', "[chart] gap: unknown gap"),
        (NORMAL + '[chart]\nkind = "relative"\nclearance = -1', "[chart] clearance: the clear"),
        (NORMAL + '[chart]\nkind = "relative"\nparameter = []', "[chart] parameter: of a wrong"),
        (NORMAL + '[chart]\nkind = "relative"\nparameter = "nu"', "no such parameter"),
        (NORMAL + '[chart]\nkind = "map"', "[chart]: 'map' is missing"),
        (NORMAL + '[chart]\nkind = "map"\nmap = "mu_1"', "[chart] map: of a wrong type"),
        (MAP, "[chart] map: the map misses mu_1"),
        (MAP + 'mu_1 = "a"\nmu_3 = "c"', "[chart.map] mu_3: the map names no parameter"),
        (MAP + 'mu_1 = "a"\nsigma_1 = "c"', "(fixed in this model)"),
        (MAP + "mu_1 = true", "[chart.map] mu_1: of a wrong type; given: true"),
        (MAP + 'mu_1 = "a +"', "[chart.map] mu_1: the map of mu_1: the text ends"),
        (MAP + 'mu_1 = "a"\n[chart.domain]\na = "unit"', "(did you mean domains?)"),
        (MAP + 'mu_1 = "a"\n[chart.domains]\na = "unti"', "[chart.domains] a: unknown domain"),
        (MAP + 'mu_1 = "a"\n[chart.domains]\na = 1', "[chart.domains] a: of a wrong type"),
        (MAP + 'mu_1 = "a"\n[chart.domains]\nc = "unit"', "domains= names no coordinate"),
        (MAP + 'mu_1 = "a"\n[chart.inverse]\na = "mu_1"', "the inverse does not give each"),
        (
            MAP + 'mu_1 = "a"\n[chart.inverse]\nv = "pi_1"\na = "mu_1"\nb = "mu_3"',
            "[chart.inverse] b: the inverse of b: unknown name 'mu_3'",
        ),
        (NORMAL + '[view]\nu = "q + 1"', "[view] u: the view function u: unknown name 'q'"),
        (NORMAL + '[view]\n"a b" = "mu_1"', "[view]: the view function name is not a name"),
        (NORMAL + "[view]\n", "[view]: a view needs functions"),
        (NORMAL + '[chart]\nkind = "softmax"\ngap = "exp"', "[chart]: unknown key; given: gap"),
        (NORMAL + '[chart]\nkind = "softmax"\nclearance = 0.5', "[chart] clearance: the clear"),
        (NORMAL + '[chart]\nkind = "softmax"\nclearance = "-l"', "[chart] clearance: the clear"),
        (NORMAL + '[chart]\nkind = "softmax"\nclearance = [1]', "[chart] clearance: of a wrong"),
        (NORMAL + '[chart]\nkind = "cleared"', "'clearance' is missing; given: cleared"),
        (NORMAL + '[chart]\nkind = "relative"\nreference = "mid"', "[chart] reference: unknown"),
        (NORMAL + '[chart]\nkind = "relative"\nreference = 1', "[chart] reference: of a wrong"),
        (NORMAL + '[chart]\nkind = "affine"', "[chart]: 'matrix' is missing"),
        (NORMAL + '[chart]\nkind = "affine"\nmatrix = 1', "[chart] matrix: of a wrong type"),
        (NORMAL + '[chart]\nkind = "affine"\nmatrix = [1, 2]', "[chart] matrix: of a wrong type"),
        (NORMAL + '[chart]\nkind = "affine"\nmatrix = [[1], [1]]', "the matrix of an affine chart"),
        (NORMAL + '[chart]\nkind = "affine"\nmatrix = [[true]]', "[chart] matrix: of a wrong type"),
        (NORMAL + "chart = []", "[model]: unknown key; given: chart"),
        ("chart = []\n" + NORMAL, "chart: of a wrong type"),
        ("chart = [1]\n" + NORMAL, "chart: of a wrong type"),
        (
            NORMAL + '[[chart]]\nkind = "softmax"\n[[chart]]\nkind = "softmax"',
            "[chart 2]: a softmax chart needs free weights",
        ),
        (
            NORMAL + '[[chart]]\nkind = "relative"\n[[chart]]\nkind = "relativ"',
            "[chart 2]: unknown kind of chart",
        ),
        ("moving = []\n" + NORMAL, "moving: of a wrong type"),
        ("moving = 5\n" + NORMAL, "moving: of a wrong type"),
        ('moving = ["mu_3"]\n' + NORMAL, "moving: moving= names no coordinate of the chart"),
        (MAP + 'mu_1 = "a"\n[chart.constants]\na = 1', "[chart.constants] a: of a wrong type"),
        (MAP + 'mu_1 = "a"\n[chart.constants]\na = "unti"', "[chart.constants] a: unknown domain"),
        (NORMAL + "name = 1", "[model]: unknown key; given: name"),
        ("name = 1\nname = 2", "this is no TOML; given: Cannot overwrite a value"),
        ("\x00", "this is no TOML"),
    ],
)
def test_mistakes_are_named_with_their_place(text: str, says: str) -> None:
    assert says in refusal(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MAP + "mu_1 = \"__import__('os').system('touch /tmp/x')\"", "'__import__' is not a fun"),
        (MAP + 'mu_1 = "x); import os"', "')' without '('"),
        (MAP + 'mu_1 = "9**9**9**9"', "an exponent too large"),
        (MAP + 'mu_1 = "' + "(" * 300 + "a" + ")" * 300 + '"', "nested too deeply"),
        (MAP + 'mu_1 = "' + "a + " * 3000 + 'a"', "a text of 12001 characters"),
        (MAP + 'mu_1 = "a.__class__"', "attribute"),
    ],
)
def test_attacks_in_an_expression_are_refused_by_the_parser(text: str, says: str) -> None:
    message = refusal(text, ParseError)
    assert message.startswith("r.toml: [chart.map] mu_1: ")
    assert says in message


@pytest.mark.parametrize(
    "text",
    [
        MAP + 'mu_1 = "' + "a+" * 500_000 + 'a"',
        MAP + 'mu_1 = "a"\n"x); import os" = "b"',
        MAP.replace('"map"', '"map"\ncoordinates = ["x); import os"]') + 'mu_1 = "a"',
        MAP + 'mu_1 = "a"\n[chart.domains]\n"x); import os" = "unit"',
        NORMAL + '[view]\n"x); import os" = "mu_1"',
        NORMAL.replace('"n"', '"x); import os"'),
        NORMAL.replace('"n"', '"__init__"'),
        NORMAL.replace("normal", "__import__"),
        "a = " + "[" * 9000,
        "\n".join(f"a{i} = " + "[" * 9000 for i in range(100)),
        "a = " + "{a = " * 2000,
        "a = " + "9" * 9000,
        "a = 0x" + "f" * 9000,
        NORMAL.replace("= 2", "= 0x" + "f" * 4000),
        "a = 1e" + "9" * 9000,
        NORMAL.replace("s = 1", "s = 1e999999999"),
        "a" + ".a" * 9000 + " = 1",
        "[a" + ".a" * 9000 + "]",
        "x = {a" + ".a" * 9000 + " = 1}",
        "\n".join(f"a{i}" + ".a" * 4 + " = 1" for i in range(4000)),
        "\n".join(f"[a{i}" + ".a" * 4 + "]" for i in range(4000)),
        "\n".join(f"a{i} = 1" for i in range(90_000)),
        "[[a]]\n" * 100_000,
        'a = "' + "\\\\" * 9000 + '"',
        "#" * 2_000_000,
    ],
)
def test_attacks_on_the_reader_are_refused(text: str) -> None:
    refusal(text)


def test_nothing_in_a_request_is_executed(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    refusal(MAP + f"mu_1 = \"__import__('os').system('touch {witness}')\"")
    assert not witness.exists()


# Files


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"#" * 1_000_001, "the request is too large; given: more than 1000000 bytes"),
        (b"name = '\xff'", "this is no UTF-8; given: byte 0xff at offset 8"),
    ],
)
def test_files_that_are_no_requests(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(data)
    with pytest.raises(DeclarationError) as caught:
        read_request(path)
    assert str(caught.value).startswith(f"{path}: {says}")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(DeclarationError, match="cannot read"):
            read_request(path)


OWN = """
name = "heavy"
[family]
name = "cauchy"
log_density = "-log(4*atan(1)) - log(s) - log(1 + ((x - m)/s)**2)"
support = "line"
[family.parameters]
m = "real"
s = "positive"
[family.plurals]
m = "means"
[model]
components = 3
means = [0, "free", 2.5]
"""


def test_a_family_of_the_requests_own() -> None:
    request = parse_request(OWN)
    assert request.model.family.name == "cauchy"
    assert request.model.names == ("pi_1", "pi_2", "m_2", "s_1", "s_2", "s_3")


def test_the_numbers_that_a_family_is_made_with() -> None:
    text = 'name = "coins"\n[model]\nfamily = "binomial"\ncomponents = 2\ntrials = 5\n'
    assert parse_request(text).model.family.support == ("integers", 0, 5)
    with pytest.raises(DeclarationError, match="'trials' is missing"):
        parse_request(text.replace("trials = 5\n", ""))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('m = "real"', 'm = "complex"', "unknown domain of m"),
        ('support = "line"', 'support = "ring"', "support"),
        ("log(s)", "log(q)", "unknown name 'q'"),
        ("- log(s)", "", "does not integrate to one"),
        ("log_density", "density", "unknown key"),
        ("[model]\n", '[model]\nfamily = "normal"\n', "unknown key"),
    ],
)
def test_what_is_wrong_in_a_family_is_placed(old: str, new: str, said: str) -> None:
    with pytest.raises(DeclarationError, match=rf"^request: \[[\w.]+\].*{said}"):
        parse_request(OWN.replace(old, new))


@pytest.mark.parametrize(
    ("support", "found"),
    [
        ("{interval = [0, 1]}", ("interval", 0.0, 1.0)),
        ('{interval = ["1/2", 1.5]}', ("interval", 0.5, 1.5)),
    ],
)
def test_supports_in_a_request(support: str, found: object) -> None:
    low, high = found[1:]  # type: ignore[index]
    density = f"log(a + 1) - {high - low}*0 + a*log(x - {low}) - (a + 1)*log({high - low})"
    text = (
        OWN[: OWN.index("[family]")]
        + f"""[family]
log_density = "{density}"
support = {support}
parameters = {{a = "positive"}}
[model]
components = 2
"""
    )
    assert parse_request(text).model.family.support == found
