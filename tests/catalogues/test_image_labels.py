"""Label files: text stays text, numbers become numbers when asked, damage is named."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork.catalogues.columns import TARGETS, find, mark_simulated, snake
from tuningfork.catalogues.image_labels import numbers, read_csv, read_labels, split_stamp_id
from tuningfork.errors import CatalogueError


def test_real_candels_and_clash_labels(shared_data):
    folder = shared_data / "candels_clash_hst"
    candels, clash = (read_labels(folder / f"{name}_labels.csv", TARGETS) for name in ("CANDELS", "CLASH"))
    assert len(candels) == 7567 and len(clash) == 1600
    for table in (candels, clash):
        total = sum(np.asarray(table[target]) for target in TARGETS)
        np.testing.assert_allclose(total, 1.0, atol=1e-8)
    cluster, band, galaxy = split_stamp_id(np.asarray(clash["ID"]))
    assert len(set(cluster)) == 25 and len(set(galaxy)) == 912 and (band == "f225w").sum() == 101


def test_64_bit_identifiers_keep_every_digit(shared_data):
    table = read_csv(shared_data / "sdss_metallicity" / "labels.csv")
    assert table["objID"].dtype.kind == "U" and "1237648704043942146" in table["objID"].tolist()


def test_a_comment_before_the_header_is_skipped(shared_data):
    table = read_csv(shared_data / "catalogs" / "gz1_votes_combined_10k.csv")
    assert table.colnames[:2] == ["objid", "nvote"] and len(table) > 9000


def test_an_index_without_name_gets_one(shared_data):
    assert read_csv(shared_data / "catalogs" / "gz_decals_panoptes_votes.csv").colnames[0] == "column_1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no header"),
        ("# nothing\n", "no header"),
        ("a,b\n1,2\n3\n", "line 3 has 1 values, the header has 2"),
        ("a,a\n1,2\n", "'a' twice"),
        ('a,b\n1,"2\n', "cannot be read"),
        (b"a,b\n\xff\xfe,1\n", "cannot be read"),
    ],
)
def test_damage_is_named(tmp_path, text, message):
    path = tmp_path / "x.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CatalogueError, match=message):
        read_csv(path)


def test_missing_file_and_missing_target(tmp_path):
    with pytest.raises(CatalogueError, match=r"nowhere\.csv"):
        read_csv(tmp_path / "nowhere.csv")
    (tmp_path / "x.csv").write_text("ID,p_smoth\na,1\n")
    with pytest.raises(CatalogueError, match=r"'p_smooth'.*'p_smoth'"):
        read_labels(tmp_path / "x.csv", ["p_smooth"])
    (tmp_path / "y.csv").write_text("ID,p_smooth\na,1\n ,1\n")
    with pytest.raises(CatalogueError, match="row 2 has no ID"):
        read_labels(tmp_path / "y.csv", ["p_smooth"])


def test_numbers_tell_blank_from_wrong(tmp_path):
    (tmp_path / "x.csv").write_text("v\n1.5\n\nnan\nten\ninf\n")
    (tmp_path / "x.csv").write_text("i,v\na,1.5\nb,\nc,nan\nd,ten\ne,inf\n")
    values, wrong = numbers(read_csv(tmp_path / "x.csv"), "v")
    assert np.ma.getmaskarray(values).tolist() == [False, True, True, True, True] and wrong.tolist() == [False, False, False, True, True]


CELL = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)


@given(st.lists(st.tuples(CELL, CELL), max_size=10))
@settings(deadline=None)
def test_what_csv_writes_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("name", "value"), *rows])
    table = read_csv(path)
    kept = [(a.strip(), b.strip()) for a, b in rows if a.strip() or b.strip()]
    assert list(zip(table["name"].tolist(), table["value"].tolist(), strict=True)) == kept


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}", fullmatch=True), st.sampled_from(["f160w", "F850LP", "f850w"]), st.integers(0, 10**6))
def test_stamp_ids_split(cluster, band, number):
    c, b, g = split_stamp_id(np.array([f"{cluster}_{band}_{number:04d}"]))
    assert (c[0], b[0], g[0]) == (cluster, "f850lp" if "850" in band else band, f"{cluster}_{number}")


@pytest.mark.parametrize("wrong", ["a611_860", "a611_f999w_860", "a611_f160w_x", "_f160w_1", ""])
def test_other_stamp_ids_are_refused(wrong):
    with pytest.raises(CatalogueError, match="not <cluster>_<filter>_<number>"):
        split_stamp_id(np.array([wrong]))


def test_names_in_snake_form():
    assert [snake(n) for n in ("f(DS)", "photFlag", "E(B-V)", "F160W", "f_Edge-on")] == ["f_ds", "phot_flag", "e_b_v", "f160w", "f_edge_on"]


def test_case_is_ignored_only_where_one_is_left():
    from astropy.table import Table

    table = Table({"e_zb1": [1.0], "E_zb1": [2.0], "Hmag": [3.0]})
    assert find(table, "e_zb1", "t") == "e_zb1" and find(table, "E_zb1", "t") == "E_zb1" and find(table, "HMAG", "t") == "Hmag"
    with pytest.raises(CatalogueError):
        find(table, "E_ZB1", "t")


def test_real_tables_are_not_marked():
    from astropy.table import Table

    table = Table({"object_id": ["a"]}, meta={"origin": {"simulated": False}})
    assert mark_simulated(table)["object_id"][0] == "a"
    table.meta["origin"]["simulated"] = True
    assert mark_simulated(mark_simulated(table))["object_id"][0] == "SIM-a" and table["object_id"][0] == "a"
