"""What the wide surveys need of figures: maps, latent spaces, parts of a loss, calibrated regressions, many classes."""

import matplotlib.text
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuningfork.publishing import figures
from tuningfork.publishing.figures_sky import _widest_gap, principal

RNG = np.random.default_rng(11)
NAMES = [f"unbarred_loose_spiral_{k}" for k in range(10)]


def words(figure):
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


@given(st.lists(st.floats(0, 359.9), min_size=1, max_size=30))
def test_a_map_starts_after_the_widest_empty_arc(ra):
    start = _widest_gap(np.array(ra))
    turned = np.sort(np.mod(np.array(ra) - start, 360))
    gaps = np.diff(np.append(np.sort(ra), np.min(ra) + 360))
    assert turned[-1] == pytest.approx(360 - gaps.max(), abs=1e-6) or turned[-1] == pytest.approx(360, abs=1e-6)


def test_a_field_across_zero_hours_is_not_torn_apart():
    figure = figures.sky_map([359.0, 1.0, 0.5], [0.0, 1.0, 2.0], ["ok", "ok", "absent"])
    drawn = np.concatenate([line.get_xdata() for line in figure.axes[0].lines])
    assert np.ptp(drawn) == pytest.approx(2.0) and figure.axes[0].xaxis_inverted()
    assert len(figure.axes) == 1, "no magnitudes, no histogram"


def test_objects_without_position_are_counted():
    figure = figures.sky_map([10.0, np.nan], [0.0, 1.0], ["ok", "ok"], magnitude=[20.0, np.nan], size_label="side of every stamp: 33.5 arcsec")
    text = words(figure) + "".join(t.get_text() for legend in figure.legends for t in legend.get_texts())
    assert "1 without position" in text and "unknown for 1 objects" in text and "33.5 arcsec" in text


def test_principal_components_are_those_of_the_covariance():
    block = RNG.normal(size=(400, 3)) @ np.diag([5.0, 2.0, 0.1]) + 7
    place = principal({"a": block})["a"]
    assert np.allclose(np.var(place, axis=0), np.sort(np.linalg.eigvalsh(np.cov(block.T, bias=True)))[::-1][:2])
    assert np.allclose(place.mean(axis=0), 0)


def test_latents_lie_below_the_comparison_in_the_order_given():
    rows = [{"label": "vae", "value": 0.6, "kind": "network"}]
    latents = {"vae": RNG.normal(size=(30, 3)), "vae-adapted": RNG.normal(size=(30, 3))}
    figure = figures.metric_comparison(rows, latents=latents, label=["smooth"] * 30, class_names=["smooth", "disk"])
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == ["vae", "vae-adapted"]
    assert "0.6000" in words(figure)


def test_no_latents_no_fault(tmp_path):
    figures.save(figures.latent_map({}, [], ["smooth"]), tmp_path / "a.png")
    figures.save(figures.latent_map({"vae": np.full((5, 3), np.nan)}, ["smooth"] * 5, ["smooth"]), tmp_path / "b.png")


def test_parts_of_a_loss_have_panels_of_their_own():
    epoch = np.arange(1.0, 6)
    common = {"epoch": epoch, "train_loss": epoch, "validation_loss": epoch, "learning_rate": epoch, "seconds": epoch}
    figure = figures.learning_curves({"vae": common | {"kl": epoch}, "adapted": common | {"kl": 2 * epoch, "discrepancy": epoch / 9}})
    titles = {axes.get_title(): len(axes.lines) for axes in figure.axes[1:]}
    assert titles == {"divergence of the latents (nats)": 2, "discrepancy of the samples": 1}
    assert len(figures.learning_curves({"cnn": common}).axes) == 1


def test_errors_that_are_too_small_are_called_so():
    true = RNG.normal(8.9, 0.2, 2000)
    predicted = true + RNG.normal(0, 0.1, 2000)
    honest = words(figures.regression_calibration(true, predicted, label="x", error=np.full(2000, 0.1)))
    small = words(figures.regression_calibration(true, predicted, label="x", error=np.full(2000, 0.02)))
    assert "68.3 % lie within 1.0 standard" in honest and "only a part" not in honest
    assert "within 5.0 standard" in small and "only a part" in small


def test_no_error_no_second_panel_and_no_object_no_fault(tmp_path):
    assert len(figures.regression_calibration([1.0, 2.0], [1.0, 2.0], label="x").axes) == 1
    figures.save(figures.regression_calibration([np.nan], [1.0], label="x"), tmp_path / "a.png")


def test_bins_of_few_objects_are_hollow():
    predicted = np.repeat([[0.25, 0.75], [0.65, 0.35]], [50, 2], axis=0)
    target = np.tile([[1.0, 0.0], [0.0, 1.0]], (26, 1))
    hollow = [line for line in figures.calibration(predicted, target, ["a", "b"]).axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xdata().tolist() for line in hollow] == [[0.65]]


def test_empty_cells_of_many_classes_are_not_written():
    text = words(figures.confusion(np.diag(np.arange(1, 11)), NAMES))
    assert "0 %" not in text.replace("100 %", "") and "10\n100 %" in text
    assert "0\n0 %" in words(figures.confusion(np.eye(2), ["a", "b"])), "of two classes every cell is"


def test_long_names_of_groups_do_not_run_into_one_another(tmp_path):
    rows = [{"group": name, "n": 20, "estimates": {"cnn": (0.5, 0.4, 0.6)}} for name in NAMES]
    figure = figures.rmse_by({"true class": rows})
    figures.save(figure, tmp_path / "a.png")
    assert {label.get_rotation() for label in figure.axes[0].get_xticklabels()} == {35.0}
    short = figures.rmse_by({"filter": [{**row, "group": "f160w"} for row in rows[:4]]})
    assert {label.get_rotation() for label in short.axes[0].get_xticklabels()} == {0.0}
