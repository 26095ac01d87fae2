"""A regression from a folder of real SDSS pictures and its CSV, through the rules: how well, beside what, and how sure."""

import csv

import numpy as np
import pytest

from tuningfork import tables

pytestmark = pytest.mark.slow
BASELINES = {"mean", "border pixels", "picture features"}


def shortened(example):
    """The example with one network from scratch, and two folds: the numbers of docs/results.md are those of the example itself."""
    configuration = example("metallicity")
    del configuration["samples"]["gz1"], configuration["models"]["gz1"], configuration["models"]["metallicity-from-gz1"]
    del configuration["models"]["metallicity"]["ensemble"]
    configuration["models"]["metallicity"]["folds"] = 2
    return configuration


@pytest.fixture(scope="module")
def run(snakemake, example, tmp_path_factory):
    return snakemake(tmp_path_factory.mktemp("metallicity"), shortened(example))


@pytest.fixture(scope="module")
def columns(run):
    objects = tables.read_columns(run.results / "samples/sdss/objects.parquet")
    predictions = tables.read_columns(run.results / "models/metallicity/predictions/sdss.parquet")
    np.testing.assert_array_equal(objects["object_id"], predictions["object_id"])
    return objects, predictions


def test_every_number_has_its_interval_and_its_companions(run):
    metrics = run.metrics("metallicity")
    assert metrics["headline"] == "rmse" and not metrics["simulated"]
    # the split is by a hash of the name: a fifth on average
    assert metrics["rows"]["all"] == 400 and 50 <= metrics["rows"]["split_test"] <= 110
    for name, rows in (("test", metrics["rows"]["split_test"]), ("out_of_fold", 400 - metrics["rows"]["split_test"])):
        section = metrics["sections"][name]
        assert section["n"] == rows and set(section["baselines"]) == BASELINES
        for entry in (section["headline"], *(b["headline"] for b in section["baselines"].values()), *(b["difference"] for b in section["baselines"].values())):
            run.estimate(entry)


def test_the_network_beats_the_mean_predictor_on_pictures_it_has_not_seen(run):
    sections = run.metrics("metallicity")["sections"]
    assert run.estimate(sections["test"]["baselines"]["picture features"]["headline"])[0] < 0.15  # the ridge on colours and sizes
    for section in sections.values():
        mean = run.estimate(section["baselines"]["mean"]["headline"])[0]
        assert 0.15 < mean < 0.25  # the spread of the labels
        assert run.estimate(section["baselines"]["mean"]["difference"])[2] < 0
        assert run.estimate(section["headline"])[0] < mean


def test_the_numbers_are_those_of_the_tables(run, columns):
    """The headlines again, by hand: rows of the test split have the main network's value, all others that of a fold's."""
    objects, predictions = columns
    sections, test = run.metrics("metallicity")["sections"], objects["split"] == "test"
    np.testing.assert_array_equal(predictions["fold"] >= 0, ~test)
    np.testing.assert_array_equal(predictions["oh_p50"][test], predictions["oh_p50_main"][test])
    for name, rows in (("test", test), ("out_of_fold", ~test)):
        error = (predictions["oh_p50"] - objects["oh_p50"])[rows]
        assert sections[name]["headline"]["value"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-6)


def test_the_catalogue_has_every_galaxy_with_all_digits_of_its_name(run, shared_data):
    with open(shared_data / "sdss_metallicity/labels.csv", newline="") as file:
        wanted = {row["objID"]: float(row["oh_p50"]) for row in csv.DictReader(file)}
    with open(run.results / "catalogues/SDSS-metallicity.csv", newline="") as file:
        rows = {row["object_id"]: row for row in csv.DictReader(file)}
    assert rows.keys() == wanted.keys()
    assert {row["status"] for row in rows.values()} == {"ok"} and {row["origin"] for row in rows.values()} == {"folder"}
    assert all(7.5 < float(row["oh_p50"]) < 10 and float(row["oh_p50_std"]) >= 0 for row in rows.values())


def test_nothing_is_left_to_do(run, snakemake, example):
    again = snakemake(run.folder, shortened(example), "-n")
    assert "Nothing to be done" in again.messages
