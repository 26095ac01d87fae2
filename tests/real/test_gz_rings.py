"""Transfer between two surveys' pictures through the rules: Galaxy Zoo 1 (SDSS) to rings (DECaLS), against training from scratch."""

import csv
import subprocess
import sys

import numpy as np
import pytest

from tuningfork import tables
from tuningfork.files import read_json

pytestmark = pytest.mark.slow
MODELS = ("gz1", "rings", "rings-scratch")


def shortened(example):
    """The example with one network a model, and without the adaptation: the numbers of docs/results.md are those of the example itself."""
    configuration = example("rings")
    configuration["models"] = {name: model for name, model in configuration["models"].items() if name in MODELS}
    for model in configuration["models"].values():
        model.pop("ensemble", None)
    return configuration


@pytest.fixture(scope="module")
def run(snakemake, example, tmp_path_factory):
    return snakemake(tmp_path_factory.mktemp("rings"), shortened(example))


def test_galaxy_zoo_classes_are_learned(run):
    section = run.metrics("gz1")["sections"]["test"]
    accuracy, *_ = run.estimate(section["headline"])
    for name in ("mean", "border pixels"):
        assert run.estimate(section["baselines"][name]["difference"])[1] > 0
    assert accuracy > run.estimate(section["baselines"]["mean"]["headline"])[0]
    assert set(section["by"]["label"]) <= {"elliptical", "spiral_cw", "spiral_acw", "edge_on", "merger"}


def test_a_class_that_is_no_target_is_predicted_and_not_learned_from(run):
    objects = tables.read_columns(run.results / "samples/gz1/objects.parquet")
    predictions = tables.read_columns(run.results / "models/gz1/predictions/gz1.parquet")
    other = ~np.asarray(objects["labelled"], bool)
    assert len(other) == 1236 and other.sum() == 39 and set(objects["split"][other]) == {"unlabelled"}
    total = sum(predictions[name] for name in ("elliptical", "spiral_cw", "spiral_acw", "edge_on", "merger"))
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_the_transfer_starts_from_the_parent_with_a_new_head(run):
    about = {name: read_json(run.results / "models" / name / "model.json") for name in MODELS}
    assert about["rings"]["parent"] == {"name": "gz1", "weights_sha256": about["gz1"]["weights_sha256"]} and about["rings-scratch"]["parent"] is None
    assert len(about["gz1"]["targets"]) == 5 and about["rings"]["targets"] == ["0", "1"]
    # the same rows on the same sides, the same recipe: only the start differs
    for key in ("data", "network", "normalisation"):
        assert about["rings"][key] == about["rings-scratch"][key]
    assert about["rings"]["training"]["recipe"] == about["rings-scratch"]["training"]["recipe"]
    assert not about["gz1"]["training"]["recipe"]["augmentation"]["flips"] and about["rings"]["training"]["recipe"]["augmentation"]["flips"]


def test_the_gain_of_the_transfer_is_a_paired_number(run):
    metrics = run.metrics("rings")
    comparison = metrics["comparisons"]["rings-scratch"]
    difference, low, high = run.estimate(comparison["difference"])
    transfer, scratch = (run.estimate(comparison[name])[0] for name in ("rings", "rings-scratch"))
    assert difference == pytest.approx(transfer - scratch) and comparison["significant"] == bool(low > 0 or high < 0)
    assert transfer == metrics["sections"]["test"]["headline"]["value"]
    # a large loss by transfer would be a fault (wrong weights, wrong normalisation); its gain is as measured
    assert high > 0
    assert run.estimate(metrics["sections"]["test"]["baselines"]["mean"]["difference"])[0] > 0


def test_the_table_of_the_results_says_what_the_metrics_say(run, repository):
    command = [sys.executable, repository / "docs/results_table.py", "rings", "--results", run.results]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = {cells[1].strip(): cells[2] for line in done.stdout.splitlines() if len(cells := line.split("|")) > 3}
    section = run.metrics("rings")["sections"]["test"]
    for line, found in (("the network, turned views", section), ("ridge on the border pixels", section["baselines"]["border pixels"])):
        assert float(lines[line].split()[0]) == pytest.approx(found["headline"]["value"], abs=6e-4)
    assert "temperature" in done.stdout and "asked for 90%" in done.stdout


def test_the_catalogue_has_every_galaxy(run, shared_data):
    with open(shared_data / "gz_decals_rings/labels.csv", newline="") as file:
        wanted = {row["iauname"]: row["ring"] for row in csv.DictReader(file)}
    with open(run.results / "catalogues/DECaLS-rings.csv", newline="") as file:
        rows = {row["object_id"]: row for row in csv.DictReader(file)}
    assert rows.keys() == wanted.keys()
    for name, row in rows.items():
        assert float(row["0"]) + float(row["1"]) == pytest.approx(1, abs=1e-5) and row["label"] == wanted[name]
