"""SQL of SkyServer and ADQL of the TAP services, executed over small tables; expected values are counted by hand or by numpy."""

import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import angular_separation
from hypothesis import given
from hypothesis import strategies as st

from tuningfork.sky.sql import Database, SqlError

N = 200
LARGE_ID = 1237648704043942146


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(3)
    return {
        "objID": LARGE_ID + np.arange(N) * 3,
        "ra": rng.uniform(10, 11, N),
        "dec": rng.uniform(-1, 1, N),
        "type": np.where(np.arange(N) % 4 == 0, 6, 3).astype(np.int16),
        "petroMag_r": rng.uniform(14, 20, N).astype(np.float32),
        "class": np.where(np.arange(N) % 5 == 0, "STAR", "GALAXY"),
        "flags": np.where(np.arange(N) % 2 == 0, 0x10, 0x01),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory, arrays):
    root = tmp_path_factory.mktemp("tables")
    table = pa.table(arrays)
    described = [
        field.with_metadata({"unit": "deg", "ucd": "pos.eq.ra", "description": "right ascension"}) if field.name == "ra" else field for field in table.schema
    ]
    pq.write_table(table.cast(pa.schema(described)), root / "PhotoObj.parquet")
    z = pa.array([None if i == 7 else i / 1000 for i in range(N)], pa.float32())
    pq.write_table(
        pa.table({"specObjID": pa.array(np.arange(N) + 2**60), "bestObjID": arrays["objID"], "z": z, "name": [f'a "b", {i}' for i in range(N)]}),
        root / "SpecObj.parquet",
    )
    return root


@pytest.fixture(scope="module")
def skyserver(folder):
    tables = {("PhotoObj",): folder / "PhotoObj.parquet", ("SpecObj",): folder / "SpecObj.parquet"}
    return Database(tables, views={"Galaxy": "SELECT * FROM PhotoObj WHERE type = 3"}, dialect="tsql", max_rows=150)


@pytest.fixture(scope="module")
def vizier(folder):
    return Database({("J/ApJ/1/2/table3",): folder / "PhotoObj.parquet", ("des_dr1", "main"): folder / "PhotoObj.parquet"}, dialect="adql", max_rows=150)


@pytest.fixture(scope="module")
def datalab(folder):
    return Database({("des_dr1", "main"): folder / "PhotoObj.parquet"}, dialect="adql", geometry=False)


def column(answer, name):
    return answer.values[[c.name for c in answer.columns].index(name)]


def test_a_join_with_cuts_gives_the_rows_that_numpy_finds(skyserver, arrays):
    answer = skyserver.run(
        "SELECT G.objID, S.specObjID, G.ra, G.dec, S.z, G.petroMag_r\nFROM dbo.SpecObj AS S JOIN Galaxy G ON G.objID = S.bestObjID\n"
        "WHERE (G.petroMag_r > 15) AND (G.petroMag_r < 18) and s.Z between 0.02 and 0.3 -- a comment"
    )
    rows = np.arange(N)
    keep = (arrays["type"] == 3) & (arrays["petroMag_r"] > 15) & (arrays["petroMag_r"] < 18) & (rows / 1000 > 0.0199) & (rows != 7)
    assert [c.name for c in answer.columns] == ["objID", "specObjID", "ra", "dec", "z", "petroMag_r"]
    assert sorted(column(answer, "objID")) == sorted(arrays["objID"][keep].tolist())
    assert set(column(answer, "specObjID")) == {2**60 + i for i in np.flatnonzero(keep).tolist()}
    assert [c.type for c in answer.columns][:2] == ["BIGINT", "BIGINT"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("SELECT TOP 3 objID FROM PhotoObj ORDER BY objID DESC", [[LARGE_ID + 3 * (N - 1 - i) for i in range(3)]]),
     ("select count(*) from galaxy", [[150]]), ("select Count(*) as n from [dbo].[PhotoObj] with (nolock) where [class] = 'galaxy'", [[160]]),
     ("select count(*) from PhotoObj where (flags & 0x10) <> 0", [[100]]), ("select top 1 1/2, 7/2, 1.0/2 from SpecObj", [[0], [3], [0.5]]),
     ("select top 1 str(1.256, 8, 2) as s, cast(3 as float) as f, isnull(z, -1) as z from SpecObj where z is null", [["    1.26"], [3.0], [-1.0]]),
     ("select max(z) - min(z) as w from BestDR17.dbo.SpecObjAll", SqlError),
     ("select p.objid from PhotoObj p where p.objid in (select bestObjID from SpecObj where z < 0.002)",
      [[LARGE_ID, LARGE_ID + 3]]), ("with s as (select top 2 * from SpecObj order by z desc) select count(*) n from s", [[2]]),
     ("select type, count(*) as n from PhotoObj group by type order by type", [[3, 6], [150, 50]]),
     ("select log(power(10., 2)) l, log10(100) m from SpecObj where specObjID = 1152921504606846976", [[pytest.approx(4.60517018)], [2.0]])],
)  # fmt: skip
def test_the_words_of_sql_server(skyserver, text, expected):
    if expected is SqlError:
        with pytest.raises(SqlError, match="Invalid object name"):
            skyserver.run(text)
    else:
        answer = skyserver.run(text)
        assert [list(values) for values in answer.values] == expected


def test_unnamed_and_double_columns_have_names_of_their_own(skyserver):
    answer = skyserver.run("select top 1 count(*), max(z), s.z as q from SpecObj s group by s.z")
    assert [c.name for c in answer.columns] == ["Column1", "Column2", "q"]
    answer = skyserver.run("select top 1 a.*, b.* from SpecObj a join SpecObj b on a.specObjID = b.specObjID")
    assert [c.name for c in answer.columns] == ["specObjID", "bestObjID", "z", "name", "specObjID1", "bestObjID1", "z1", "name1"]


