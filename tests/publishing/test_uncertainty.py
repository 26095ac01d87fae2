"""What a catalogue, a ReadMe, a card and a page say of sets and intervals: the columns, how they were made, and what they do not promise."""

import csv

import numpy as np
import pytest
from astropy.io.votable.ucd import check_ucd
from astropy.table import MaskedColumn, Table

from tuningfork.analysis.calibrate import fit_calibration
from tuningfork.analysis.calibration import calibrated_table
from tuningfork.analysis.coverage import coverage_report
from tuningfork.analysis.evaluate import evaluate
from tuningfork.files import read_json
from tuningfork.publishing.catalogue import assemble
from tuningfork.publishing.model_card import model_card
from tuningfork.publishing.product import publish
from tuningfork.publishing.tables_html import metrics_page
from tuningfork.publishing.uncertainty import notes, report_rows
from tuningfork.publishing.wide import widen

SPEC = {"name": "T", "title": "A test", "model": "m", "catalogues": [], "collection": None}


def labelled(task, n=240, seed=0):
    """Objects, predictions and targets of a task."""
    rng = np.random.default_rng(seed)
    ids = np.array([f"o{i:03d}" for i in range(n)])
    objects = {"object_id": ids, "galaxy_id": ids, "group_id": ids, "split": np.array(["train", "validation", "test"])[np.arange(n) % 3]}
    logit = np.clip(rng.normal(0, 2, n), -5, 5)
    p = 1 / (1 + np.exp(-logit))
    told = 1 / (1 + np.exp(-3 * logit))
    predictions = {"object_id": ids, "status": np.full(n, "ok", dtype="U8"), "in_training": objects["split"] == "train"}
    if task == "classes":
        objects["label"] = np.where(rng.uniform(size=n) < p, "lsbg", "artifact")
        return objects, predictions | {"artifact": 1 - told, "lsbg": told}, ["artifact", "lsbg"]
    if task == "fractions":
        votes = rng.binomial(8, p) / 8
        return {**objects, "a": votes, "b": 1 - votes}, predictions | {"a": told, "b": 1 - told}, ["a", "b"]
    return {**objects, "oh_p50": logit}, predictions | {"oh_p50": logit + rng.normal(0, 0.3, n)}, ["oh_p50"]


def published(task, tmp_path, n=240, sample="here", **options):
    objects, predictions, targets = labelled(task, n)
    calibration = fit_calibration(objects, predictions, targets=targets, task=task, model="m", sample="here", **options)
    table = Table(predictions)
    if task == "regression":
        table["oh_p50"] = MaskedColumn(table["oh_p50"], mask=np.arange(n) == 1, unit="dex")
        table["status"][1] = "absent"
    ledger = Table({"object_id": objects["object_id"], "status": table["status"], "reason": np.full(n, "")})
    outputs = {"csv": tmp_path / "t.csv", "readme": tmp_path / "t.ReadMe", "provenance": tmp_path / "t.json", "dat": tmp_path / "t.dat"}
    spec = SPEC | {"targets": targets, "task": task, "sample": sample}
    found = publish(
        outputs,
        objects=Table(objects),
        ledger=ledger,
        predictions=calibrated_table(table, calibration),
        spec=spec,
        code="c",
        calibration=calibration,
    )
    readme = " ".join(outputs["readme"].read_text().split())
    return calibration, found, outputs, readme


def test_a_regression_is_published_with_its_interval(tmp_path):
    calibration, table, outputs, readme = published("regression", tmp_path)
    assert table.colnames.index("oh_p50_hi") == table.colnames.index("oh_p50_lo") + 1 > table.colnames.index("oh_p50")
    for name in ("oh_p50_lo", "oh_p50_hi"):
        assert str(table[name].unit) == "dex" and check_ucd(table[name].info.meta["ucd"], check_controlled_vocabulary=True, has_colon=True)
        assert "90 % of objects like the validation rows" in table[name].info.description and table[name].mask.tolist() == table["oh_p50"].mask.tolist()
    half = calibration["intervals"]["oh_p50"]["levels"]["0.9"]
    np.testing.assert_allclose((table["oh_p50_hi"] - table["oh_p50_lo"]).compressed(), 2 * half, atol=2e-6)
    with open(outputs["csv"], newline="") as file:
        assert float(next(csv.DictReader(file))["oh_p50_lo"]) == table["oh_p50_lo"][0]
    assert "split-conformal prediction for a coverage of 0.9, fitted to 80 labelled validation rows of the sample here" in readme
    assert "of the same width for every row (oh_p50)" in readme and "chose the epoch" in readme and "guaranteed" not in readme
    record = read_json(outputs["provenance"])["calibration"]
    assert record["quantiles"]["oh_p50"]["levels"] == half and record["coverage"] == 0.9 and record["rows"]["n"] == 80


