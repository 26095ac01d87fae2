"""Molino et al. (2017): the real text file of MACS2129, the same galaxies as VizieR would give them, and damaged files."""

import re

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork import tables
from tuningfork.catalogues import molino2017
from tuningfork.catalogues.columns import BANDS
from tuningfork.errors import CatalogueError

# The spelling of the VizieR tables, as recorded from a reply (not read from the code under test).
VIZIER = {
    "CLASHID": "CLASHID",
    "clusterName": "Cluster",
    "RA": "RAJ2000",
    "Dec": "DEJ2000",
    "x": "Xpos",
    "y": "Ypos",
    "area": "Area",
    "fwhm": "FWHM",
    "s2n": "s2n",
    "photoflag": "photFlag",
    "nfobs": "nfobs",
    "nfdet": "nfdet",
    "PointS": "PS",
    "theta": "theta",
    "a": "a",
    "b": "b",
    "Backg": "Backg",
    "rf": "rf",
    "rk": "rk",
    "rp": "rp",
    "BCG_pos_RA": "RABdeg",
    "BCG_pos_Dec": "DEBdeg",
    "PhyDistBCG": "PDistBCG",
    "clusterz": "zCluster",
    "zb_1": "zb1",
    "zb_Min_1": "e_zb1",
    "zb_Max_1": "E_zb1",
    "Tb_1": "Tb1",
    "Odds_1": "Odds1",
    "Chi2": "Chi2",
    "MB_sDSS": "BMAG",
    "Stell_Mass": "logM*",
    "F814W_ACS_MASS_LensCor": "F814W",
    "MB_sDSS_LensCor": "BMAGLC",
    "Stell_Mass_LensCor": "logM*LC",
    "SpeczValue": "zsp",
    "SpeczRefer": "r_zsp",
    "SpeczQual": "q_zsp",
}


@pytest.fixture(scope="module")
def text_file(shared_data):
    return shared_data / "responses" / "mast" / "hlsp_clash_hst_ir_macs2129_cat-molino.txt"


@pytest.fixture(scope="module")
def catalogue(text_file):
    return molino2017.standardise(molino2017.read_mast(text_file))


@pytest.fixture(scope="module")
def words(text_file):
    """The file read by hand: column -> array of text."""
    lines = text_file.read_text().splitlines()
    names = next(line for line in lines if line.startswith("CLASHID")).split()
    rows = [line.split() for line in lines if line.startswith("clash_")]
    return {name: np.array([row[i] for row in rows]) for i, name in enumerate(names)}


def as_vizier(words):
    """The same rows in VizieR's form: numbers, blanks for 99 and -99 except in error columns, a record number first."""
    table = Table({"recno": np.arange(len(words["CLASHID"])) + 1})
    for old, text in words.items():
        match = re.fullmatch(r"(d?)(F\d+(?:W|LP))_(?:ACS|WFC3)_(PHOTOZ|MASS)", old)
        new = ("e_" if match[1] else "") + match[2] + ("PZ" if match[3] == "PHOTOZ" else "M") if match else VIZIER[old]
        if old in ("CLASHID", "clusterName", "SpeczRefer"):
            table[new] = np.where(text == "None", "", text)
            continue
        numbers = text.astype(float)
        magnitude = bool(match) and not match[1]
        blank = np.isnan(numbers) | ((numbers == 99) & magnitude) | ((numbers == -99) & ~(bool(match) and bool(match[1])))
        table[new] = MaskedColumn(np.where(blank, 0, numbers), mask=blank)
    return table


def test_real_file_has_all_rows_and_no_sentinel_left(catalogue):
    assert len(catalogue) == 1845
    for band in BANDS:
        assert not (np.ma.compressed(np.ma.asarray(catalogue[f"mag_{band}"])) >= 99).any()
    assert np.ma.asarray(catalogue["zspec"]).count() == 1845 - 1671
    assert np.ma.asarray(catalogue["log_mass_delensed"]).min() > 0


def test_numbers_are_those_of_the_file(catalogue, words):
    row = int(np.flatnonzero(words["CLASHID"] == "clash_macs2129_nir_0656")[0])
    one = catalogue[catalogue["galaxy_id"] == "macs2129_656"]
    assert len(one) == 1
    assert one["x_pix"][0] == float(words["x"][row]) and one["mag_f160w"][0] == float(words["F160W_WFC3_PHOTOZ"][row])
    expected = float(words["rp"][row]) * float(words["a"][row]) / 2 * 0.065
    assert one["petrosian_radius_arcsec"][0] == pytest.approx(expected, rel=1e-12)


def test_undetected_has_a_limit_and_neither_value_nor_error(catalogue, words):
    missing = words["F225W_WFC3_PHOTOZ"].astype(float) == 99
    assert missing.sum() == 788
    np.testing.assert_array_equal(np.ma.getmaskarray(catalogue["mag_f225w"]), missing)
    np.testing.assert_array_equal(np.ma.getmaskarray(catalogue["mag_err_f225w"]), missing)
    np.testing.assert_array_equal(np.ma.getmaskarray(catalogue["mag_limit_f225w"]), ~missing)
    np.testing.assert_array_equal(np.asarray(catalogue["mag_limit_f225w"])[missing], words["dF225W_WFC3_PHOTOZ"].astype(float)[missing])


