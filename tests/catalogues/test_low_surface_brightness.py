"""DES and HSC low-surface-brightness galaxies and artifacts: real lists, no object twice, no label without a list behind it."""

import numpy as np
import pytest
from astropy.table import Table

from tuningfork import tables
from tuningfork.archives import des
from tuningfork.catalogues import deepshadows, des_lsbg, greco2018
from tuningfork.catalogues.table_files import read_table
from tuningfork.errors import ArchiveError, CatalogueError

RAW = "/dtanoglidis/DeepShadows/main/Datasets/"


def catalogue_csv(n: int = 6) -> bytes:
    """The catalogue's layout, as far as it was seen."""
    header = "coadd_object_id,ra_se,dec_se,mu_mean_g_se,flux_radius_g_asec,ell_se,n,r_eff_g,mu_mean_g,mu_0_g,mag_auto_g_corr"
    rows = [f"{67453062 + 2**40 + i},{10 + i},{-30 - i},24.5,3.1,0.2,0.9,3.3,24.7,23.5,{20 + i / 10}" for i in range(n)]
    return ("\n".join([header, *rows]) + "\n").encode()


def artifact_csv(kind: int, n: int = 6, rows: list[str] | None = None) -> bytes:
    """The layout of the artifact lists, as the authors' own feature code reads it."""
    header = "coadd_object_id,ra,dec,A_IMAGE,B_IMAGE,mag_auto_g,mag_auto_r,mag_auto_i,flux_radius_g,mu_mean_model_g,mu_max_model_g,mu_eff_model_g"
    made = [f"{kind * 1000 + i},{40 + 10 * kind + i},{-40 - i},4.0,3.0,{21 + i / 10},20.5,20.2,12.0,24.4,23.0,25.0" for i in range(n)]
    return ("\n".join([header, *made, *(rows or [])]) + "\n").encode()


@pytest.fixture
def served(archive):
    archive.files[des.LSBG] = catalogue_csv()
    archive.files[des.ARTIFACTS.format(kind=1)] = artifact_csv(1)
    archive.files[des.ARTIFACTS.format(kind=2)] = artifact_csv(2)
    return archive


def test_the_des_catalogue(served, live, tmp_path):
    found = des_lsbg.fetch(live)
    assert found["object_id"].tolist() == [str(67453062 + 2**40 + i) for i in range(6)]
    assert found["ra"].tolist() == [10 + i for i in range(6)] and found["mag"][1] == pytest.approx(20.1)
    assert str(found["mu_mean_g_se"].unit) == "mag / arcsec2" and "SExtractor" in found["mu_mean_g_se"].info.description
    assert "corrected for extinction" in found["mag_auto_g_corr"].info.description and str(found["r_eff_g"].unit) == "arcsec"
    assert found.meta["origin"]["doi"] == des_lsbg.DOI and found.meta["origin"]["query"] == des.LSBG
    tables.write(found, tmp_path / "t.parquet")
    assert len(des_lsbg.fetch(live, limit=2)) == 2


def test_two_and_three_classes(served, live):
    two, three = deepshadows.fetch(live), deepshadows.fetch(live, classes=3)
    assert dict(zip(*np.unique(two["label"], return_counts=True), strict=True)) == {"lsbg": 6, "artifact_2": 6}
    assert dict(zip(*np.unique(three["label"], return_counts=True), strict=True)) == {"lsbg": 6, "artifact_1": 6, "artifact_2": 6}
    assert len(two.meta["origin"]["sha256"]) == 2 and two.meta["origin"]["left_out"] == {"duplicates": 0, "in_two_lists": 0}
    negative = two[np.asarray(two["label"]) == "artifact_2"]
    np.testing.assert_allclose(negative["ellipticity"], 0.25)
    np.testing.assert_allclose(negative["flux_radius_g_asec"], 12 * 0.263)
    np.testing.assert_allclose(two["mu_mean_g"], [24.5] * 6 + [24.4] * 6)
    assert np.ma.getmaskarray(two["mag_auto_g"]).tolist() == [True] * 6 + [False] * 6
    with pytest.raises(CatalogueError, match="choose 2 or 3"):
        deepshadows.fetch(live, classes=4)


