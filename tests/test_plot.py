"""Pictures show the field and the paths that the module computes."""

from __future__ import annotations

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.errors import DataError
from tests.runtime.models import compiled, derived

PAIR = ([0.5, 0.5], [-1.0, 1.0], [1.0, 1.0])


@pytest.fixture
def ax():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


@pytest.mark.parametrize("kind", ["gradient", "natural"])
def test_arrows_point_along_the_field(ax, kind):
    module = compiled("normal", 2, "relative", scales=1)
    drawn = rs.plot.field(
        module, PAIR, "mu_1", "Delta_1", {"pi_1": 0.3}, xlim=(-2, 2), ylim=(0.5, 3), n=5,
        field=kind, style="quiver", ax=ax,
    )  # fmt: skip
    assert drawn is ax
    (arrows,) = [c for c in ax.collections if hasattr(c, "U")]
    kernel = module.averaged_field if kind == "gradient" else module.natural_field
    for (x, y), u, v in zip(arrows.XY, arrows.U, arrows.V, strict=True):
        _, along, up = kernel([0.3, x, y], PAIR)
        np.testing.assert_allclose([u, v], np.array([along, up]) / np.hypot(along, up), rtol=1e-7)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"$\mu_1$", r"$\Delta_1$")
    assert ax.get_xlim() == (-2, 2)
    ax.figure.canvas.draw()


def test_the_end_of_the_chart_is_marked_and_what_lies_beyond_is_empty(ax):
    d = derived("normal", 3, "relative", scales=1)
    at = {"pi_1": 0.3, "pi_2": 0.3, "Delta_2": 1.0}
    rs.plot.field(d, PAIR, "mu_1", "Delta_1", at, xlim=(-2, 2), ylim=(-1, 3), n=9, ax=ax)
    (edge,) = ax.lines
    np.testing.assert_array_equal(edge.get_ydata(), [0, 0])
    (image,) = ax.images
    empty = np.ma.getmaskarray(image.get_array())
    height = np.linspace(-1, 3, 9)
    np.testing.assert_array_equal(empty.all(axis=1), height < 0)
    assert not empty[height > 0].any()
    ax.figure.canvas.draw()


def test_a_weight_and_the_simplex(ax):
    """In the plane of two weights the field lives on the triangle."""
    module = compiled("normal", 3, scales=1)
    at = {"mu_1": -1.0, "mu_2": 0.0, "mu_3": 1.5}
    rs.plot.field(module, PAIR, "pi_1", "pi_2", at, xlim=(0, 1), ylim=(0, 1), n=6, ax=ax)
    empty = np.ma.getmaskarray(ax.images[0].get_array())
    one, two = np.meshgrid(np.linspace(0, 1, 6), np.linspace(0, 1, 6))
    np.testing.assert_array_equal(empty, one + two > 1 + 1e-9)