def test_an_area_of_99_pixels_is_an_area(catalogue):
    assert (np.asarray(catalogue["area"]) == 99).sum() == 8


def test_floor_and_absent_radii_are_flagged(catalogue):
    flag = np.asarray(catalogue["petrosian_flag"])
    assert (flag == "floor").sum() == 55 and (flag == "none").sum() == 10
    np.testing.assert_array_equal(np.ma.getmaskarray(catalogue["petrosian_radius_arcsec"]), flag == "none")


def test_petrosian_factor_one_is_the_other_reading(text_file, catalogue):
    other = molino2017.standardise(molino2017.read_mast(text_file), petrosian_factor=1.0)
    ratio = np.ma.asarray(other["petrosian_radius_arcsec"]) / np.ma.asarray(catalogue["petrosian_radius_arcsec"])
    np.testing.assert_allclose(ratio.compressed(), 2.0)


def test_vizier_and_mast_agree_galaxy_by_galaxy(catalogue, words):
    other = molino2017.standardise(as_vizier(words), "J/MNRAS/470/95/macs2129")
    assert other.colnames == catalogue.colnames
    for name in catalogue.colnames:
        left, right = np.ma.asarray(catalogue[name]), np.ma.asarray(other[name])
        np.testing.assert_array_equal(np.ma.getmaskarray(left), np.ma.getmaskarray(right), err_msg=name)
        np.testing.assert_array_equal(left.compressed(), right.compressed(), err_msg=name)
        assert str(catalogue[name].unit) == str(other[name].unit), name


def test_every_column_has_a_description_and_a_ucd(catalogue):
    for name in catalogue.colnames:
        assert catalogue[name].info.description and catalogue[name].info.meta["ucd"], name


def test_columns_survive_parquet(catalogue, tmp_path):
    tables.write(catalogue, tmp_path / "c.parquet")
    back = tables.read(tmp_path / "c.parquet")
    assert back.colnames == catalogue.colnames and back.meta == catalogue.meta
    assert str(back["bcg_x_pix"].unit) == "pix" and back["ra"].info.meta["ucd"] == "pos.eq.ra;meta.main"


def test_header_that_kept_its_sign_reads_the_same(text_file, tmp_path, catalogue):
    lines = ["# " + line if line.startswith("CLASHID") else line for line in text_file.read_text().splitlines()]
    (tmp_path / "kept.txt").write_text("\n".join(lines))
    kept = molino2017.standardise(molino2017.read_mast(tmp_path / "kept.txt"))
    assert kept.colnames == catalogue.colnames
    np.testing.assert_array_equal(kept["galaxy_id"], catalogue["galaxy_id"])


def test_a_file_cut_short_names_the_line(text_file, tmp_path):
    (tmp_path / "cut.txt").write_bytes(text_file.read_bytes()[:100_000])
    with pytest.raises(CatalogueError, match=r"line \d+ has \d+ values for 102 columns"):
        molino2017.read_mast(tmp_path / "cut.txt")


@pytest.mark.parametrize("text", ["", "<html>not here</html>", "# only\n# comments\n"])
def test_what_is_no_catalogue_is_refused(tmp_path, text):
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(CatalogueError):
        molino2017.read_mast(tmp_path / "x.txt")


def test_missing_column_names_table_column_and_nearest(words):
    table = as_vizier(words)[:3]
    table.rename_column("F160WPZ", "F160W_PZ")
    with pytest.raises(CatalogueError, match=r"J/MNRAS/470/95/x: no column 'F160WPZ'.*'F160W_PZ'"):
        molino2017.standardise(table, "J/MNRAS/470/95/x")


def test_upper_and_lower_errors_are_not_confused_by_case(words):
    table = molino2017.standardise(as_vizier(words)[:50])
    assert (np.asarray(table["zb_min"]) <= np.asarray(table["zb_max"])).all()


def test_simulated_tables_carry_the_mark(words):
    table = as_vizier(words)[:5]
    table["CLASHID"] = [f"clash_SIM-A_nir_{i:04d}" for i in range(1, 5)] + ["clash_plain_nir_0007"]
    table.meta["origin"] = {"simulated": True, "doi": "10.1/x"}
    made = molino2017.standardise(table)
    assert made["galaxy_id"].tolist() == ["SIM-A_1", "SIM-A_2", "SIM-A_3", "SIM-A_4", "SIM-plain_7"]
    assert all("SIM-" in text for text in made["catalogue_id"])
    assert made.meta["origin"]["doi"] is None and made.meta["origin"]["bibcode"] is None


