"""From predictions to calibration.json, back onto predictions, and what it is worth on rows that it has not seen."""

import json
import math

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from tuningfork.analysis.calibrate import fit_calibration
from tuningfork.analysis.calibration import apply_calibration, calibrated_table
from tuningfork.analysis.conformal import conformal_quantile
from tuningfork.analysis.coverage import coverage_report, share
from tuningfork.analysis.metrics import calibration_error
from tuningfork.analysis.temperature import fit_temperature, scale
from tuningfork.errors import TuningforkError
from tuningfork.shares import wilson

CLASSES = ["disk", "edge on", "merger"]


def _sides(n):
    return np.array(["train", "validation", "test"])[np.arange(n) % 3]


def classes(n=1800, seed=0, sure=3.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.3, (n, 3))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    k = np.array([rng.choice(3, p=row) for row in true])
    told = np.exp(sure * logits)
    told /= told.sum(axis=1, keepdims=True)
    ids = np.array([f"o{i:04d}" for i in range(n)])
    objects = {"object_id": ids, "galaxy_id": ids, "group_id": np.array([f"g{i // 3}" for i in range(n)]), "split": _sides(n), "label": np.array(CLASSES)[k]}
    objects["band"] = np.where(np.arange(n) % 2, "f160w", "f814w")
    predictions = {"object_id": ids, "status": np.full(n, "ok")} | {name: told[:, j] for j, name in enumerate(CLASSES)}
    return objects, predictions


def numbers(n=1800, seed=1, **extra):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.2, 2, n)
    truth = rng.normal(8.9, 0.2, n)
    ids = np.array([f"o{i:04d}" for i in range(n)])
    objects = {"object_id": ids, "galaxy_id": ids, "group_id": ids, "split": _sides(n), "oh": truth, "mag": 17 + x}
    predictions = {"object_id": ids, "status": np.full(n, "ok"), "oh": truth + rng.normal(0, 0.05 * x), "oh_std": 0.01 * x}
    return objects, {name: values for name, values in (predictions | extra).items() if values is not None}


def test_a_calibration_sees_validation_rows_alone():
    objects, predictions = classes()
    found = fit_calibration(objects, predictions, targets=CLASSES, task="classes", model="m", sample="s")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    other = {name: np.array(values) for name, values in objects.items()}
    other["label"][other["split"] != "validation"] = "merger"
    spoilt = {name: np.where(objects["split"] == "validation", v, v[::-1]) if name in CLASSES else v for name, v in predictions.items()}
    assert fit_calibration(other, spoilt, targets=CLASSES, task="classes", model="m", sample="s") == found
    # by hand, from the same rows
    here = objects["split"] == "validation"
    p = np.column_stack([predictions[name] for name in CLASSES])[here]
    y = (objects["label"][here][:, None] == np.array(CLASSES)).astype(float)
    t = fit_temperature(p, y).value
    assert found["temperature"]["value"] == t and 2 < t < 4
    scores = 1 - (scale(p, t) * y).sum(axis=1)
    assert found["set"]["levels"]["0.9"]["disk"] == pytest.approx(conformal_quantile(scores, 0.9), abs=1e-12)
    assert found["rows"] == {"n": 600, "split": "validation", "out_of_fold": 0, "galaxies": 600}


def test_classes_get_calibrated_probabilities_and_sets():
    objects, predictions = classes()
    found = fit_calibration(objects, predictions, targets=CLASSES, task="classes")
    predictions["disk"] = np.where(np.arange(1800) == 7, np.nan, predictions["disk"])
    made = apply_calibration(predictions, found)
    p = np.column_stack([made[name] for name in CLASSES])
    np.testing.assert_allclose(np.delete(p, 7, axis=0).sum(axis=1), 1)
    np.testing.assert_array_equal(made["edge on_raw"], predictions["edge on"])
    assert made["set"][7] == "" and np.isnan(p[7]).all()
    quantile = found["set"]["levels"]["0.9"]["disk"]
    for i in (0, 1, 2, 500):
        expected = {name for name in CLASSES if 1 - made[name][i] <= quantile} or {max(CLASSES, key=lambda name: made[name][i])}
        assert set(made["set"][i].split("|")) == expected
        assert made["set"][i].split("|")[0] == max(CLASSES, key=lambda name: made[name][i])
    larger = apply_calibration(predictions, found, 0.99)["set"]
    assert all(set(small.split("|")) <= set(large.split("|")) for small, large in zip(made["set"], larger, strict=True)) and (larger != made["set"]).any()
    untouched = fit_calibration(objects, predictions, targets=CLASSES, task="classes", temperature=False)
    assert untouched["temperature"] is None and apply_calibration(predictions, untouched)["disk"] is predictions["disk"]


def test_a_rare_class_is_in_every_set_until_there_are_rows_of_it():
    objects, predictions = classes(n=300)
    rare = np.flatnonzero((objects["label"] == "merger") & (objects["split"] == "validation"))
    objects["split"][rare[5:]] = "guard"
    found = fit_calibration(objects, predictions, targets=CLASSES, task="classes", class_conditional=True)
    assert found["set"]["rows"]["merger"] == 5 and found["set"]["levels"]["0.9"]["merger"] is None
    assert found["set"]["levels"]["0.9"]["disk"] is not None
    assert all("merger" in text.split("|") for text in apply_calibration(predictions, found)["set"])


