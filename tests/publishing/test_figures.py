"""Figures show the numbers they were given, say when these are simulated, bear any input, and are the same bytes each time."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image
from sklearn.isotonic import IsotonicRegression

from tuningfork.publishing import figures
from tuningfork.publishing.figures_base import nondecreasing, plain, pretty, spread
from tuningfork.publishing.figures_stamps import STATUSES, displayed

CLASSES = ["p_smooth", "p_features", "p_irregular", "p_point_source", "p_unclassifiable"]
RNG = np.random.default_rng(5)
EPOCH = np.arange(1, 21)
HISTORY = {"epoch": EPOCH, "train_loss": 0.1 + 0.2 / EPOCH, "validation_loss": 0.12 + 0.2 / EPOCH + 1e-4 * EPOCH**2}
STAMPS = RNG.normal(0, 1, (5, 16, 16)).astype(np.float32) + 20 * np.exp(-np.hypot(*(np.mgrid[:16, :16] - 8)) / 2)
PREDICTED = RNG.dirichlet([2, 1, 1, 1, 1], 300)
VOTES = np.array([RNG.multinomial(5, p) / 5 for p in PREDICTED])
TRUE = RNG.normal(8.9, 0.2, 120)
ROW = {"group": "f160w", "n": 100, "estimates": {"transfer": (0.1, 0.09, 0.12)}, "baselines": {"class mean": 0.27}}
METRICS = [
    {"label": "transfer", "value": 0.1, "low": 0.09, "high": 0.11, "kind": "network"},
    {"label": "noise floor", "value": 0.08, "low": 0.07, "high": 0.09, "kind": "floor"},
]
MAGNITUDE, SIZE = RNG.uniform(18, 24, 120), RNG.uniform(0.3, 3, 120)
STATUS = np.array(list(STATUSES) * 15)
LATENTS, KINDS = RNG.normal(size=(120, 4)) * [3, 1, 0.1, 0.1], np.array(["smooth", "disk", ""] * 40)
SHARE = {"value": 0.88, "lo": 0.8, "hi": 0.93, "n": 120}
LEVELS = [{"level": 0.5, "value": 0.55, "lo": 0.5, "hi": 0.6}, {"level": 0.9, **SHARE}]
BINS = {"count": [3, 40], "predicted": [0.6, 0.9], "observed": [0.5, 0.8]}
EDGES = [("get", "cut"), ("cut", "train"), ("get", "train"), ("train", "predict"), ("cut", "predict")]

FIGURES = {
    "learning_curves": lambda **k: figures.learning_curves({"clash": HISTORY}, best_epoch=9, baselines={"class mean": 0.277}, **k),
    "stamp_gallery": lambda **k: figures.stamp_gallery(STAMPS, [f"SIM-{i}" for i in range(5)], ncols=3, **k),
    "example_predictions": lambda **k: figures.example_predictions(STAMPS, PREDICTED[:5], VOTES[:5], CLASSES, **k),
    "calibration": lambda **k: figures.calibration(PREDICTED, VOTES, CLASSES, **k),
    "confusion": lambda **k: figures.confusion([[8, 2], [1, 9]], ["round", "barred"], **k),
    "counts": lambda **k: figures.counts({"ok": 1236, "outside_footprint": 3}, **k),
    "rmse_by": lambda **k: figures.rmse_by({"filter": [ROW]}, **k),
    "metric_comparison": lambda **k: figures.metric_comparison(METRICS, **k),
    "regression_scatter": lambda **k: figures.regression_scatter(TRUE, TRUE + 0.1, label="12 + log(O/H)", unit="dex", **k),
    "regression_calibration": lambda **k: figures.regression_calibration(TRUE, TRUE + 0.1, label="12 + log(O/H)", unit="dex", error=TRUE / 90, **k),
    "latent_map": lambda **k: figures.latent_map({"before": LATENTS, "after": -LATENTS}, KINDS, ["smooth", "disk"], **k),
    "sky_map": lambda **k: figures.sky_map(MAGNITUDE, SIZE, STATUS, magnitude=MAGNITUDE, **k),
    "rule_graph": lambda **k: figures.rule_graph(EDGES, ["get", "cut", "train", "predict"], **k),
    "magnitude_size": lambda **k: figures.magnitude_size(MAGNITUDE, SIZE, STATUS, limit=24.5, **k),
    "coverage": lambda **k: figures.coverage(LEVELS, [("f160w", SHARE)], asked=0.9, confidence={"before": BINS, "after": BINS}, errors=(0.1, 0.02), **k),
}


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def test_every_figure_of_the_module_is_tested_here():
    assert set(FIGURES) | {"save"} == set(figures.__all__)


@pytest.mark.parametrize("name", FIGURES)
def test_a_simulated_figure_says_so_across_the_page_and_in_the_file(name, tmp_path):
    for file, simulated in (("f.png", True), ("g.png", False)):
        figure = FIGURES[name](simulated=simulated)
        assert ("SIMULATED" in words(figure)) == simulated
        figures.save(figure, tmp_path / file)
    with Image.open(tmp_path / "f.png") as marked, Image.open(tmp_path / "g.png") as bare:
        assert marked.text["Description"].startswith("SIMULATED") and "Description" not in bare.text
        difference = np.any(np.asarray(marked) != np.asarray(bare), axis=-1)
    rows, columns = np.flatnonzero(difference.any(axis=1)), np.flatnonzero(difference.any(axis=0))
    height, width = difference.shape
    assert rows[0] > 0 and columns[0] > 0 and rows[-1] < height - 1 and columns[-1] < width - 1, "the watermark leaves the page"
    assert np.hypot(np.ptp(rows), np.ptp(columns)) > 0.6 * np.hypot(height, width), "the watermark is small"


@pytest.mark.parametrize("name", ["learning_curves", "rule_graph", "confusion", "regression_scatter"])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_input_gives_the_same_bytes(name, suffix, tmp_path):
    for i in range(2):
        figures.save(FIGURES[name](), tmp_path / f"{i}{suffix}")
    assert (tmp_path / f"0{suffix}").read_bytes() == (tmp_path / f"1{suffix}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"0{suffix}", f"1{suffix}"], "no temporary file stays"


def test_pictures_have_150_dots_an_inch(tmp_path):
    figure = FIGURES["confusion"]()
    figures.save(figure, tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.size == tuple(int(150 * inch) for inch in figure.get_size_inches())


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.png or \.svg, not as f\.pdf"):
        figures.save(FIGURES["confusion"](), tmp_path / "f.pdf")
    assert not list(tmp_path.iterdir())


def test_neither_torch_nor_pyplot_is_imported():
    code = "import sys, tuningfork.publishing.figures; print(sorted({'torch', 'matplotlib.pyplot', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", FIGURES)
def test_the_users_matplotlib_settings_neither_change_nor_matter(name, tmp_path):
    figures.save(FIGURES["confusion"](), tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 25, "axes.grid": False}):
        before = dict(matplotlib.rcParams)
        FIGURES[name](simulated=True)
        assert dict(matplotlib.rcParams) == before
        figures.save(FIGURES["confusion"](), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


# What is drawn --------------------------------------------------------------------------------------------------------


def test_learning_curves_draw_both_losses_the_kept_epoch_and_the_baselines():
    figure = figures.learning_curves({"clash": HISTORY}, best_epoch={"clash": 9}, baselines={"class mean": 0.2772}, loss_label="RMSE")
    lines = figure.axes[0].get_lines()
    np.testing.assert_array_equal(lines[0].get_ydata(), HISTORY["train_loss"])
    np.testing.assert_array_equal(lines[1].get_ydata(), HISTORY["validation_loss"])
    star = next(line for line in lines if line.get_marker() == "*")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (9, HISTORY["validation_loss"][8])
    assert "class mean 0.277" in words(figure)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("epoch", "RMSE")


def test_labels_of_near_baselines_do_not_overlap(tmp_path):
    figure = figures.learning_curves({"a": HISTORY}, baselines={"one": 0.28, "two": 0.2801, "three": 0.2799})
    figures.save(figure, tmp_path / "f.png")
    boxes = sorted((t.get_window_extent() for t in figure.axes[0].texts), key=lambda box: box.y0)
    texts = [matplotlib.text.Text.get_window_extent(t) for t in figure.axes[0].texts]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for i, a in enumerate(texts) for b in texts[:i])


def test_calibration_draws_the_mean_votes_of_each_bin():
    figure = figures.calibration(PREDICTED, VOTES, CLASSES, bins=4)
    upper = next(axes for axes in figure.axes if axes.get_title() == "smooth")
    data = upper.containers[0].lines[0]
    p, v = PREDICTED[:, 0], VOTES[:, 0]
    bins = [(p >= low) & (p < low + 0.25) for low in (0, 0.25, 0.5, 0.75)]
    np.testing.assert_allclose(data.get_xdata(), [p[b].mean() for b in bins if b.any()])
    np.testing.assert_allclose(data.get_ydata(), [v[b].mean() for b in bins if b.any()])
    gap = sum(b.sum() * abs(p[b].mean() - v[b].mean()) for b in bins if b.any()) / len(p)
    assert f"mean gap {gap:.3f}" in words(figure)


def test_calibration_leaves_rows_without_prediction_out():
    broken = PREDICTED.copy()
    broken[:100, 2] = np.nan
    assert "N = 200" in words(figures.calibration(broken, VOTES, CLASSES))


def test_classes_are_no_votes():
    truth = np.eye(5)[PREDICTED.argmax(axis=1)]
    figure = figures.calibration(PREDICTED, truth, CLASSES, classes=True)
    assert "predicted probability" in words(figure) and "vote" not in words(figure)
    figure = figures.example_predictions(STAMPS, PREDICTED[:5], truth[:5], CLASSES, classes=True)
    (marks,) = figure.axes[1].get_lines()
    assert np.isfinite(marks.get_xdata()).sum() == 1 and "votes" not in [text.get_text() for text in figure.legends[0].get_texts()]


def test_counts_are_written_whole():
    figure = figures.counts({"ok": 1236, "outside_footprint": 3})
    assert {"1,236", "3"} <= {text.get_text() for text in figure.axes[0].texts}
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["ok", "outside footprint"]


def test_confusion_writes_counts_and_shares_of_rows():
    figure = figures.confusion([[30, 10], [0, 0]], ["round", "barred"])
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {"30\n75 %", "10\n25 %", "0\n-"}
    (image,) = figure.axes[0].findobj(AxesImage)
    np.testing.assert_allclose(image.get_array(), [[0.75, 0.25], [0, 0]])


def test_error_bars_are_the_intervals():
    figure = figures.rmse_by({"filter": [ROW, ROW | {"group": "f225w", "estimates": {"transfer": (0.2, np.nan, np.nan)}}]})
    (bars,) = figure.axes[0].containers
    segments = bars.lines[2][0].get_segments()
    np.testing.assert_allclose([s[:, 1] for s in segments], [[0.09, 0.12], [0.2, 0.2]])
    assert "f160w\n100" in [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_comparison_keeps_the_order_and_writes_the_numbers():
    figure = figures.metric_comparison(METRICS)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["transfer", "noise floor"]
    assert axes.yaxis_inverted()
    assert "0.1000  [0.0900, 0.1100]" in words(figure)


def test_comparison_refuses_an_unknown_kind():
    with pytest.raises(ValueError, match="x: kind must be one of network"):
        figures.metric_comparison([{"label": "x", "value": 1.0, "kind": "magic"}])


def test_regression_writes_rmse_nmad_and_bias():
    d = np.array([0.1, -0.2, 0.3, 0.0, 0.1])
    figure = figures.regression_scatter(np.arange(5.0), np.arange(5.0) + d, label="Z", unit="dex")
    nmad = 1.4826 * np.median(np.abs(d - np.median(d)))
    assert f"N = 5\nRMSE {np.sqrt((d**2).mean()):.4g} dex\nNMAD {nmad:.4g} dex\nbias {d.mean():+.3g} dex" in words(figure)


def test_many_objects_become_a_density_map():
    t = RNG.normal(0, 1, 5000)
    figure = figures.regression_scatter(t, t + RNG.normal(0, 0.1, 5000), label="Z")
    counts = figure.axes[0].collections[0].get_array()
    assert 4900 < counts.sum() <= 5000


def test_examples_draw_prediction_and_votes():
    figure = figures.example_predictions(STAMPS[:1], PREDICTED[:1], VOTES[:1], CLASSES)
    bars = figure.axes[1]
    np.testing.assert_allclose([patch.get_width() for patch in bars.patches], PREDICTED[0])
    np.testing.assert_allclose(bars.get_lines()[0].get_xdata(), VOTES[0])
    assert [label.get_text() for label in bars.get_yticklabels()] == ["smooth", "features", "irregular", "point source", "unclassifiable"]


def test_magnitudes_and_sizes_of_every_status_are_drawn_or_counted():
    size = SIZE.copy()
    size[STATUS == "too_small"] = np.nan
    figure = figures.magnitude_size(np.ma.masked_less(MAGNITUDE, 0), size, STATUS)
    assert sum(len(line.get_xdata()[np.isfinite(line.get_ydata())]) for line in figure.axes[0].get_lines()) == 105
    assert "too small: 15\n(15 not drawn)" in words(figure)


def test_inputs_are_left_as_they_were():
    stamps, predicted = STAMPS.copy(), PREDICTED[:5].copy()
    for array in (stamps, predicted):
        array.flags.writeable = False
    figures.example_predictions(stamps, predicted, predicted, CLASSES)
    figures.stamp_gallery(stamps)
    np.testing.assert_array_equal(stamps, STAMPS)


# Stamps as images -----------------------------------------------------------------------------------------------------


def test_faint_and_bright_are_both_visible_in_an_asinh_stamp():
    stamp = np.random.default_rng(0).normal(0, 1, (40, 40))
    stamp[20:23, 20:23] += 2000
    stamp[10:13, 10:13] += 10
    asinh, linear = displayed(stamp), displayed(stamp, "linear")
    assert (asinh.min(), asinh.max()) == (0, 1) and asinh[20:23, 20:23].min() > 0.95
    assert 0.15 < asinh[10:13, 10:13].mean() - np.median(asinh) < 0.6
    assert linear[10:13, 10:13].mean() - np.median(linear) < 0.02


def test_pixels_that_are_not_finite_stay_out():
    stamp = STAMPS[0].copy()
    stamp[:4], stamp[5, 5] = np.nan, np.inf
    image = displayed(stamp)
    assert np.isnan(image[:4]).all() and np.isnan(image[5, 5])
    assert np.isfinite(image).sum() == 16 * 12 - 1


@pytest.mark.parametrize("stamp", [np.zeros((8, 8)), np.full((8, 8), 3.5), np.full((8, 8), np.nan), np.zeros((3, 8, 8), np.uint8)])
def test_stamps_without_content_are_no_fault(stamp, tmp_path):
    figures.save(figures.stamp_gallery(stamp[None]), tmp_path / "f.png")


def test_pictures_keep_their_colours():
    picture = RNG.integers(0, 256, (3, 8, 8), dtype=np.uint8)
    np.testing.assert_allclose(displayed(picture), np.moveaxis(picture, 0, -1) / 255)


# Input that is empty, broken or hostile -------------------------------------------------------------------------------

HARD = {
    "no histories": lambda: figures.learning_curves({}),
    "one epoch": lambda: figures.learning_curves({"a": {"epoch": [1], "train_loss": [0.3], "validation_loss": [0.4]}}, best_epoch=1),
    "diverged": lambda: figures.learning_curves({"a": {"epoch": [1, 2, 3], "train_loss": [0.3, np.nan, np.inf], "validation_loss": [0.4, 9.0, np.nan]}}),
    "nothing but NaN": lambda: figures.learning_curves(
        {"a": {"epoch": [1, 2], "train_loss": [np.nan] * 2, "validation_loss": [np.nan] * 2}}, baselines={"x": 0.3}
    ),
    "twelve histories": lambda: figures.learning_curves({f"fold {i}": HISTORY for i in range(12)}),
    "no stamps": lambda: figures.stamp_gallery(np.zeros((0, 8, 8))),
    "titles with formulas": lambda: figures.stamp_gallery(STAMPS[:1], ["$\\frac{$ _^ %\nsecond"]),
    "very long titles": lambda: figures.stamp_gallery(STAMPS[:2], ["x" * 300] * 2),
    "two planes": lambda: figures.stamp_gallery(np.stack([STAMPS, STAMPS], axis=1)),
    "no examples": lambda: figures.example_predictions(np.zeros((0, 8, 8)), np.zeros((0, 2)), None, ["a", "b"]),
    "no votes": lambda: figures.example_predictions(STAMPS, PREDICTED[:5], None, CLASSES),
    "no predictions": lambda: figures.example_predictions(STAMPS, np.full((5, 5), np.nan), VOTES[:5], CLASSES),
    "calibration of nothing": lambda: figures.calibration(np.zeros((0, 2)), np.zeros((0, 2)), ["a", "b"]),
    "calibration of one": lambda: figures.calibration([[0.2, 0.8]], [[0.0, 1.0]], ["a", "b"]),
    "calibration of ten classes": lambda: figures.calibration(np.full((9, 10), 0.1), np.full((9, 10), 0.1), [f"class {i}" for i in range(10)]),
    "coverage of nothing": lambda: figures.coverage([], [], asked=0.9),
    "coverage without intervals": lambda: figures.coverage([{"level": 0.9, "value": 1.0, "lo": None, "hi": None}], [], asked=0.9),
    "coverage of many groups": lambda: figures.coverage(LEVELS, [(f"a very long name of a group {i}", SHARE) for i in range(40)], asked=0.9),
    "one class": lambda: figures.confusion([[4]], ["only"]),
    "confusion of nothing": lambda: figures.confusion(np.zeros((3, 3)), ["a", "b", "c"]),
    "no panels": lambda: figures.rmse_by({}),
    "no groups": lambda: figures.rmse_by({"filter": []}),
    "no rows": lambda: figures.metric_comparison([]),
    "no interval": lambda: figures.metric_comparison([{"label": "r$^2$", "value": -0.4, "low": None, "high": None}]),
    "no objects to regress": lambda: figures.regression_scatter([], [], label="Z"),
    "only NaN to regress": lambda: figures.regression_scatter([np.nan], [1.0], label="Z"),
    "one object": lambda: figures.regression_scatter([9.0], [9.0], label="Z", error=[0.1]),
    "constant prediction": lambda: figures.regression_scatter(TRUE, np.full(120, 8.9), label="Z"),
    "no rules": lambda: figures.rule_graph([], []),
    "no objects": lambda: figures.magnitude_size([], [], []),
    "no sizes": lambda: figures.magnitude_size([20.0, 21.0], [np.nan, -1.0], ["ok", "strange"], limit=24.5),
    "one object in a sample": lambda: figures.magnitude_size([20.0], [1.0], ["ok"]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", HARD)
def test_hard_input_gives_a_figure_without_a_warning(case, tmp_path):
    figures.save(HARD[case](), tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 500


@pytest.mark.parametrize(
    "call",
    [
        lambda: figures.stamp_gallery(STAMPS, ["one"]),
        lambda: figures.example_predictions(STAMPS, PREDICTED[:4], None, CLASSES),
        lambda: figures.calibration(PREDICTED, VOTES, CLASSES[:3]),
        lambda: figures.calibration(PREDICTED, VOTES[:10], CLASSES),
        lambda: figures.confusion([[1, 2]], ["a", "b"]),
        lambda: figures.regression_scatter([1.0], [1.0, 2.0], label="Z"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call):
    with pytest.raises(ValueError, match=r"for|fit"):
        call()


# Helpers --------------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e3, 1e3), max_size=12), st.floats(0, 50))
def test_spread_keeps_the_order_and_the_gap(positions, gap):
    moved = spread(positions, gap)
    order = np.argsort(positions, kind="stable")
    assert (np.diff(moved[order]) >= gap - 1e-6).all()
    if len(positions) and (np.diff(np.sort(positions)) >= gap).all():
        np.testing.assert_allclose(moved, positions, atol=1e-6)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(0.1, 10)), min_size=1, max_size=15))
def test_nondecreasing_is_isotonic_regression(pairs):
    values, weights = np.array(pairs).T
    expected = IsotonicRegression().fit_transform(np.arange(len(values)), values, sample_weight=weights)
    np.testing.assert_allclose(nondecreasing(values, weights), expected, atol=1e-4)


def test_names_for_people():
    assert [pretty(name) for name in ("p_point_source", "oh_p50", "p_")] == ["point source", "oh p50", "p_"]
    assert plain("$5") == r"\$5"


def test_coverage_is_drawn_where_it_was_found():
    figure = figures.coverage(LEVELS, [("f160w", SHARE), ("f$_1$", SHARE)], asked=0.9, confidence={"before": BINS, "after": BINS}, errors=(0.12, 0.03))
    levels, groups, confidence = figure.axes
    found = next(line for line in levels.lines if line.get_marker() == "o")
    np.testing.assert_allclose(found.get_xydata(), [[0.5, 0.55], [0.9, 0.88]])
    assert "f160w (120)" in words(figure) and "f\\$_1\\$ (120)" in words(figure)
    assert "before scaling, calibration error 0.120" in words(figure) and "after scaling, calibration error 0.030" in words(figure)
    hollow = [line for line in confidence.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert all(line.get_xdata().tolist() == [0.6] for line in hollow) and len(hollow) == 2
    assert len(figures.coverage(LEVELS, [], asked=0.9).axes) == 1
    assert groups.get_xlim()[0] < 0.8
