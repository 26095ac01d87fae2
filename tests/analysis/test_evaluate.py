"""The report's numbers on small samples whose answer is known."""

import json

import numpy as np
import pytest

from tuningfork.analysis.evaluate import compare, evaluate
from tuningfork.analysis.rows import bins, filter_group, join
from tuningfork.errors import SampleError
from tuningfork.stamps.store import StampSet, StampShard, write_shard

TARGETS = ["p_smooth", "p_features", "p_irregular"]
BANDS = np.array(["f225w", "f606w", "f160w"])


def sample(n=360, noise=0.05, seed=0, folds=0):
    """Galaxies in three bands and twelve fields; the network's error is `noise`."""
    generator = np.random.default_rng(seed)
    band = BANDS[np.arange(n) % 3]
    field = np.arange(n) // 3 % 12
    # The truth depends on the band, so that the per-filter mean beats the mean.
    truth = np.array([generator.dirichlet(0.5 * a) for a in (np.array([1, 1, 6]), np.array([1, 6, 1]), np.array([6, 1, 1]))[0:3] for _ in range(n // 3)])
    truth = truth.reshape(3, n // 3, 3).transpose(1, 0, 2).reshape(n, 3)
    votes = generator.integers(3, 9, n)
    labels = generator.multinomial(votes, truth) / votes[:, None]
    predicted = np.clip(truth + generator.normal(0, noise, truth.shape), 1e-6, None)
    predicted /= predicted.sum(axis=1, keepdims=True)
    split = np.where(field < 6, "train", np.where(field < 7, "validation", np.where(field < 11, "test", "unlabelled")))
    ids = np.array([f"o{i:04d}" for i in range(n)])
    objects = {
        "object_id": ids,
        "galaxy_id": np.array([f"g{i // 3}" for i in range(n)]),
        "group_id": np.array([f"cluster{f}" for f in field]),
        "band": band,
        "mag": generator.uniform(19, 24.5, n),
        "stamp_arcsec": generator.uniform(2, 9, n),
        "zoom": generator.uniform(0.4, 2.5, n),
        "split": split,
        "labelled": split != "unlabelled",
        "n_votes": votes.astype(float),
        **{t: np.where(split == "unlabelled", np.nan, labels[:, k]) for k, t in enumerate(TARGETS)},
    }
    order = generator.permutation(n)
    predictions = {
        "object_id": ids[order],
        "status": np.full(n, "ok"),
        "fold": np.where(split[order] == "train", field[order] % 3, -1) if folds else np.full(n, -1),
        **{t: predicted[order, k] for k, t in enumerate(TARGETS)},
    }
    return objects, predictions


def run(objects, predictions, **changes):
    return evaluate(objects, predictions, **{"targets": TARGETS, "task": "fractions", "seed": 1, "resamples": 200, **changes})


def test_network_stands_between_floor_and_filter_mean():
    report = run(*sample())
    test = report["sections"]["test"]
    assert test["n"] == 120
    assert test["floor"]["votes_predictions"]["value"] < test["headline"]["value"] < test["baselines"]["filter mean"]["headline"]["value"]
    assert test["baselines"]["filter mean"]["headline"]["value"] < test["baselines"]["mean"]["headline"]["value"]
    assert test["baselines"]["filter mean"]["difference"]["hi"] < 0
    assert set(test["baselines"]) == {"mean", "filter mean", "size and magnitude"}


def test_report_is_strict_json_and_repeatable():
    first = run(*sample(folds=3))
    assert json.dumps(first, allow_nan=False) == json.dumps(run(*sample(folds=3)), allow_nan=False)


def test_breakdowns_by_filter_group_magnitude_and_zoom():
    by = run(*sample())["sections"]["test"]["by"]
    assert set(by) == {"band", "filter_group", "magnitude", "zoom"}
    assert set(by["filter_group"]) == {"UV", "optical", "NIR"}
    assert by["band"]["f160w"]["headline"]["n"] == 40
    assert sum(line["headline"]["n"] for line in by["magnitude"].values()) == 120
    assert set(run(*sample())["sections"]["test"]["calibration"]) == {"all", *BANDS}


def test_few_clusters_are_resampled_by_galaxy_and_said_so():
    objects, predictions = sample()
    test = run(objects, predictions)["sections"]["test"]
    assert (test["groups"], test["n_groups"]) == ("galaxy_id", 40)
    objects["group_id"] = objects["galaxy_id"]
    assert run(objects, predictions)["sections"]["test"]["groups"] == "group_id"


def test_out_of_fold_baselines_do_not_see_their_fold():
    objects, predictions = sample(folds=3)
    # A label that is constant in each fold: a baseline that saw the fold would be right, one that did not is wrong.
    fold = join(objects, predictions, TARGETS, "fractions").fold()
    for k, target in enumerate(TARGETS):
        objects[target] = np.where(fold >= 0, fold == k, objects[target])
    section = run(objects, predictions)["sections"]["out_of_fold"]
    assert section["n"] == (fold >= 0).sum()
    assert section["baselines"]["mean"]["metrics"]["accuracy"]["value"] == 0.0


def test_rows_without_stamp_or_label_do_not_count():
    objects, predictions = sample()
    predictions["status"][:] = np.where(np.isin(predictions["object_id"], objects["object_id"][21:27]), "absent", "ok")
    for target in TARGETS:
        predictions[target] = np.where(predictions["status"] == "absent", np.nan, predictions[target])
    report = run(objects, predictions)
    assert report["sections"]["test"]["n"] == 114
    assert report["rows"]["usable"] == 354


def test_objects_without_prediction_are_kept_apart():
    objects, predictions = sample()
    predictions = {name: values[:300] for name, values in predictions.items()}
    assert run(objects, predictions)["rows"]["all"] == 360


def test_pixel_baselines_join(tmp_path):
    objects, predictions = sample()
    generator = np.random.default_rng(3)
    pixels = generator.normal(0, 1, (360, 1, 16, 16)).astype(np.float32)
    shard = StampShard(
        object_id=objects["object_id"][::-1],
        status=np.full(360, "ok"),
        reason=np.full(360, ""),
        pixels=pixels,
        scalars={"sky": np.zeros(360), "sky_sigma": np.ones(360)},
    )
    write_shard(tmp_path / "00.arrow", shard)
    beside = run(objects, predictions, stamps=StampSet([tmp_path / "00.arrow"]))["sections"]["test"]["baselines"]
    assert {"border pixels", "picture features"} <= set(beside)
    # Noise holds no morphology.
    assert beside["border pixels"]["headline"]["value"] > 0.9 * beside["mean"]["headline"]["value"]


def test_confusion_and_accuracy_count_rows_with_a_majority():
    objects, predictions = sample()
    test = run(objects, predictions)["sections"]["test"]
    counts = np.array(test["confusion"]["counts"])
    assert counts.sum() == test["confusion"]["n"] == test["metrics"]["accuracy"]["n"] < 120
    assert test["metrics"]["accuracy"]["value"] == pytest.approx(np.trace(counts) / counts.sum())


def test_classes_from_a_column_of_names():
    objects, predictions = sample()
    names = np.array(TARGETS)[np.nan_to_num(np.column_stack([objects[t] for t in TARGETS])).argmax(axis=1)]
    objects = {k: v for k, v in objects.items() if k not in TARGETS} | {"shape": names}
    report = run(objects, predictions, task="classes", label="shape")
    assert report["headline"] == "accuracy"
    assert report["better"] == "higher"
    assert report["sections"]["test"]["metrics"]["accuracy"]["n"] == 120
    objects["shape"] = np.where(names == names[0], "spiral", names)
    with pytest.raises(SampleError, match="'spiral', which is none of the classes"):
        run(objects, predictions, task="classes", label="shape")


def regression(n=200, noise=0.1):
    generator = np.random.default_rng(9)
    truth = generator.normal(8.9, 0.2, n)
    ids = np.array([f"s{i}" for i in range(n)])
    split = np.where(np.arange(n) % 2, "train", "test")
    objects = {"object_id": ids, "galaxy_id": ids, "group_id": ids, "split": split, "oh_p50": truth, "oh_sigma": np.full(n, 0.03)}
    predictions = {"object_id": ids, "status": np.full(n, "ok"), "oh_p50": truth + generator.normal(0, noise, n), "oh_p50_std": np.full(n, noise)}
    return objects, predictions


def test_regression_section():
    report = evaluate(*regression(), targets=["oh_p50"], task="regression", seed=0, label_sigma="oh_sigma", resamples=200)
    test = report["sections"]["test"]
    assert test["metrics"]["oh_p50"]["rmse"]["value"] == pytest.approx(0.1, abs=0.02)
    assert test["headline"] == test["metrics"]["oh_p50"]["rmse"]
    assert test["baselines"]["mean"]["headline"]["value"] == pytest.approx(0.2, abs=0.03)
    assert test["floor"]["errors"]["value"] == pytest.approx(0.03)
    assert test["calibration"]["oh_p50"]["within_one_std"] == pytest.approx(0.683, abs=0.12)


def test_two_targets_are_compared_in_units_of_their_scatter():
    objects, predictions = regression()
    for table in (objects, predictions):
        table["mass"] = table["oh_p50"] * 100
    report = evaluate(objects, predictions, targets=["oh_p50", "mass"], task="regression", seed=0, resamples=50)
    assert report["headline"] == "standardised_rmse"
    assert report["sections"]["test"]["headline"]["value"] == pytest.approx(0.5, abs=0.1)


def test_compare_finds_the_better_model_and_not_a_tie():
    objects, good = sample(noise=0.02)
    _, bad = sample(noise=0.3)
    options = {"targets": TARGETS, "task": "fractions", "seed": 0, "resamples": 300}
    found = compare(objects, good, bad, names=("transfer", "scratch"), **options)
    assert found["significant"] and found["difference"]["hi"] < 0
    assert found["difference"]["value"] == pytest.approx(found["transfer"]["value"] - found["scratch"]["value"])
    same = compare(objects, good, good, **options)
    assert not same["significant"] and same["difference"]["value"] == 0


def test_wrong_tables_are_named():
    objects, predictions = sample()
    with pytest.raises(SampleError, match="no column p_bar"):
        run(objects, predictions, targets=["p_bar"])
    with pytest.raises(SampleError, match="belong to no object, the first is x"):
        run(objects, predictions | {"object_id": np.array(["x", *predictions["object_id"][1:]])})
    with pytest.raises(SampleError, match="o0000 stands 2 times in the objects table"):
        run(objects | {"object_id": np.array(["o0000", *objects["object_id"][:-1]])}, predictions)
    with pytest.raises(SampleError, match="unknown task"):
        run(objects, predictions, task="ranking")


def test_a_sample_without_labels_has_no_sections():
    objects, predictions = sample()
    objects |= {t: np.full(360, np.nan) for t in TARGETS}
    assert run(objects, predictions)["sections"] == {"test": None, "out_of_fold": None}


def test_filter_groups_and_bins():
    assert filter_group(np.array(["f225w", "F390W", "f435w", "f850lp", "f105w", "f160w", "r"])).tolist() == [
        "UV",
        "UV",
        "optical",
        "optical",
        "NIR",
        "NIR",
        "r",
    ]
    assert bins(np.array([19.0, 20.0, 24.0, np.nan]), (20, 24), "mag").tolist() == ["< 20 mag", "20 to 24 mag", ">= 24 mag", ""]


def test_several_ticks_a_vote_lower_the_floor_of_binomial_panels():
    objects, predictions = sample()
    floors = {}
    for ticks in (1.0, 1.6):
        raw = {f"f_{t.removeprefix('p_')}": np.clip(ticks * objects[t], 0, 1) for t in TARGETS}
        report = run(objects | raw, predictions, vote_model="binomial")
        floors[ticks] = report["sections"]["test"]["floor"]["votes_predictions"]
    assert floors[1.6]["value"] < floors[1.0]["value"]
    assert floors[1.0]["model"] == "binomial"