def test_numbers_get_intervals_that_follow_what_the_network_knows():
    objects, predictions = numbers()
    found = fit_calibration(objects, predictions, targets=["oh"], task="regression", coverage=0.8)
    assert found["intervals"]["oh"]["method"] == "spread" and found["temperature"] is None
    made = apply_calibration(predictions, found)
    width = made["oh_hi"] - made["oh_lo"]
    assert np.corrcoef(width, predictions["oh_std"])[0, 1] > 0.99
    # out-of-fold rows have the spread of other networks than the test rows: one width for all
    folded = fit_calibration(objects, {**predictions, "fold": np.where(objects["split"] == "test", -1, 0)}, targets=["oh"], task="regression")
    assert folded["intervals"]["oh"]["method"] == "absolute" and folded["rows"]["out_of_fold"] == 600
    sigma = fit_calibration(*numbers(oh_sigma=np.full(1800, 0.1)), targets=["oh"], task="regression")
    assert sigma["intervals"]["oh"]["method"] == "sigma"


def test_too_few_rows_promise_nothing_and_say_so():
    objects, predictions = numbers(n=24)
    found = fit_calibration(objects, predictions, targets=["oh"], task="regression")
    assert found["rows"]["n"] == 8 and found["intervals"]["oh"]["levels"]["0.9"] is None and found["intervals"]["oh"]["levels"]["0.8"] is not None
    made = apply_calibration(predictions, found)
    assert np.isneginf(made["oh_lo"]).all() and np.isposinf(made["oh_hi"]).all()
    objects, predictions = numbers(n=24)
    fractions = {**objects, "a": np.full(24, 0.25), "b": np.full(24, 0.75)}
    told = {"object_id": objects["object_id"], "status": predictions["status"], "a": np.full(24, 0.5), "b": np.full(24, 0.5)}
    made = apply_calibration(told, fit_calibration(fractions, told, targets=["a", "b"], task="fractions"))
    assert (made["a_lo"] == 0).all() and (made["a_hi"] == 1).all() and "a_raw" not in made
    nobody = {**objects, "split": np.full(24, "train")}
    assert fit_calibration(nobody, predictions, targets=["oh"], task="regression")["rows"]["n"] == 0
    few = fit_calibration(*classes(n=24), targets=CLASSES, task="classes")
    assert few["temperature"]["value"] == 1 and "8 labelled validation rows" in few["temperature"]["reason"]
    assert set(map(len, (text.split("|") for text in apply_calibration(classes(n=24)[1], few)["set"]))) == {3}


def test_fractions_stay_between_nothing_and_all_and_keep_their_values_unless_asked():
    rng = np.random.default_rng(6)
    objects, predictions = numbers(n=900)
    votes = rng.dirichlet([1, 2], 900)
    told = np.clip(votes + rng.normal(0, 0.1, votes.shape), 0.001, None)
    told /= told.sum(axis=1, keepdims=True)
    objects |= {"a": votes[:, 0], "b": votes[:, 1]}
    predictions = {"object_id": predictions["object_id"], "status": predictions["status"], "a": told[:, 0], "b": told[:, 1]}
    plain = apply_calibration(predictions, fit_calibration(objects, predictions, targets=["a", "b"], task="fractions"))
    assert plain["a"] is predictions["a"] and plain["a_lo"].min() == 0 and plain["b_hi"].max() == 1
    hot = fit_calibration(objects, predictions, targets=["a", "b"], task="fractions", temperature=True)
    assert hot["temperature"]["value"] != 1 and "a_raw" in apply_calibration(predictions, hot)
    own = {**predictions, "a_sigma": np.full(900, 0.1), "b_sigma": np.full(900, 0.1)}
    assert fit_calibration(objects, own, targets=["a", "b"], task="fractions", temperature=True)["temperature"]["value"] == 1


def test_a_calibration_of_another_model_or_version_is_refused():
    objects, predictions = classes(n=300)
    found = fit_calibration(objects, predictions, targets=CLASSES, task="classes", model="m")
    with pytest.raises(TuningforkError, match="no column merger: they are of another model than the calibration of m"):
        apply_calibration({name: v for name, v in predictions.items() if name != "merger"}, found)
    with pytest.raises(TuningforkError, match="format 0"):
        apply_calibration(predictions, {**found, "format": 0})
    with pytest.raises(TuningforkError, match=r"no coverage 0.85; it has 0.5"):
        apply_calibration(predictions, found, 0.85)


