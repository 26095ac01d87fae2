"""The picture of a graph of rules: layered from top to bottom, without Graphviz.

The steps are those of Sugiyama, Tagawa & Toda 1981 (IEEE Trans. SMC 11, 109): layers by longest path, fewer crossings by barycentres,
then places by least squares.
"""

import graphlib
import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from tuningfork.publishing.figures_base import COLOURS, GREY, blank, new_figure, nondecreasing, plain, styled

__all__ = ["rule_graph"]

Edge = tuple[str, str]
Place = tuple[float, float]

SIZE = 9.0
HEIGHT, ROW, GAP, MARGIN = 0.30, 0.62, 0.26, 0.22
"""Inches: height of a box, distance of layers, least distance of boxes, margin of the page."""


@styled
def rule_graph(edges: Iterable[Edge], nodes: Mapping[str, str] | Sequence[str], *, reduce: bool = True, heading: str = "", simulated: bool = False) -> Figure:
    """Draw which rule needs which.

    Parameters
    ----------
    edges : iterable of (str, str)
        Pairs (needed, needing); repeated pairs count once.
    nodes : sequence of str, or mapping of str to str
        All rules, or rule -> stage: stages have their own colours and a legend, in the order of their first rule.
    reduce : bool
        Leave out an edge that a longer way already implies.
    heading : str
        A line above all.

    Raises
    ------
    ValueError
        An edge between rules that are not among `nodes`, or a circle.
    """
    stages = dict(nodes) if isinstance(nodes, Mapping) else dict.fromkeys(nodes, "")
    pairs = list(dict.fromkeys(edges))
    strangers = sorted({end for pair in pairs for end in pair} - set(stages))
    if strangers:
        raise ValueError(f"edges name rules that are not among the nodes: {', '.join(strangers)}")
    if not stages:
        figure = new_figure(3, 1)
        blank(figure.add_subplot(), "no rules")
        return figure
    layers = _layers(list(stages), pairs)
    if reduce:
        pairs = _reduced(pairs)
    rows, chains = _with_dummies(layers, pairs)
    links = [link for chain in chains.values() for link in itertools.pairwise(chain)]
    rows = _ordered(rows, links)
    widths = {name: _text_width(name) + 0.24 if name in stages else 0.10 for row in rows for name in row}
    x = _placed(rows, links, widths)

    kinds = [kind for kind in dict.fromkeys(stages.values()) if kind]
    top = MARGIN + (0.34 if heading else 0)
    bottom = MARGIN + (0.36 if kinds else 0)
    left = min(x[name] - widths[name] / 2 for name in x)
    right = max(x[name] + widths[name] / 2 for name in x)
    legend = sum(_text_width(kind) + 0.5 for kind in kinds)
    width = max(right - left, legend, _text_width(heading) * 1.2) + 2 * MARGIN
    height = top + (len(rows) - 1) * ROW + HEIGHT + bottom
    shift = width / 2 - (left + right) / 2
    place = {name: (x[name] + shift, height - top - HEIGHT / 2 - i * ROW) for i, row in enumerate(rows) for name in row}

    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    blank(axes)
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    for chain in chains.values():
        _draw_edge(axes, [place[name] for name in chain])
    tints = dict(zip(kinds, itertools.cycle(COLOURS), strict=False))
    for name, kind in stages.items():
        _draw_box(axes, place[name], widths[name], name, tints.get(kind, GREY))
    _draw_legend(axes, tints, (width - legend) / 2)
    if heading:
        axes.text(width / 2, height - MARGIN, plain(heading), ha="center", va="center", fontsize=11)
    return figure