def test_trajectories_are_what_the_flow_returned(ax):
    module = compiled("normal", 2, "relative", scales=1)
    start, times = [[0.5, -1.5, 1.0], [0.5, 2.5, 0.3]], np.linspace(0.0, 2.0, 9)
    found = module.flow(start, PAIR, times, full_output=True)
    paths, (stop,) = found
    assert stop.member == (1,)
    rs.plot.trajectories(module, "mu_1", "Delta_1", found, ax=ax)
    lines = [line for line in ax.lines if len(line.get_xdata()) == 9]
    np.testing.assert_array_equal(np.transpose(lines[0].get_data()), paths[0][:, 1:])
    marks = [line.get_marker() for line in ax.lines if len(line.get_xdata()) == 1]
    assert marks == ["o", "o", "o", "x"]
    (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
    np.testing.assert_array_equal(np.ravel(cross.get_data()), stop.coords[1:])
    again = plt.figure().gca()
    rs.plot.trajectories(module, "mu_1", "Delta_1", truth=PAIR, start=start, times=times, ax=again)
    for mine, theirs in zip(ax.lines, again.lines, strict=True):
        np.testing.assert_array_equal(mine.get_data(), theirs.get_data())
    plt.close(again.figure)


def test_trajectories_are_seen_in_a_view(ax):
    model = rs.mixture("normal", components=2, scales=1)
    view = rs.view(rs.identity(model), {"v": "pi_1", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"})
    module = rs.derive(model, view=view, name="seen").compile()
    paths = module.flow([0.4, -1.0, 0.5], PAIR, [0.0, 0.5, 1.0])
    rs.plot.trajectories(module, "v", "w", paths, ax=ax)
    np.testing.assert_array_equal(np.transpose(ax.lines[0].get_data()), module.to_view(paths))
    assert ax.get_ylabel() == "$w$"


BAD = [
    ({"x": "mu_9"}, "unknown coordinate; given: mu_9; expected: one of pi_1, mu_1, mu_2"),
    ({"x": "mu_2"}, "x and y are the same coordinate"),
    ({"at": None}, "at does not hold the other coordinates"),
    ({"at": {"pi_1": 0.5, "mu_1": 1.0}}, "at does not hold the other coordinates"),
    ({"xlim": (1, 1)}, "xlim is no interval"),
    ({"ylim": (0, np.inf)}, "ylim is no interval"),
    ({"n": 1}, "n is no number of points"),
    ({"field": "euclidean"}, "unknown field"),
    ({"style": "dots"}, "unknown style"),
    ({"model": 3}, "there is nothing to draw of this; given: int"),
    ({"truth": 3}, "this is no truth"),
]


@pytest.mark.parametrize(("wrong", "text"), BAD, ids=[str(next(iter(b[0].items()))) for b in BAD])
def test_what_is_wrong_is_named(wrong, text):
    usual = {
        "model": compiled("normal", 2, scales=1), "truth": PAIR, "x": "mu_1", "y": "mu_2",
        "at": {"pi_1": 0.5}, "xlim": (0, 1), "ylim": (0, 1), "n": 3,
    }  # fmt: skip
    with pytest.raises(DataError, match=text):
        rs.plot.field(**(usual | wrong))


WUV = {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"}


def arrows_of(axes):
    (found,) = [c for c in axes.collections if hasattr(c, "U")]
    return zip(found.XY.tolist(), found.U.tolist(), found.V.tolist(), strict=True)


@pytest.mark.parametrize("kind", ["gradient", "natural"])
def test_the_field_of_one_chart_in_the_axes_of_another(ax, kind):
    """dΔ/dt is dμ_2/dt − dμ_1/dt of the plain chart, and not the relative chart's own."""
    plain, relative = (derived("normal", 2, c, scales=1) for c in ("identity", "relative"))
    rs.plot.field(
        plain, PAIR, "mu_1", "Delta_1", {"pi_1": 0.3}, xlim=(-2, 2), ylim=(0.5, 3), n=5,
        field=kind, view=relative, style="quiver", ax=ax,
    )  # fmt: skip
    k, other = plain.compile(), relative.compile()
    kernel, own = (
        getattr(m, "averaged_field" if kind == "gradient" else "natural_field") for m in (k, other)
    )
    apart = 0.0
    for (x, y), u, v in arrows_of(ax):
        _, first, second = kernel([0.3, x, x + y], PAIR)
        seen = np.array([first, second - first])
        np.testing.assert_allclose([u, v], seen / np.hypot(*seen), rtol=1e-7)
        mine = own([0.3, x, y], PAIR)[1:]
        apart = max(apart, np.abs(mine / np.hypot(*mine) - [u, v]).max())
    assert (apart > 0.1) == (kind == "gradient")  # the natural gradient is one in all charts
    assert ax.get_ylabel() == r"$\Delta_1$"


def test_the_field_in_a_view(ax):
    plain = derived("normal", 2, scales=1)
    seen = rs.view(plain.chart, WUV)
    drawn = {"xlim": (0.1, 0.9), "ylim": (-2, 2), "n": 4, "style": "quiver"}
    rs.plot.field(plain, PAIR, "v", "u", {"w": 0.3}, view=seen, ax=ax, **drawn)
    viewed = rs.derive(plain.model, plain.chart, view=seen).compile()
    for (v, u), across, along in arrows_of(ax):
        coords = [v, 0.3 + (1 - v) * u, 0.3 - v * u]
        expected = viewed.view_field(coords, PAIR)[:2]
        np.testing.assert_allclose([across, along], expected / np.hypot(*expected), rtol=1e-7)


def test_the_iterates_of_a_fit_in_another_chart(ax):
    plain, relative = (compiled("normal", 2, c, scales=1) for c in ("identity", "relative"))
    x = np.random.default_rng(0).normal([[-1.0], [1.5]], 1.0, (2, 50)).ravel()
    fit = plain.fit(x, [[0.5, -1.0, 0.5], [0.3, 0.0, 2.0]])
    rs.plot.trajectories(plain, "mu_1", "Delta_1", fit, view=relative, ax=ax)
    lines = [line.get_xydata() for line in ax.lines[::3]][:2]
    for line, path, count in zip(lines, fit.path, fit.iterations, strict=True):
        known = path[: count + 1]
        expected = np.stack([known[:, 1], known[:, 2] - known[:, 1]], axis=-1)
        np.testing.assert_allclose(line[: count + 1], expected, atol=1e-14)
    rs.plot.trajectories(plain, "mu_1", "mu_2", fit.path[0], ax=ax)


@pytest.mark.parametrize(
    ("view", "text"),
    [
        (3, "view is nothing to look in; given: int"),
        (lambda: compiled("normal", 3, scales=1), "view is of another model"),
        (lambda: rs.view(derived("normal", 2, "relative", scales=1).chart, {"u": "Delta_1"}),
         "the view is of another chart"),
        (lambda: rs.view(derived("normal", 2, scales=1).chart, {"mu_1": "mu_1 + pi_1"}),
         "the view cannot be turned round; given: 1 functions"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_in_is_named(ax, view, text):
    module = derived("normal", 2, scales=1)
    made = view() if callable(view) else view
    with pytest.raises(DataError, match=text):
        rs.plot.field(module, PAIR, "mu_1", "mu_2", {}, xlim=(0, 1), ylim=(0, 1), view=made, ax=ax)


def test_trajectories_need_paths_or_a_flow():
    module = compiled("normal", 2, scales=1)
    with pytest.raises(DataError, match="there is nothing to draw; given: no paths"):
        rs.plot.trajectories(module, "mu_1", "mu_2")
    with pytest.raises(DataError, match="paths and a flow were given"):
        rs.plot.trajectories(module, "mu_1", "mu_2", np.zeros((2, 3)), truth=PAIR)
    with pytest.raises(DataError, match=r"paths has the wrong shape; given: shape \(3,\)"):
        rs.plot.trajectories(module, "mu_1", "mu_2", np.zeros(3))
    with pytest.raises(DataError, match="unknown coordinates; given: mu_1, u"):
        rs.plot.trajectories(module, "mu_1", "u", np.zeros((2, 3)))


def test_without_matplotlib_the_extra_is_named():
    script = (
        "import sys; sys.modules['matplotlib'] = None; sys.modules['matplotlib.pyplot'] = None\n"
        "import relrep_sym as rs\n"
        "d = rs.derive(rs.mixture('poisson', components=2))\n"
        "try:\n"
        "    rs.plot.trajectories(d, 'pi_1', 'rate_1', [[[0.5, 1, 2], [0.5, 1, 2]]])\n"
        "except rs.RelrepError as why:\n"
        "    print(isinstance(why, ImportError), why)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.startswith("True pictures need matplotlib"), done.stderr
    assert "relrep_sym[plot]" in done.stdout
