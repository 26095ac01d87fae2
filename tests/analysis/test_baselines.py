"""Baselines: what each may see, what it makes of it, and the real pictures that set the bar."""

import csv

import numpy as np
import pytest
from PIL import Image

from tuningfork.analysis import baselines
from tuningfork.errors import TuningforkError


def test_mean_and_group_mean_by_hand():
    labels = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert baselines.mean_prediction(labels, 2).tolist() == [[0.5, 0.5]] * 2
    found = baselines.group_mean_prediction(labels, np.array(["uv", "ir", "ir"]), np.array(["ir", "uv", "new", "aaa"]))
    np.testing.assert_allclose(found, [[0.25, 0.75], [1, 0], [0.5, 0.5], [0.5, 0.5]])


def test_published_label_means_are_the_published_baseline(shared_data):
    """CANDELS .2125 and CLASH .2772 with the class mean, .2487 with the per-filter mean: computed from the same files by others."""
    from tuningfork.analysis import metrics

    for name, expected in (("CANDELS", 0.2125), ("CLASH", 0.2772)):
        with open(shared_data / "candels_clash_hst" / f"{name}_labels.csv") as file:
            rows = list(csv.DictReader(file))
        labels = np.array([[float(v) for k, v in r.items() if k != "ID"] for r in rows])
        found = metrics.per_sample_rmse(baselines.mean_prediction(labels, len(labels)), labels).mean()
        assert found == pytest.approx(expected, abs=2e-4)
    bands = np.array([r["ID"].split("_")[1] for r in rows])
    found = metrics.per_sample_rmse(baselines.group_mean_prediction(labels, bands, bands), labels).mean()
    assert found == pytest.approx(0.2487, abs=2e-4)


def test_no_training_rows_is_an_error():
    with pytest.raises(TuningforkError, match="at least one training row"):
        baselines.mean_prediction(np.zeros((0, 3)), 4)


def test_border_features_see_only_the_border():
    generator = np.random.default_rng(0)
    pixels = generator.normal(0, 1, (4, 2, 20, 20)).astype(np.float32)
    changed = pixels.copy()
    changed[:, :, 2:-2, 2:-2] += 100
    np.testing.assert_array_equal(baselines.border_features(pixels), baselines.border_features(changed))
    changed[:, :, 0, 7] += 1
    assert (baselines.border_features(pixels) != baselines.border_features(changed)).any()


def test_border_of_a_large_picture_is_thinned():
    assert baselines.border_features(np.zeros((1, 3, 300, 300), np.uint8)).shape == (1, 2 * 3 * 512)


def test_table_features_keep_unknown_values_and_spell_out_the_band():
    columns = {"mag": np.array([20.0, np.nan]), "band": np.array(["f160w", "f225w"])}
    found = baselines.table_features(columns)
    np.testing.assert_array_equal(found, [[20, 1, 0], [np.nan, 0, 1]])
    with pytest.raises(TuningforkError, match="nothing to see"):
        baselines.table_features({"other": np.zeros(2)}, category=None)


def test_forest_learns_from_features_with_gaps_and_is_seeded():
    generator = np.random.default_rng(1)
    x = generator.uniform(0, 1, (400, 2))
    y = np.column_stack([x[:, 0] > 0.5, x[:, 0] <= 0.5]).astype(float)
    x[::7, 1] = np.nan
    found = baselines.fit_predict_forest(x[:300], y[:300], x[300:], seed=1, trees=20)
    assert np.abs(found - y[300:]).mean() < 0.1
    np.testing.assert_array_equal(found, baselines.fit_predict_forest(x[:300], y[:300], x[300:], seed=1, trees=20))


def test_to_fractions_is_a_simplex():
    found = baselines.to_fractions(np.array([[0.5, -0.1, 0.5], [-1.0, -1.0, -1.0]]))
    np.testing.assert_allclose(found, [[0.5, 0, 0.5], [1 / 3] * 3])


def gaussians(sigmas, ratio=1.0, side=64, colour=(1.0, 1.0, 1.0)):
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    noise = np.random.default_rng(0).normal(0, 0.3, (len(sigmas), 3, side, side))
    shapes = np.stack([np.exp(-((x / s) ** 2 + (y / s / ratio) ** 2) / 2) for s in sigmas])
    return 200 * shapes[:, None] * np.array(colour)[:, None, None] + noise + 10


def test_picture_features_measure_size_shape_and_colour():
    half = lambda p: baselines.picture_features(p)[:, : baselines.picture_features(p).shape[1] // 2]  # noqa: E731
    red_over_green, size, axis_ratio = 6, 10, 11
    small, large = half(gaussians([4.0, 8.0]))
    assert large[size] - small[size] == pytest.approx(np.log(2), abs=0.05)
    assert half(gaussians([6.0], ratio=0.5))[0, axis_ratio] == pytest.approx(0.5, abs=0.05)
    assert half(gaussians([6.0], colour=(2.0, 1.0, 1.0)))[0, red_over_green] == pytest.approx(-np.log(2), abs=0.02)


@pytest.mark.parametrize("pixels", [np.zeros((2, 1, 16, 16)), np.full((2, 3, 16, 16), 7, np.uint8), np.full((2, 3, 16, 16), 1e30)])
def test_picture_features_of_constant_pictures_are_finite(pixels):
    assert np.isfinite(baselines.picture_features(pixels)).all()


def test_features_of_a_picture_do_not_depend_on_its_company():
    pixels = gaussians([3.0, 5.0, 9.0])
    np.testing.assert_allclose(baselines.picture_features(pixels)[1:2], baselines.picture_features(pixels[1:2]), rtol=1e-9)


def test_ridge_on_real_pictures_reaches_the_known_bar(shared_data):
    folder = shared_data / "sdss_metallicity"
    with open(folder / "labels.csv") as file:
        rows = list(csv.DictReader(file))
    labels = np.array([[float(r["oh_p50"])] for r in rows])
    pixels = np.stack([np.asarray(Image.open(folder / r["file"])).transpose(2, 0, 1) for r in rows])
    features, border = baselines.picture_features(pixels), baselines.border_features(pixels)
    fold = np.random.default_rng(0).permutation(len(rows)) % 5
    errors = {"ridge": [], "mean": [], "border": []}
    for k in range(5):
        fit, held = fold != k, fold == k
        errors["ridge"] += [baselines.fit_predict_ridge(features[fit], labels[fit], features[held]) - labels[held]]
        errors["mean"] += [baselines.mean_prediction(labels[fit], held.sum()) - labels[held]]
        errors["border"] += [baselines.fit_predict_ridge(border[fit], labels[fit], border[held]) - labels[held]]
    rmse = {name: np.sqrt(np.mean(np.concatenate(e) ** 2)) for name, e in errors.items()}
    assert rmse["ridge"] < 0.125
    assert 0.17 < rmse["mean"] < 0.21
    assert rmse["border"] > 0.16
