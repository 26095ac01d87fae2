"""The steps of a sample together, on the real catalogue and labels of MACS2129: from table to shards, through Parquet, and again with more objects."""

import numpy as np
import pytest

from tuningfork import tables
from tuningfork.catalogues import molino2017
from tuningfork.catalogues.columns import BANDS, TARGETS
from tuningfork.catalogues.image_labels import read_csv
from tuningfork.samples import build, ledger, splits

SPEC = {
    "kind": "mosaic",
    "bands": list(BANDS),
    "select": {"magnitude_limit": 24.5, "magnitude": "own_filter"},
    "size": {"source": "catalogue"},
    "stamp": {"petrosian_radii": 4.0},
    "match": None,
    "labels": {"id_column": "ID"},
    "targets": list(TARGETS),
    "task": "fractions",
    "split": {"by": "galaxy", "column": None, "seed": 1, "validation": 0.2, "test": 0.2, "healpix_nside": 4096},
    "shards": {"healpix_nside": 64, "buckets": 4},
}


@pytest.fixture(scope="module")
def catalogue(shared_data):
    return molino2017.standardise(molino2017.read_mast(shared_data / "responses" / "mast" / "hlsp_clash_hst_ir_macs2129_cat-molino.txt"))


@pytest.fixture(scope="module")
def label_table(shared_data):
    return read_csv(shared_data / "candels_clash_hst" / "CLASH_labels.csv")


def through_parquet(table, path):
    tables.write(table, path)
    return tables.read(path)


@pytest.fixture(scope="module")
def finished(catalogue, label_table, tmp_path_factory):
    path = tmp_path_factory.mktemp("sample")
    selected = build.select_mosaic_sample(through_parquet(catalogue, path / "c.parquet"), SPEC, label_table=label_table)
    objects, index = build.finish_sample(through_parquet(selected, path / "s.parquet"), SPEC)
    return through_parquet(objects, path / "o.parquet"), index


def test_every_selected_object_is_there_with_its_label_and_side(finished):
    objects, index = finished
    assert len(objects) == 2945 and objects["labelled"].sum() == 80
    assert sum(entry["rows"] for entry in index["shards"].values()) == 2945
    assert set(objects["shard"].tolist()) == set(index["shards"]) and {f for e in index["shards"].values() for f in e["fields"]} == {"macs2129"}
    labelled = np.asarray(objects["labelled"], bool)
    assert (np.asarray(objects["split"])[~labelled] == "unlabelled").all() and set(np.asarray(objects["split"])[labelled]) <= {*splits.SIDES, "guard"}
    ledger.assert_conserved(objects["object_id"], ledger.build(objects["object_id"], "ok"))


def test_no_galaxy_stands_on_two_sides_in_any_filter(finished):
    objects, _ = finished
    splits.assert_disjoint(objects)
    sides_of = {}
    for galaxy, side in zip(objects["galaxy_id"].tolist(), objects["side"].tolist(), strict=True):
        sides_of.setdefault(galaxy, set()).add(side)
    assert all(len(sides) == 1 for sides in sides_of.values()) and len(sides_of) == 388


def test_fewer_objects_leave_the_others_where_they_were(catalogue, label_table, finished):
    objects, _ = finished
    half = build.select_mosaic_sample(catalogue[::2], SPEC, label_table=label_table)
    smaller, _ = build.finish_sample(half, SPEC)
    side = dict(zip(objects["object_id"].tolist(), objects["side"].tolist(), strict=True))
    assert all(side[name] == s for name, s in zip(smaller["object_id"].tolist(), smaller["side"].tolist(), strict=True))


def test_shuffled_rows_and_another_seed_fetch_no_pixel_again(catalogue, label_table, finished):
    _, index = finished
    shuffled = catalogue[np.random.default_rng(1).permutation(len(catalogue))]
    other = {**SPEC, "split": {**SPEC["split"], "seed": 2}}
    _, again = build.finish_sample(build.select_mosaic_sample(shuffled, SPEC, label_table=label_table), SPEC)
    _, reseeded = build.finish_sample(build.select_mosaic_sample(catalogue, SPEC, label_table=label_table), other)
    assert again == index
    assert reseeded["shards"] == index["shards"] and reseeded["labels"] != index["labels"]


def test_a_larger_stamp_changes_the_shards_and_not_the_labels(catalogue, label_table, finished):
    _, index = finished
    larger = {**SPEC, "stamp": {"petrosian_radii": 5.0}}
    _, changed = build.finish_sample(build.select_mosaic_sample(catalogue, larger, label_table=label_table), larger)
    assert changed["labels"] == index["labels"]
    assert all(changed["shards"][name]["digest"] != entry["digest"] for name, entry in index["shards"].items())