def _layers(names: list[str], edges: list[Edge]) -> dict[str, int]:
    """Layer of each node: the longest way from a source; sources then move down to just above what needs them first."""
    needs: dict[str, list[str]] = {name: [] for name in names}
    needed: dict[str, list[str]] = {name: [] for name in names}
    for a, b in edges:
        needs[b].append(a)
        needed[a].append(b)
    try:
        order = list(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        raise ValueError(f"the rules need each other in a circle: {' -> '.join(reversed(error.args[1]))}") from None
    layer: dict[str, int] = {}
    for name in order:
        layer[name] = max((layer[a] + 1 for a in needs[name]), default=0)
    for name in order:
        if not needs[name] and needed[name]:
            layer[name] = min(layer[b] for b in needed[name]) - 1
    return layer


def _reduced(edges: list[Edge]) -> list[Edge]:
    """The edges without those that a longer way implies."""
    below: dict[str, set[str]] = {}
    for a, b in edges:
        below.setdefault(a, set()).add(b)

    reach: dict[str, set[str]] = {}

    def reached(name: str) -> set[str]:
        if name not in reach:
            reach[name] = set().union(*({b} | reached(b) for b in below.get(name, ())))
        return reach[name]

    return [(a, b) for a, b in edges if not any(b in reached(c) for c in below[a] if c != b)]


def _with_dummies(layer: dict[str, int], edges: list[Edge]) -> tuple[list[list[str]], dict[Edge, list[str]]]:
    """Rows of names by layer, and for each edge its chain of names: a long edge passes through a dummy in every layer between."""
    rows: list[list[str]] = [[] for _ in range(max(layer.values()) + 1)]
    for name, at in layer.items():
        rows[at].append(name)
    chains = {}
    for a, b in edges:
        between = [f"{a}\0{b}\0{at}" for at in range(layer[a] + 1, layer[b])]
        for at, name in enumerate(between, layer[a] + 1):
            rows[at].append(name)
        chains[a, b] = [a, *between, b]
    return rows, chains


def _neighbours(links: list[Edge]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for a, b in links:
        above.setdefault(b, []).append(a)
        below.setdefault(a, []).append(b)
    return above, below


def _crossings(rows: list[list[str]], links: list[Edge]) -> int:
    """How many pairs of links between neighbouring rows cross."""
    at = {name: (i, j) for i, row in enumerate(rows) for j, name in enumerate(row)}
    total = 0
    for i in range(len(rows) - 1):
        ends = np.array([(at[a][1], at[b][1]) for a, b in links if at[a][0] == i]).reshape(-1, 2)
        upper, lower = (np.sign(column[:, None] - column[None, :]) for column in ends.T)
        total += int(((upper * lower) < 0).sum()) // 2
    return total


def _ordered(rows: list[list[str]], links: list[Edge]) -> list[list[str]]:
    """The order within each row that gave the fewest crossings in sweeps down and up by the barycentre of the neighbours."""
    above, below = _neighbours(links)
    best, fewest = [list(row) for row in rows], _crossings(rows, links)
    rows = [list(row) for row in rows]
    for sweep in range(24):
        near = above if sweep % 2 == 0 else below
        for row in rows if near is above else rows[::-1]:
            at = {name: j for other in rows for j, name in enumerate(other)}
            row.sort(key=lambda name: float(np.mean([at[n] for n in near[name]])) if name in near else float(at[name]))
        crossings = _crossings(rows, links)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _placed(rows: list[list[str]], links: list[Edge], widths: dict[str, float]) -> dict[str, float]:
    """Horizontal places (inches): each near its neighbours' mean, none closer than the boxes and the gap allow."""
    above, below = _neighbours(links)
    x: dict[str, float] = {}
    room = {}
    for i, row in enumerate(rows):
        steps = [0.0, *((widths[a] + widths[b]) / 2 + GAP for a, b in itertools.pairwise(row))]
        room[i] = np.cumsum(steps)
        x.update(zip(row, room[i] - room[i][-1] / 2, strict=True))
    for sweep in range(60):
        for i in range(len(rows)) if sweep % 2 == 0 else reversed(range(len(rows))):
            wanted, weight = [], []
            for name in rows[i]:
                near = above.get(name, []) + below.get(name, [])
                # Dummies pull hard, so that long edges become straight.
                pull = [4.0 if "\0" in n and "\0" in name else 1.0 for n in near]
                wanted.append(float(np.average([x[n] for n in near], weights=pull)) if near else x[name])
                weight.append(sum(pull) + 0.1)
            x.update(zip(rows[i], nondecreasing(np.array(wanted) - room[i], weight) + room[i], strict=True))
    return x


def _text_width(text: str) -> float:
    """Width of a line of text in inches."""
    return float(TextPath((0, 0), text, size=SIZE, prop=FontProperties(family="DejaVu Sans")).get_extents().width) / 72 if text.strip() else 0.0


def _draw_edge(axes: Axes, points: list[Place]) -> None:
    # From the foot of one box to the head of the next; vertical where it leaves, passes a dummy's row and arrives.
    points = [(points[0][0], points[0][1] - HEIGHT / 2), *points[1:-1], (points[-1][0], points[-1][1] + HEIGHT / 2)]
    vertices, codes = [points[0]], [Path.MOVETO]
    for (xa, ya), (xb, yb) in itertools.pairwise(points):
        middle = (ya + yb) / 2
        vertices += [(xa, middle), (xb, middle), (xb, yb)]
        codes += [Path.CURVE4] * 3
    arrow = FancyArrowPatch(path=Path(vertices, codes), arrowstyle="-|>,head_length=4,head_width=2", color="#8A8A8A", lw=1.1, zorder=1)
    axes.add_patch(arrow)


def _draw_box(axes: Axes, place: Place, width: float, text: str, colour: str) -> None:
    x, y = place
    style = "round,pad=0,rounding_size=0.07"
    corner = (x - width / 2, y - HEIGHT / 2)
    axes.add_patch(FancyBboxPatch(corner, width, HEIGHT, boxstyle=style, fc="white", ec="none", zorder=2))
    axes.add_patch(FancyBboxPatch(corner, width, HEIGHT, boxstyle=style, fc=(colour, 0.16), ec=colour, lw=1.3, zorder=3))
    axes.text(x, y, plain(text), ha="center", va="center", fontsize=SIZE, zorder=4)


def _draw_legend(axes: Axes, tints: dict[str, str], left: float) -> None:
    y = MARGIN + 0.02
    for kind, colour in tints.items():
        axes.add_patch(FancyBboxPatch((left, y - 0.06), 0.16, 0.12, boxstyle="round,pad=0,rounding_size=0.03", fc=(colour, 0.16), ec=colour, lw=1.2))
        axes.text(left + 0.24, y, plain(kind), va="center", fontsize=SIZE)
        left += _text_width(kind) + 0.5