def test_duplicates_go_first_and_what_is_called_both_has_no_label(served, live):
    tail = "4.0,3.0,21,20,20,12,24,23,25"
    twice = ["2000,60,-40," + tail, "7777,61.0,-41.0," + tail, "8888,10,-30," + tail]
    served.files[des.ARTIFACTS.format(kind=2)] = artifact_csv(2, rows=twice)
    found = deepshadows.fetch(live)
    # 2000 repeats an id and a place, 7777 the place of 2001, 8888 the place of the first galaxy of the catalogue.
    assert found.meta["origin"]["left_out"] == {"duplicates": 2, "in_two_lists": 2}
    assert not set(found["object_id"]) & {"7777", "8888", str(67453062 + 2**40)} and {"2000", "2001"} <= set(found["object_id"])
    assert len(found) == 11


def test_a_hash_chooses_the_same_objects_whatever_stands_beside_them(served, live):
    found = deepshadows.fetch(live, per_class=3)
    assert dict(zip(*np.unique(found["label"], return_counts=True), strict=True)) == {"lsbg": 3, "artifact_2": 3}
    lists = [deepshadows.read_list(read_table_of(artifact_csv(2)), "artifact_2"), deepshadows.read_list(read_table_of(catalogue_csv()), "lsbg")]
    again = deepshadows.standardise(lists, per_class=3)
    assert set(again["object_id"]) == set(found["object_id"])
    assert set(deepshadows.fetch(live, per_class=3, seed=2)["object_id"]) != set(found["object_id"])
    with pytest.raises(CatalogueError, match="'artifact_2' has 6"):
        deepshadows.fetch(live, per_class=7)


def read_table_of(body: bytes) -> Table:
    lines = [line.split(",") for line in body.decode().splitlines()]
    return Table([list(column) for column in zip(*lines[1:], strict=True)], names=lines[0])


def test_the_repository_is_asked_where_des_has_none(served, live, archive):
    for kind in (1, 2):
        del archive.files[des.ARTIFACTS.format(kind=kind)]
    archive.files[RAW + "random_negative_all_2.csv"] = artifact_csv(2).replace(b"coadd_object_id", b"coadd_id")
    assert len(deepshadows.fetch(live)) == 12
    with pytest.raises(ArchiveError, match=r"neither from DES .* nor from the DeepShadows repository"):
        deepshadows.fetch(live, classes=3)


@pytest.mark.parametrize("body", [b"<html>", b"", b"a,b\n1,2\n", b"coadd_object_id,ra_se\n"])
def test_what_is_no_catalogue_is_not_kept(served, live, body):
    served.files[des.LSBG] = body
    with pytest.raises(ArchiveError):
        des.lsbg_catalogue(live)


def test_the_published_split_by_position(served, live):
    for side, body in {
        "training": b",ra,dec\n0,10.0,-30.0\n1,11.0,-31.001\n2,200.5,-10.25\n3,200.5,-10.25\n4,12.0,-32.0\n",
        "validation": b",ra,dec\n0,60.0,-40.0\n",
        "test": b",ra,dec\n0,12.0,-32.0\n",
    }.items():
        served.files[f"{RAW}Baseline_{side}.csv"] = body
    found = deepshadows.fetch(live, given_split=True)
    side = dict(zip(found["object_id"].tolist(), found["given_split"].tolist(), strict=True))
    first = 67453062 + 2**40
    assert side[str(first)] == "train" and side[str(first + 1)] == "" and side["2000"] == "validation"
    assert side[str(first + 2)] == "test"  # listed on both sides: it is trained on by nobody
    assert found.meta["origin"]["listed_without_label"] == 2
    more = deepshadows.fetch(live, given_split=True, unlabelled=True)
    added = more[len(found) :]
    assert len(added) == 2 and set(added["label"]) == {""} and added["object_id"][1] == "deepshadows_200.500000_-10.250000"
    assert more["ra"].info.description and np.ma.getmaskarray(added["mag"]).all()
    with pytest.raises(CatalogueError, match="goes with 'given_split'"):
        deepshadows.fetch(live, unlabelled=True)