def test_classes_are_published_with_their_set_and_calibrated_probabilities(tmp_path):
    calibration, table, _, readme = published("classes", tmp_path)
    raw = labelled("classes")[1]["lsbg"]
    t = calibration["temperature"]["value"]
    expected = raw ** (1 / t) / (raw ** (1 / t) + (1 - raw) ** (1 / t))
    np.testing.assert_allclose(table["lsbg"], expected, atol=2e-6)
    assert set(table["set"].tolist()) <= {"lsbg", "artifact", "lsbg|artifact", "artifact|lsbg"} and "lsbg_raw" not in table.colnames
    assert f"T = {t:.4g}" in readme and "one threshold for all classes" in readme
    assert widen(table)["set"].tolist() == table["set"].tolist()


def test_another_sample_is_told_that_nothing_is_promised(tmp_path):
    _, table, _, readme = published("fractions", tmp_path, sample="elsewhere")
    assert "neither the probabilities nor the coverage are guaranteed" in readme
    assert "90 % of the objects of here (split conformal), not promised here" in table["a_lo"].info.description
    assert (table["a_lo"] >= 0).all() and (table["a_hi"] <= 1).all()


def test_too_few_rows_are_said_where_the_columns_are_read(tmp_path):
    _, table, _, readme = published("regression", tmp_path, n=18)
    assert table["oh_p50_lo"].mask.all()
    assert "Too few validation rows to promise anything for oh_p50: the interval is without ends (blank)" in readme
    objects, predictions, targets = labelled("classes", 60)
    rare = np.flatnonzero((objects["label"] == "lsbg") & (objects["split"] == "validation"))
    objects["split"][rare[2:]] = "guard"
    found = fit_calibration(objects, predictions, targets=targets, task="classes", class_conditional=True, temperature=False, sample="here")
    text = " ".join(notes(found, "here"))
    assert "Too few validation rows for lsbg: in every set" in text and "a threshold for each class" in text and "without temperature scaling" in text
    few = fit_calibration(*labelled("classes", 30)[:2], targets=targets, task="classes", sample="here")
    assert "no temperature was used: 10 labelled validation rows; 20 are needed" in " ".join(notes(few, "here"))


def test_without_a_calibration_a_catalogue_is_as_before(parts):
    assert not {"set", "p_smooth_lo"} & set(assemble(**parts).colnames)


@pytest.mark.parametrize("task", ["classes", "fractions", "regression"])
def test_card_and_page_say_what_was_found_on_test(task):
    objects, predictions, targets = labelled(task)
    calibration = fit_calibration(objects, predictions, targets=targets, task=task, sample="here")
    metrics = evaluate(objects, predictions, targets=targets, task=task, seed=0, resamples=50)
    metrics["uncertainty"] = report = coverage_report(objects, predictions, calibration, seed=0, sample="there", by=("label",), resamples=50)
    model = {"name": "m", "network": {"name": "resnet18"}, "targets": targets, "task": task}
    for text in (model_card(model, metrics), metrics_page(metrics)):
        assert f"{report['coverage']['value']:.4f} [{report['coverage']['lo']:.4f}" in text
        assert "Fitted to 80 validation rows of here; judged on 80 test rows" in text
        assert "another sample, there: under a shift no coverage is promised" in text
        assert ("expected calibration error, after temperature scaling" in text) == (task == "classes")
    rows = dict(report_rows(report))
    assert ("sets of 1" in rows) == (task == "classes") and any(name.startswith("width of the interval") for name in rows) == (task != "classes")
    assert metrics_page({**metrics, "uncertainty": None}).count("<h2>") < metrics_page(metrics).count("<h2>")
