"""The picture of the rules: every rule a box, every needed edge an arrow downwards, nothing on top of anything else."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from tuningfork.publishing.figures import rule_graph
from tuningfork.publishing.figures_graph import _crossings, _layers, _ordered, _placed, _reduced, _with_dummies


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 9))
    names = [f"rule_{i}" for i in range(n)]
    pairs = [(a, b) for a, b in itertools.combinations(names, 2)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []
    return draw(st.permutations(names)), edges


def reachable(edges):
    reach = set(edges)
    while True:
        more = {(a, d) for a, b in reach for c, d in reach if b == c} - reach
        if not more:
            return reach
        reach |= more


@given(graphs())
def test_reduction_keeps_what_can_be_reached_with_no_edge_to_spare(graph):
    _, edges = graph
    kept = _reduced(edges)
    assert set(kept) <= set(edges)
    assert reachable(kept) == reachable(edges)
    assert all(reachable([e for e in kept if e != edge]) != reachable(edges) for edge in kept)


@given(graphs())
def test_every_edge_goes_down(graph):
    names, edges = graph
    layer = _layers(list(names), edges)
    assert set(layer) == set(names)
    assert all(layer[a] < layer[b] for a, b in edges)
    assert min(layer.values()) == 0


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_boxes_of_a_row_stay_apart_and_ordering_never_adds_crossings(graph):
    names, edges = graph
    rows, chains = _with_dummies(_layers(list(names), edges), edges)
    links = [link for chain in chains.values() for link in itertools.pairwise(chain)]
    ordered = _ordered(rows, links)
    assert [sorted(row) for row in ordered] == [sorted(row) for row in rows]
    assert _crossings(ordered, links) <= _crossings(rows, links)
    widths = {name: 1.0 for row in rows for name in row}
    x = _placed(ordered, links, widths)
    assert all(x[b] - x[a] >= 1.0 for row in ordered for a, b in itertools.pairwise(row))


def test_crossings_are_counted():
    assert _crossings([["a", "b"], ["c", "d"]], [("a", "d"), ("b", "c")]) == 1
    assert _crossings([["a", "b"], ["c", "d"]], [("a", "c"), ("a", "d"), ("b", "d")]) == 0
    assert _ordered([["a", "b"], ["c", "d"]], [("a", "d"), ("b", "c")]) in ([["a", "b"], ["d", "c"]], [["b", "a"], ["c", "d"]])


def test_each_rule_has_a_box_within_the_page_and_each_edge_an_arrow():
    nodes = {"download": "catalogues", "select": "samples", "cut_stamps_of_a_very_long_name": "stamps", "all": ""}
    edges = [("download", "select"), ("select", "cut_stamps_of_a_very_long_name"), ("cut_stamps_of_a_very_long_name", "all"), ("download", "all")]
    for reduce, arrows in ((True, 3), (False, 4)):
        figure = rule_graph(edges, nodes, reduce=reduce, heading="Rules")
        axes = figure.axes[0]
        figure.draw_without_rendering()
        texts = {text.get_text(): text.get_window_extent() for text in axes.texts}
        assert set(nodes) <= set(texts) and {"catalogues", "samples", "stamps", "Rules"} <= set(texts)
        assert len([p for p in axes.patches if isinstance(p, FancyArrowPatch)]) == arrows
        boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
        assert all(any(b.x0 <= texts[n].x0 and b.x1 >= texts[n].x1 and b.y0 <= texts[n].y0 and b.y1 >= texts[n].y1 for b in boxes) for n in nodes)
        assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= figure.bbox.x1 and b.y1 <= figure.bbox.y1 for b in [*boxes, *texts.values()])


def test_a_source_stands_just_above_what_needs_it():
    assert _layers(["a", "b", "c", "late"], [("a", "b"), ("b", "c"), ("late", "c")])["late"] == 1


def test_a_circle_and_a_stranger_are_named():
    with pytest.raises(ValueError, match=r"in a circle: .*a.*b"):
        rule_graph([("a", "b"), ("b", "a")], ["a", "b"])
    with pytest.raises(ValueError, match="not among the nodes: c"):
        rule_graph([("a", "c")], ["a"])