def test_the_real_lists_have_hundreds_of_positions_twice(shared_data):
    folder = shared_data / "catalogs" / "deepshadows"
    lists = {side: read_table(folder / f"Baseline_{name}.csv", "csv") for side, name in des.SPLITS.items()}
    train = lists["train"]
    rows = np.unique(np.stack([np.asarray(train["ra"]), np.asarray(train["dec"])]), axis=1).T
    assert len(train) == 30000 and len(rows) == 29580
    table = Table({"ra": rows[:, 0], "dec": rows[:, 1]})
    side, unmatched = deepshadows.join_splits(table, lists)
    exact = {tuple(row) for row in np.stack([np.asarray(lists["test"]["ra"]), np.asarray(lists["test"]["dec"])], axis=1).tolist()}
    assert (side == "test").sum() >= len(exact & {tuple(row) for row in rows.tolist()}) >= 100 and not (side == "").any()
    assert 9000 < len(unmatched) < 10000


def test_greco_from_the_repository(archive, live, shared_data, tmp_path):
    for name in ("hsc_LSBGs.dat", "hsc_artifacts.csv"):
        archive.files[RAW + name] = (shared_data / "catalogs" / "deepshadows" / name).read_bytes()
    found = greco2018.fetch(live, source="github")
    assert dict(zip(*np.unique(found["label"], return_counts=True), strict=True)) == {"lsbg": 781, "artifact": 641}
    assert found["object_id"][0] == "greco2018_1" and found["object_id"][-1] == "hsc_artifact_640"
    row = found[0]
    assert (row["ra"], row["dec"], row["mag"], row["g_i"], row["r_eff"], row["a_g"]) == (247.28273, 43.67173, 21.03, 1.29, 7.15, 0.022)
    assert found["r_eff"].min() >= 2.5 and np.ma.getmaskarray(found["mu_0_err"])[-1]
    assert str(found["mu_0"].unit) == "mag / arcsec2" and found["label"].info.description
    # Both lists were cut at a mean surface brightness of 24.3 in g: the edge shows only if both magnitudes are of i.
    mag, g_i, r_eff, ellipticity = (np.asarray(found[name]) for name in ("mag", "g_i", "r_eff", "ellipticity"))
    mean_g = mag + g_i + 2.5 * np.log10(2 * np.pi * r_eff**2 * (1 - ellipticity))
    for label in ("lsbg", "artifact"):
        assert 24.2 < np.percentile(mean_g[np.asarray(found["label"]) == label], 1) < 24.5
    tables.write(found, tmp_path / "t.parquet")
    with pytest.raises(CatalogueError, match="not from 'mast'"):
        greco2018.fetch(live, source="mast")


def test_greco_from_vizier(archive, live):
    fields = "".join(f'<FIELD name="{name}" datatype="{kind}" unit="{unit}"/>' for name, kind, unit in VIZIER)
    cells = "".join(f"<TD>{value}</TD>" for value in FIRST_LINE.split())
    archive.files["/viz-bin/votable"] = (
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE name="J/ApJ/857/104"><TABLE name="J/ApJ/857/104/table1">'
        f"{fields}<DATA><TABLEDATA><TR>{cells}</TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    ).encode()
    found = greco2018.fetch(live, artifacts=False)
    assert len(found) == 1 and found["object_id"][0] == "greco2018_1" and (found["ra"][0], found["g_r"][0], found["a_i"][0]) == (247.28273, 0.92, 0.011)
    assert found.meta["origin"]["bibcode"] == greco2018.BIBCODE


FIRST_LINE = "1 247.28273 43.67173 25.88 0.40 21.03 0.25 0.92 1.29  7.15 0.84 0.57 0.32 0.59 0.04 0.022 0.015 0.011"
VIZIER = [
    ("Seq", "int", ""),
    ("RAJ2000", "double", "deg"),
    ("DEJ2000", "double", "deg"),
    ("iSB", "float", "mag/arcsec2"),
    ("e_iSB", "float", "mag/arcsec2"),
    ("imag", "float", "mag"),
    ("e_imag", "float", "mag"),
    ("g-r", "double", "mag"),
    ("g-i", "double", "mag"),
    ("Reff", "double", "arcsec"),
    ("e_Reff", "double", "arcsec"),
    ("n", "double", ""),
    ("e_n", "double", ""),
    ("Ell", "double", ""),
    ("e_Ell", "double", ""),
    ("Ag", "double", "mag"),
    ("Ar", "double", "mag"),
    ("Ai", "double", "mag"),
]


def test_a_line_of_another_length_is_named(tmp_path):
    (tmp_path / "x.dat").write_text("1 2 3\n")
    with pytest.raises(CatalogueError, match="row 1 has 3 values"):
        greco2018.read_dat(tmp_path / "x.dat")