def test_a_table_keeps_its_units_and_masks():
    objects, predictions = numbers(n=300)
    found = fit_calibration(objects, predictions, targets=["oh"], task="regression")
    table = Table({"object_id": predictions["object_id"], "in_training": objects["split"] == "train"})
    table["oh"] = MaskedColumn(predictions["oh"], mask=np.arange(300) == 4, unit="dex")
    table["oh_std"] = predictions["oh_std"]
    made = calibrated_table(table, found)
    assert str(made["oh_lo"].unit) == "dex" and made["oh_lo"].mask[4] and made["oh_lo"].mask.sum() == 1
    np.testing.assert_allclose(made["oh_hi"][5], apply_calibration(predictions, found)["oh_hi"][5])
    assert "oh_lo" not in table.colnames and made["in_training"].dtype == bool


def test_what_is_reported_is_what_is_counted():
    objects, predictions = classes()
    found = fit_calibration(objects, predictions, targets=CLASSES, task="classes", sample="s")
    report = coverage_report(objects, predictions, found, seed=1, by=("band", "label"), resamples=50)
    json.dumps(report, allow_nan=False)
    made, test = apply_calibration(predictions, found), objects["split"] == "test"
    inside = np.array([name in text.split("|") for name, text in zip(objects["label"][test], made["set"][test], strict=True)])
    assert report["coverage"]["value"] == inside.mean() and report["coverage"]["lo"] < 0.9 < report["coverage"]["hi"]
    assert report["size"]["value"] == np.mean([len(text.split("|")) for text in made["set"][test]])
    assert sum(report["sizes"].values()) == 600
    merger = objects["label"][test] == "merger"
    assert report["by"]["label"]["merger"]["coverage"]["value"] == pytest.approx(inside[merger].mean())
    p, y = (np.column_stack(v)[test] for v in ([predictions[n] for n in CLASSES], [(objects["label"] == n).astype(float) for n in CLASSES]))
    error = report["temperature"]["calibration_error"]
    assert error["before"]["value"] == pytest.approx(float(calibration_error(p, y).value()))
    assert error["after"]["value"] < error["before"]["value"] and error["difference"]["hi"] < 0
    assert report["temperature"]["accuracy"]["difference"]["value"] == 0
    levels = {line["level"]: line["value"] for line in report["levels"]}
    assert levels[0.9] == report["coverage"]["value"] and all(abs(found - asked) < 0.07 for asked, found in levels.items() if asked >= 0.8)


def test_coverage_of_numbers_by_group_and_target():
    objects, predictions = numbers()
    found = fit_calibration(objects, predictions, targets=["oh"], task="regression")
    report = coverage_report(objects, predictions, found, seed=1, by=("magnitude", "absent"), resamples=50)
    made, test = apply_calibration(predictions, found), objects["split"] == "test"
    assert report["targets"]["oh"]["width"]["value"] == pytest.approx((made["oh_hi"] - made["oh_lo"])[test].mean())
    assert abs(report["coverage"]["value"] - 0.9) < 0.05 and report["temperature"] is None
    assert set(report["by"]) == {"magnitude"} and all(line["coverage"]["n"] >= 5 for line in report["by"]["magnitude"].values())
    assert coverage_report({**objects, "split": np.full(1800, "train")}, predictions, found, seed=1) is None
    few = fit_calibration(*numbers(n=24), targets=["oh"], task="regression")
    nothing = coverage_report(*numbers(n=24), few, seed=1, resamples=50)
    assert nothing["coverage"]["value"] == 1 and nothing["targets"]["oh"]["width"] is None


def test_coverage_under_exchangeable_rows_over_many_samples():
    """The promise itself: the mean over many calibrations of the coverage on test rows, for classes with their temperature and for numbers."""
    for make, options in ((classes, {"targets": CLASSES, "task": "classes"}), (numbers, {"targets": ["oh"], "task": "regression"})):
        shares = []
        for seed in range(60):
            objects, predictions = make(n=360, seed=seed)
            found = fit_calibration(objects, predictions, **options)
            shares.append(coverage_report(objects, predictions, found, seed=1, resamples=2)["coverage"]["value"])
        # each has a scatter of 0.9 x 0.1 / 120 twice, of the calibration and of the test rows
        assert abs(np.mean(shares) - 109 / 121) < 4 * math.sqrt(2 * 0.09 / 120 / 60)


def test_a_share_of_clustered_rows_is_less_certain():
    rng = np.random.default_rng(3)
    inside = (rng.uniform(size=400) < 0.85).astype(float)
    alone = share(inside, np.arange(400))
    assert alone["value"] == inside.mean() and alone["lo"] == pytest.approx(wilson(inside.sum(), 400)["lo"], abs=2e-3)
    four = share(np.repeat(inside[:100], 4), np.repeat(np.arange(100), 4))  # every row four times is not four times the knowledge
    once = share(inside[:100], np.arange(100))
    assert four["hi"] - four["lo"] == pytest.approx(once["hi"] - once["lo"], rel=0.02) and four["n"] == 400 and four["n_groups"] == 100
    assert share(np.ones(30), np.arange(30) // 3)["lo"] == pytest.approx(wilson(10, 10)["lo"])
    assert share(np.ones(3), np.zeros(3))["lo"] is None and share(np.zeros(0), np.zeros(0))["value"] is None
