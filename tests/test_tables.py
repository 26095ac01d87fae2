"""What is written as Parquet comes back: values, nulls, units, UCDs, origin."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork import tables
from tuningfork.errors import TuningforkError


def _table() -> Table:
    table = Table(meta={"origin": {"doi": "10.0/x", "simulated": True}})
    table["object_id"] = ["a", "bb", "ccc"]
    table["mag"] = MaskedColumn([20.5, 99.0, 22.0], mask=[False, True, False], dtype="f4")
    table["n"] = MaskedColumn([1, 2, 3], mask=[False, False, True])
    table["used"] = [True, False, True]
    tables.describe(table, {"mag": ("mag", "phot.mag;em.IR", "magnitude in F160W"), "absent": (None, "", "")})
    return table


def test_round_trip(tmp_path: Path) -> None:
    tables.write(_table(), tmp_path / "t.parquet")
    found = tables.read(tmp_path / "t.parquet")
    assert found.meta == _table().meta == tables.read_meta(tmp_path / "t.parquet")
    assert list(found["object_id"]) == ["a", "bb", "ccc"]
    assert found["mag"].mask.tolist() == [False, True, False]
    assert found["mag"].dtype == np.float32
    assert (str(found["mag"].unit), found["mag"].info.description, found["mag"].info.meta["ucd"]) == ("mag", "magnitude in F160W", "phot.mag;em.IR")


def test_plain_columns_need_no_astropy(tmp_path: Path) -> None:
    tables.write(_table(), tmp_path / "t.parquet")
    columns = tables.read_columns(tmp_path / "t.parquet", ["mag", "n", "object_id", "used"])
    assert np.isnan(columns["mag"][1]) and np.isnan(columns["n"][2])
    assert columns["used"].tolist() == [True, False, True]


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        tables.write(_table(), tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    tables.write(_table(), tmp_path / "t.parquet")
    with pytest.raises(TuningforkError, match="no column magnitude; it has object_id, mag"):
        tables.read_columns(tmp_path / "t.parquet", ["magnitude"])


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    tables.write(_table(), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TuningforkError, match=r"t\.parquet: not a readable Parquet file"):
        tables.read(path)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=20), min_size=1, max_size=20), st.lists(st.floats(width=64), min_size=1, max_size=20)
)
def test_any_text_and_any_number_comes_back(tmp_path_factory: pytest.TempPathFactory, words: list[str], numbers: list[float]) -> None:
    rows = min(len(words), len(numbers))
    table = Table({"word": np.array(words[:rows], dtype=object), "number": np.array(numbers[:rows])})
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    tables.write(table, path)
    found = tables.read(path)
    np.testing.assert_array_equal(found["number"], table["number"])
    assert [str(word).rstrip("\0") for word in found["word"]] == [word.rstrip("\0") for word in words[:rows]]