def test_units_and_ucds_come_with_the_columns(skyserver):
    (ra,) = skyserver.run("select top 1 ra from PhotoObj").columns
    assert (ra.unit, ra.ucd, ra.description) == ("deg", "pos.eq.ra", "right ascension")


@pytest.mark.parametrize(
    ("text", "kind"),
    [("drop table PhotoObj", "not_select"), ("select 1; select 2", "not_select"), ("insert into PhotoObj values (1)", "not_select"), ("", "not_select"),
     ("select * into mydb.x from PhotoObj", "object"), ("select * from read_csv('/etc/passwd')", "object"), ("select * from '/etc/passwd'", "object"),
     ("select * from duckdb_settings()", "object"), ("select * from sqlite_master", "object"), ("select * from information_schema.tables", "object"),
     ("select top 151 * from PhotoObj", "top"), ("select wrong from PhotoObj", "error"), ("select from where", "syntax"), ("select * from NoSuch", "object"),
     ("select * from PhotoObj p, unnest([1,2]) q", "object"), ("select * from (select * from read_text('/etc/hostname')) t", "object"),
     ("select nosuchfunction(1) from PhotoObj", "error"), ("copy PhotoObj to '/tmp/x'", "not_select"), ("set threads = 1", "not_select")],
)  # fmt: skip
def test_what_is_no_plain_select_over_the_tables_is_refused(skyserver, text, kind):
    with pytest.raises(SqlError) as refused:
        skyserver.run(text)
    assert refused.value.kind == kind or (kind == "object" and refused.value.kind == "syntax")


@given(st.text(max_size=60))
def test_any_text_is_an_answer_or_a_refusal(skyserver, text):
    for query in (text, f"select {text}", f"select * from PhotoObj where {text}"):
        try:
            skyserver.run(query)
        except SqlError:
            pass


def test_files_stay_shut_even_for_the_database_itself(skyserver, tmp_path):
    (tmp_path / "x.csv").write_text("a\n1\n")
    with pytest.raises(Exception, match="disabled by configuration"):
        skyserver._connection.cursor().execute(f"select * from read_csv('{tmp_path}/x.csv')")
    with pytest.raises(Exception, match="locked"):
        skyserver._connection.cursor().execute("set enable_external_access = true")


def test_more_rows_than_allowed_are_cut_and_told(skyserver):
    answer = skyserver.run("select * from PhotoObj")
    assert len(answer) == 150 and answer.overflow
    assert len(skyserver.run("select * from PhotoObj", max_rows=5)) == 5
    assert not skyserver.run("select * from Galaxy").overflow


def test_a_query_that_takes_too_long_is_stopped(folder):
    database = Database({("SpecObj",): folder / "SpecObj.parquet"}, dialect="tsql", seconds=0.05)
    with pytest.raises(SqlError, match="Timeout") as refused:
        database.run("select count(*) from SpecObj a, SpecObj b, SpecObj c, SpecObj d, SpecObj e where a.z + b.z + c.z + d.z < e.z")
    assert refused.value.kind == "timeout"
    assert len(database.run("select top 1 * from SpecObj")) == 1


def test_many_threads_at_once(skyserver):
    found = []
    threads = [threading.Thread(target=lambda: found.append(skyserver.run("select count(*) from Galaxy").values)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[[150]]] * 8


@pytest.mark.parametrize("frame", ["'ICRS', ", ""])
def test_a_cone_search_in_adql(vizier, arrays, frame):
    answer = vizier.run(
        f'SELECT TOP 100 objID, DISTANCE(POINT({frame}ra, dec), POINT({frame}10.5, 0.1)) AS d FROM "J/ApJ/1/2/table3"'
        f" WHERE 1 = CONTAINS(POINT({frame}ra, dec), CIRCLE({frame}10.5, 0.1, 0.3)) ORDER BY d"
    )
    distance = np.degrees(angular_separation(*np.radians([arrays["ra"], arrays["dec"], np.full(N, 10.5), np.full(N, 0.1)])))
    order = np.argsort(distance)[: (distance <= 0.3).sum()]
    assert column(answer, "objID") == arrays["objID"][order].tolist() and len(order) > 5
    np.testing.assert_allclose(column(answer, "d"), distance[order], rtol=1e-9)


def test_tap_schema_lists_tables_and_columns(vizier):
    assert sorted(vizier.run("SELECT table_name FROM TAP_SCHEMA.tables").values[0]) == ["J/ApJ/1/2/table3", "des_dr1.main"]
    answer = vizier.run("SELECT column_name, unit FROM tap_schema.columns WHERE table_name = 'J/ApJ/1/2/table3'")
    assert ("ra", "deg") in zip(*answer.values, strict=True) and len(answer) == 7


def test_the_data_lab_knows_q3c_but_no_points(datalab, arrays):
    answer = datalab.run("SELECT objID FROM des_dr1.main WHERE 't' = q3c_radial_query(ra, dec, 10.5, 0.1, 0.3)")
    distance = np.degrees(angular_separation(*np.radians([arrays["ra"], arrays["dec"], np.full(N, 10.5), np.full(N, 0.1)])))
    assert sorted(answer.values[0]) == sorted(arrays["objID"][distance <= 0.3].tolist())
    for text in (
        "SELECT ra FROM des_dr1.main WHERE 1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', 10, 0, 1))",
        "SELECT POINT('ICRS', ra, dec) FROM des_dr1.main",
        "SELECT COUNT(DISTINCT type) FROM des_dr1.main",
        "SELECT ra FROM des_dr1.main ORDER BY q3c_dist(ra, dec, 10, 0)",
    ):
        with pytest.raises(SqlError):
            datalab.run(text)