@given(cluster=st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}", fullmatch=True), number=st.integers(0, 99999), width=st.integers(1, 6))
@settings(deadline=None)
def test_clash_ids_round_trip(cluster, number, width):
    field, galaxy = molino2017.split_clash_id(np.array([f"clash_{cluster}_nir_{number:0{width}d}"]))
    assert field[0] == cluster and galaxy[0] == f"{cluster}_{number}"


@pytest.mark.parametrize("wrong", ["macs2129_656", "clash_macs2129_656", "clash__nir_", ""])
def test_other_ids_are_refused(wrong):
    with pytest.raises(CatalogueError, match="CLASHID"):
        molino2017.split_clash_id(np.array([wrong]))


@given(rp=st.lists(st.floats(0, 20), min_size=1, max_size=8), factor=st.floats(0.5, 4))
@settings(deadline=None)
def test_radius_is_linear_in_rp_and_flagged_at_the_floor(rp, factor):
    rp = np.ma.array(rp)
    radius, flag = molino2017.petrosian_radius(rp, np.ma.array(np.full(len(rp), 2.0)), factor, 3.5)
    good = np.ma.getdata(rp) > 0
    np.testing.assert_allclose(np.ma.getdata(radius)[good], np.ma.getdata(rp)[good] * 2 / factor)
    assert ((flag == "none") == ~good).all() and ((flag == "floor") == (good & (np.ma.getdata(rp) <= 3.5))).all()


def test_fetch_from_either_archive_gives_the_same(words, text_file, monkeypatch):
    from types import SimpleNamespace

    from tuningfork.archives import vizier

    asked = []

    def query(transport, table, **_):
        asked.append(table)
        made = as_vizier(words)
        made.meta["origin"] = {"archive": "vizier", "query": table, "simulated": False}
        return made

    monkeypatch.setattr(vizier, "query", query)
    transport = SimpleNamespace(
        fetch=lambda archive, path, check: (
            (asked.append(path), check(text_file)) and SimpleNamespace(path=text_file, sidecar={"realm": "live", "url": "u", "sha256": "s"})
        )
    )
    first = molino2017.fetch(transport, fields=["macs2129"])
    second = molino2017.fetch(transport, source="mast", fields=["macs2129"])
    assert asked[0] == "J/MNRAS/470/95/macs2129" and asked[1].endswith("/macs2129/catalogs/molino/hlsp_clash_hst_ir_macs2129_cat-molino.txt")
    np.testing.assert_array_equal(np.ma.asarray(first["mag_f160w"]).compressed(), np.ma.asarray(second["mag_f160w"]).compressed())
    assert second.meta["origin"]["archive"] == "mast" and second.meta["origin"]["simulated"] is False
    assert second["ra"].info.meta["ucd"]


def test_clusters_stack_with_one_origin(words, monkeypatch):
    from tuningfork.archives import vizier

    def query(transport, table, **_):
        made = as_vizier(words)[:4]
        cluster = table.rsplit("/", 1)[-1]
        made["CLASHID"] = [f"clash_{cluster}_nir_{i:04d}" for i in range(4)]
        made.meta["origin"] = {"query": table, "doi": "10.1/a", "simulated": False}
        return made

    monkeypatch.setattr(vizier, "query", query)
    both = molino2017.fetch(None, fields=["a209", "a383"])
    assert sorted(set(both["field"].tolist())) == ["a209", "a383"] and len(both) == 8
    assert both.meta["origin"]["query"] == ["J/MNRAS/470/95/a209", "J/MNRAS/470/95/a383"] and both.meta["origin"]["doi"] == "10.1/a"
    with pytest.raises(CatalogueError, match="empty"):
        molino2017.fetch(None, fields=[])
    with pytest.raises(CatalogueError, match="'ned'"):
        molino2017.fetch(None, source="ned")


NAMES = ["CLASHID", *(f"c{i}" for i in range(30))]
WORD = st.text(st.characters(codec="ascii", exclude_categories=["Cc", "Zs"], exclude_characters="#"), min_size=1, max_size=6)


@given(
    st.lists(st.lists(WORD, min_size=31, max_size=31), min_size=1, max_size=6),
    st.booleans(),
    st.lists(st.text("# ab", max_size=6).map("#".__add__), max_size=4),
)
@settings(deadline=None, max_examples=50)
def test_rows_are_read_back_whatever_the_header_looks_like(rows, keeps_sign, comments):
    rows = [["clash_x_nir_1", *row[1:]] for row in rows]
    lines = [*comments, ("# " if keeps_sign else "") + "  ".join(NAMES), "", *("  ".join(row) for row in rows)]
    table = molino2017.parse_mast(lines, "x")
    assert [list(row) for row in table.as_array().tolist()] == rows and table.colnames == NAMES


@given(st.lists(st.text(max_size=60), max_size=8))
@settings(deadline=None)
def test_noise_is_refused_with_our_own_error(lines):
    with pytest.raises(CatalogueError):
        molino2017.parse_mast(lines, "x")
