"""A table of anybody's: formats, mappings, identifiers that keep their digits, and what is refused."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from hypothesis import given
from hypothesis import strategies as st

from tuningfork import tables
from tuningfork.catalogues import table
from tuningfork.catalogues.assemble import identifiers
from tuningfork.catalogues.expressions import rows_where
from tuningfork.errors import ArchiveError, CatalogueError

IDS = [1237648722819547442, 1237648722819875127, 2**53 + 1]
MAPPING = {"object_id": "objid", "ra": "RA", "dec": "DEC", "mag": "r"}


def rows() -> Table:
    made = Table({"objid": np.array(IDS), "RA": [10.0, 20.5, 359.9], "DEC": [-1.0, 30.25, 89.0]})
    made["r"] = MaskedColumn([17.5, 18.0, 0.0], mask=[False, False, True])
    made["note"] = ["a", "b", ""]
    made["n"] = [1, 2, 3]
    return made


def write(path, kind) -> None:
    if kind == "csv":
        lines = [f"{i},{ra},{dec},{'' if m is np.ma.masked else m},{note},{n}" for i, ra, dec, m, note, n in rows()]
        path.write_text('"# a comment, with a comma",,,,,\nobjid,RA,DEC,r,note,n\n' + "\n".join(lines) + "\n")
    elif kind == "parquet":
        tables.write(rows(), path)
    elif kind == "fits":
        filled = rows()
        filled["r"] = filled["r"].filled(np.nan)
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(filled)]).writeto(path)
    else:
        rows().write(path, format={"votable": "votable", "ecsv": "ascii.ecsv"}[kind])


@pytest.mark.parametrize(("kind", "suffix"), [("csv", ".csv"), ("fits", ".fits"), ("votable", ".vot"), ("parquet", ".parquet"), ("ecsv", ".ecsv")])
def test_every_format_gives_the_same(live, tmp_path, kind, suffix):
    path = tmp_path / f"t{suffix}"
    write(path, kind)
    found = table.fetch(live, file=str(path), columns=MAPPING)
    assert found["object_id"].tolist() == found["galaxy_id"].tolist() == [str(i) for i in IDS]
    assert found["ra"].tolist() == [10.0, 20.5, 359.9] and found["dec"].tolist() == [-1.0, 30.25, 89.0]
    assert np.ma.getmaskarray(found["mag"]).tolist() == [False, False, True] and found["mag"][1] == 18.0
    assert found["note"].tolist() == ["a", "b", ""] and found["n"].tolist() == [1, 2, 3] and found["n"].dtype.kind == "i"
    assert str(found["ra"].unit) == "deg" and found["object_id"].info.meta["ucd"] == "meta.id;meta.main"
    assert found.meta["origin"]["archive"] == "file" and not found.meta["origin"]["simulated"]
    tables.write(found, tmp_path / "out.parquet")


def test_only_wanted_columns_are_kept(live, tmp_path):
    write(tmp_path / "t.parquet", "parquet")
    found = table.fetch(live, file=str(tmp_path / "t.parquet"), columns={**MAPPING, "oh_p50": "r"}, keep=["note"])
    assert found.colnames == ["object_id", "galaxy_id", "ra", "dec", "mag", "oh_p50", "note"]


def test_a_url(archive, live, tmp_path):
    write(tmp_path / "t.csv", "csv")
    archive.files["/x/t.csv"] = (tmp_path / "t.csv").read_bytes()
    url = f"http://127.0.0.1:{archive.server_port}/x/t.csv"
    assert len(table.fetch(live, url=url, columns=MAPPING)) == 3
    assert len(table.fetch(live, url=f"{url}?v=2", format="csv", columns=MAPPING)) == 3
    with pytest.raises(ArchiveError, match="https"):
        table.fetch(live, url="file:///etc/passwd", format="csv", columns=MAPPING)


VOTABLE = (
    '<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE name="J/A+A/1/1" type="results">'
    '{mark}<INFO name="QUERY_STATUS" value="OK"/><TABLE name="J/A+A/1/1/t"><FIELD name="Name" datatype="char" arraysize="*"/>'
    '<FIELD name="RAJ2000" datatype="char" arraysize="*" unit="&quot;h:m:s&quot;"/><FIELD name="DEJ2000" datatype="char" arraysize="*"/>'
    "<DATA><TABLEDATA><TR><TD>A 1</TD><TD>03 32 14.40</TD><TD>-27 41 34</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
)
NAMES = {"object_id": "Name", "ra": "RAJ2000", "dec": "DEJ2000"}


def test_vizier_and_tap_with_sexagesimal_positions(archive, open_transport):
    archive.files["/viz-bin/votable"] = archive.files["/TAPVizieR/tap/sync"] = VOTABLE.format(mark="").encode()
    live = open_transport("live")
    for found in (
        table.fetch(live, vizier="J/A+A/1/1/t", columns=NAMES),
        table.fetch(live, vizier={"table": "J/A+A/1/1/t", "constraints": {"Name": "A*"}}, columns=NAMES),
        table.fetch(live, tap={"service": "tapvizier", "query": 'SELECT * FROM "J/A+A/1/1/t"'}, columns=NAMES, doi="10.1/x"),
    ):
        assert found["object_id"].tolist() == ["A 1"]
        assert found["ra"][0] == pytest.approx(53.06) and found["dec"][0] == pytest.approx(-(27 + 41 / 60 + 34 / 3600))
    assert found.meta["origin"]["doi"] == "10.1/x"
    archive.files["/TAPVizieR/tap/sync"] = VOTABLE.format(mark='<INFO name="SIMULATED" value="T"/>').encode()
    simulated = table.fetch(open_transport("simulated-1"), tap={"service": "tapvizier", "query": "SELECT 1"}, columns=NAMES, doi="10.1/x")
    assert simulated["object_id"].tolist() == ["SIM-A 1"] and simulated.meta["origin"]["doi"] is None


def test_galaxy_zoo_1_keeps_its_64_bit_ids(live, shared_data):
    path = shared_data / "catalogs" / "gz1_votes_combined_10k.csv"
    listed = [line.split(",")[0] for line in path.read_text().splitlines()[2:]]
    names = {"object_id": "objid", "ra": "nvote", "dec": "elliptical"}
    with pytest.raises(CatalogueError, match="no column 'ra'"):
        table.fetch(live, file=str(path), columns={**names, "ra": "ra"})
    with pytest.raises(CatalogueError, match=r"'1237648673994965546', .* and 6 more stand in more than one row"):
        table.fetch(live, file=str(path), columns=names)
    found = table.fetch(live, file=str(path), columns=names, duplicates="drop", without_position="drop")
    stars = {line.split(",")[0] for line in path.read_text().splitlines()[2:] if line.split(",")[2] == ""}
    assert found["object_id"].tolist() == [name for name in dict.fromkeys(listed) if name not in stars] and len(found["object_id"][0]) == 19
    assert found.meta["origin"]["dropped_duplicates"] == len(listed) - len(set(listed)) == 11


def test_a_survey_that_no_paper_used(live, shared_data):
    path = shared_data / "catalogs" / "gz_decals_panoptes_votes.csv"
    names = {"object_id": "subject_id", "ra": "ra", "dec": "dec", "p_smooth": "smooth-or-featured_smooth_fraction"}
    found = table.fetch(live, file=str(path), columns=names, keep=["smooth-or-featured_total-votes"])
    assert len(found) == 4000 and found["object_id"][0] == "20686062"
    assert found["p_smooth"][0] == pytest.approx(0.45) and found["smooth-or-featured_total-votes"][0] == 40


def test_rows_without_a_position(live, tmp_path):
    (tmp_path / "t.csv").write_text("objid,RA,DEC\n1,10,5\n2,,5\n3,11,nan\n")
    options = {"file": str(tmp_path / "t.csv"), "columns": {k: v for k, v in MAPPING.items() if k != "mag"}}
    with pytest.raises(CatalogueError, match=r"2 rows have no position in degrees, the first is 2"):
        table.fetch(live, **options)
    found = table.fetch(live, **options, without_position="drop")
    assert found["object_id"].tolist() == ["1"] and found.meta["origin"]["dropped_without_position"] == 2
    kept = table.fetch(live, **options, without_position="keep")
    assert kept["object_id"].tolist() == ["1", "2", "3"] and rows_where(kept, "ra IS NOT NULL AND dec IS NOT NULL").tolist() == [True, False, False]
    (tmp_path / "t.csv").write_text("objid,RA,DEC\n1,10,95\n2,,5\n")
    with pytest.raises(CatalogueError, match=r"1 rows have no position in degrees, the first is 1 \(10.0, 95.0\)"):
        table.fetch(live, **options, without_position="keep")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "not none"),
        ({"file": "a.csv", "vizier": "x"}, "not vizier and file"),
        ({"file": "there-is-no.csv"}, "no such file"),
        ({"file": "a.dat"}, "give format"),
        ({"file": "a.csv", "format": "xlsx"}, "choose csv, fits"),
        ({"tap": {"service": "tapvizier"}}, "tap needs 'query'"),
        ({"tap": {"service": "tapvizier", "query": "x", "limit": 3}}, "not limit"),
        ({"tap": {"service": "gaia", "query": "x"}}, "no TAP service"),
    ],
)
def test_where_a_table_comes_from_must_be_clear(live, options, words):
    with pytest.raises(CatalogueError, match=words):
        table.fetch(live, columns=MAPPING, **options)


def test_mistakes_in_the_mapping_are_named(live, tmp_path):
    write(tmp_path / "t.csv", "csv")
    path = str(tmp_path / "t.csv")
    with pytest.raises(CatalogueError, match="must say which column is dec; the table has objid, RA"):
        table.fetch(live, file=path, columns={"object_id": "objid", "ra": "RA"})
    with pytest.raises(CatalogueError, match="no column 'r_mag'; the nearest it has is 'RA'"):
        table.fetch(live, file=path, columns={**MAPPING, "mag": "r_mag"})
    with pytest.raises(CatalogueError, match="choose refuse, keep or drop"):
        table.fetch(live, file=path, columns=MAPPING, without_position="skip")


def test_an_object_that_stands_twice_is_named(live, tmp_path):
    (tmp_path / "t.csv").write_text("objid,RA,DEC,r\n7,1,1,1\n8,2,2,2\n7,3,3,3\n")
    with pytest.raises(CatalogueError, match="'7' stand in more than one row"):
        table.fetch(live, file=str(tmp_path / "t.csv"), columns=MAPPING)


@pytest.mark.parametrize("kind", ["fits", "parquet", "votable", "ecsv"])
def test_a_file_of_another_kind_is_refused(live, tmp_path, kind):
    (tmp_path / "t.bin").write_bytes(b"this is no table\n")
    with pytest.raises(CatalogueError, match=r"cannot be read|no table|not"):
        table.fetch(live, file=str(tmp_path / "t.bin"), format=kind, columns=MAPPING)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8, unique=True))
def test_identifiers_keep_all_digits_or_are_refused(values):
    expected = [str(v) for v in values]
    assert identifiers(np.array(values, dtype=np.uint64), "t").tolist() == expected
    assert identifiers(np.array(expected), "t").tolist() == expected
    floats = np.array(values, dtype=float)
    if max(values) < 2**53:
        assert identifiers(floats, "t").tolist() == expected
    else:
        with pytest.raises(CatalogueError, match="lost digits"):
            identifiers(floats, "t")
