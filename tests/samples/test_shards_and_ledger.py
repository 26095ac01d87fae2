"""Shards: static names and digests that change with what they should. Ledger: nothing lost, nothing strange."""

import re

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork import tables
from tuningfork.errors import SampleError
from tuningfork.samples import ledger, shards

COLUMNS = ("field", "band", "ra", "dec", "stamp_arcsec")


def objects(n=20):
    rng = np.random.default_rng(1)
    return Table(
        {
            "object_id": [f"o_{i}" for i in range(n)],
            "field": ["a" if i % 2 else "b" for i in range(n)],
            "band": ["f160w"] * n,
            "ra": 360 * rng.random(n),
            "dec": 180 * rng.random(n) - 90,
            "stamp_arcsec": MaskedColumn(rng.random(n), mask=rng.random(n) < 0.2),
            "p_smooth": rng.random(n),
            "split": ["train"] * n,
            "n": np.arange(n),
        }
    )


def test_order_of_rows_and_other_columns_do_not_matter():
    table = objects()
    digest = shards.digest_rows(table, COLUMNS)
    other = table[np.random.default_rng(2).permutation(len(table))]
    other["extra"] = 1
    assert shards.digest_rows(other, COLUMNS) == digest
    other["ra"] = other["ra"].astype(float) + 0.0
    assert shards.digest_rows(other, reversed(COLUMNS)) != digest  # the choice and order of columns is part of the meaning


def test_a_digest_survives_parquet(tmp_path):
    table = objects()
    tables.write(table, tmp_path / "o.parquet")
    columns = (*COLUMNS, "n")
    assert shards.digest_rows(tables.read(tmp_path / "o.parquet"), columns) == shards.digest_rows(table, columns)


@given(st.sampled_from(["field", "band", "ra", "dec", "stamp_arcsec"]), st.integers(0, 19))
@settings(deadline=None, max_examples=30)
def test_any_change_of_a_used_value_changes_it(name, row):
    table = objects()
    before = shards.digest_rows(table, COLUMNS)
    if table[name].dtype.kind == "U":
        values = np.asarray(table[name]).astype("U9")
        values[row] += "x"
        table[name] = values
    elif np.ma.getmaskarray(table[name])[row]:
        table[name][row] = 0.0  # unknown is not zero
    else:
        table[name][row] = np.nextafter(table[name][row], 1e9)
    assert shards.digest_rows(table, COLUMNS) != before


def test_labels_have_a_digest_of_their_own():
    table = objects()
    shard = shards.shard_keys(table["ra"], table["dec"], 2)
    before = shards.manifest(table, shard, COLUMNS, ["p_smooth"])
    table["p_smooth"][3] = 0.5
    after = shards.manifest(table, shard, COLUMNS, ["p_smooth"])
    assert before["shards"] == after["shards"] and before["labels"] != after["labels"]
    split = np.asarray(table["split"]).astype("U10")
    split[0] = "test"
    table["split"] = split
    assert shards.manifest(table, shard, COLUMNS, ["p_smooth"])["labels"] != after["labels"]


def test_manifest_counts_rows_and_names_fields():
    table = objects()
    made = shards.manifest(table, np.where(np.asarray(table["field"]) == "a", "0a", "0b"), COLUMNS)
    assert made["shards"]["0a"]["rows"] == 10 and made["shards"]["0a"]["fields"] == ["a"] and made["shards"]["0b"]["fields"] == ["b"]


def test_one_changed_object_changes_one_shard():
    table = objects(200)
    shard = shards.shard_keys(table["ra"], table["dec"], 2)
    before = shards.manifest(table, shard, COLUMNS)["shards"]
    table["stamp_arcsec"][7] = 99.0
    after = shards.manifest(table, shard, COLUMNS)["shards"]
    assert [name for name in before if before[name] != after[name]] == [shard[7]]


@given(st.integers(0, 6), st.lists(st.tuples(st.floats(-400, 800), st.floats(-90, 90)), min_size=1, max_size=30))
@settings(deadline=None)
def test_shard_names_are_hexadecimal_and_of_one_width(order, positions):
    ra, dec = np.array(positions).T
    keys = shards.shard_keys(ra, dec, 2**order)
    assert all(re.fullmatch("[0-9a-f]+", key) for key in keys) and len({len(key) for key in keys}) == 1
    assert shards.shard_keys(ra[:1], dec[:1], 2**order)[0] == keys[0]


@given(st.lists(st.text(max_size=12), max_size=50), st.integers(1, 300))
@settings(deadline=None)
def test_hashed_shards_never_move(names, n):
    keys = shards.hashed_shard_keys(np.array([*names, "x"]), n)
    assert keys[-1] == shards.hashed_shard_keys(np.array(["x"]), n)[0] and all(int(key, 16) < n for key in keys)


def test_what_a_shard_refuses():
    table = objects(3)
    with pytest.raises(SampleError, match="no column 'zoom'"):
        shards.digest_rows(table, ["zoom"])
    table["object_id"] = ["a", "a", "b"]
    with pytest.raises(SampleError, match="not unique: a"):
        shards.digest_rows(table, COLUMNS)
    with pytest.raises(SampleError, match="at least 1"):
        shards.hashed_shard_keys(["a"], 0)
    with pytest.raises(SampleError, match="2 shard names for 3"):
        shards.manifest(objects(3), np.array(["0", "1"]), COLUMNS)


def test_empty_table_has_a_digest():
    assert shards.manifest(objects(3)[:0], np.array([], dtype=str), COLUMNS)["shards"] == {}


def test_ledgers_merge_and_balance():
    one = ledger.build(["b", "a"], ["ok", "failed"], ["", "truncated"])
    two = ledger.build(["c"], "outside_footprint")
    whole = ledger.merge(one, two)
    assert whole["object_id"].tolist() == ["a", "b", "c"] and whole["status"].tolist() == ["failed", "ok", "outside_footprint"]
    assert ledger.counts(whole)["ok"] == 1 and ledger.counts(whole)["blank"] == 0
    ledger.assert_conserved(["c", "b", "a"], whole)


def test_lost_and_strange_objects_are_named():
    held = ledger.build(["a", "b"], "ok")
    with pytest.raises(SampleError, match=r"1 selected objects are missing: c; 1 objects were never selected: b"):
        ledger.assert_conserved(["a", "c"], held)
    with pytest.raises(SampleError, match="not unique: a"):
        ledger.merge(held, ledger.build(["a"], "blank"))
    with pytest.raises(SampleError, match="'lost'"):
        ledger.build(["a"], "lost")
    with pytest.raises(SampleError, match="a failed, but not why"):
        ledger.build(["a"], "failed")


def test_an_empty_ledger_is_one():
    assert len(ledger.merge()) == 0
    ledger.assert_conserved(np.array([], dtype=str), ledger.merge())


def test_ledger_survives_parquet(tmp_path):
    tables.write(ledger.build(["a", "b"], ["ok", "partial"]), tmp_path / "l.parquet")
    assert tables.read(tmp_path / "l.parquet")["status"].tolist() == ["ok", "partial"]
