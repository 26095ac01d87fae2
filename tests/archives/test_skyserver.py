"""SkyServer: its CSV, its errors, its pages and its pictures, recorded and made up."""

import json
import urllib.parse
from collections.abc import Callable

import numpy as np
import pytest
from cutout_bodies import picture
from hypothesis import given
from hypothesis import strategies as st
from misbehaving_server import Handler, content, reply, status

from tuningfork.archives import skycsv, skyserver
from tuningfork.archives.checks import BadReply
from tuningfork.errors import ArchiveError, CatalogueError, OutsideFootprint

PATH = "/dr14/SkyServerWS/SearchTools/SqlSearch"
PICTURE = "/dr14/SkyServerWS/ImgCutout/getjpeg"


@pytest.fixture
def sky(server, make_transport):
    return make_transport(endpoints={"skyserver": server.url})


def csv(*lines: str) -> bytes:
    return ("\n".join(["#Table1", *lines]) + "\n").encode()


def test_a_recorded_reply_keeps_every_digit(server, sky, shared_data):
    body = (shared_data / "responses/sdss/xid_sp.txt").read_bytes()
    server.on(PATH, content(body, "text/plain"))
    found = skyserver.sql(sky, "SELECT TOP 1 * FROM x", text=("SpecObjID",))
    assert found["objid"].dtype == np.int64
    assert found["objid"][0] == 1237652943176138868
    assert found["specobjid"][0] == "845594848269461504"
    assert found["z"][0] == 0.04559058
    assert found["instrument"][0] == "SDSS"
    asked = dict(urllib.parse.parse_qsl(server.seen[0].body.decode()))
    assert (server.seen[0].method, asked) == ("POST", {"cmd": "SELECT TOP 1 * FROM x", "format": "csv"})
    origin = found.meta["origin"]
    assert (origin["catalogue"], origin["rows"], origin["simulated"]) == ("SDSS DR14", 1, False)
    assert json.loads(json.dumps(found.meta)) == found.meta


def test_types_are_those_of_the_values(tmp_path):
    columns = skycsv.parse_table(b"id,big,x,flag,name,none\n1,18446744073709551615,1.5,null,a,\n-2,3,-1e3,7,,\n")
    found = skycsv.typed(columns)
    assert [found[name].dtype.kind for name in found.colnames] == ["i", "u", "f", "i", "U", "U"]
    assert found["big"][0] == 2**64 - 1
    assert list(np.ma.getmaskarray(found["flag"])) == [True, False]
    assert list(found["name"]) == ["a", ""]
    longer = skycsv.typed(skycsv.parse_table(b"id\n123456789012345678901234567890\n"))
    assert longer["id"][0] == "123456789012345678901234567890"


def test_an_empty_result_has_its_columns(server, sky):
    server.on(PATH, content(csv("specObjID,ra"), "text/plain"))
    found = skyserver.sql(sky, "SELECT specObjID, ra FROM SpecObj WHERE 1 = 0")
    assert (found.colnames, len(found)) == (["specObjID", "ra"], 0)


def test_quotes_are_read_as_they_are_written():
    assert skycsv.split_row('1,"a "b", c",2', 3) == ["1", 'a "b", c', "2"]
    assert skycsv.split_row('"x",1', 2) == ['"x"', "1"]
    assert skycsv.split_row('5" ring,"a, b"', 2) == ['5" ring', "a, b"]
    with pytest.raises(BadReply, match="cannot be read as 2"):
        skycsv.split_row('1,"2",3', 2)
    with pytest.raises(CatalogueError, match="two ways"):
        skycsv.split_row('"a,"b","c,d"', 2)


values = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=8) | st.text('a",', max_size=6)


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(values, min_size=n, max_size=n), min_size=1, max_size=5)))
def test_whatever_the_writer_writes_is_read_back_or_refused(rows):
    count = len(rows[0])
    lines = [",".join(f'"{value}"' if "," in value else value for value in row) for row in rows]
    body = ("\n".join(["#Table1", ",".join(f"c{i}" for i in range(count)), *lines]) + "\n").encode()
    if count == 1 and not all(lines):
        return  # A single empty value is a blank line, which ends a table.
    try:
        found = skycsv.parse_table(skycsv.split_tables(body)[0][1])
    except CatalogueError as error:
        assert "two ways" in str(error)
        return
    assert [list(row) for row in zip(*(column.to_pylist() for column in found.values), strict=True)] == rows


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_no_identifier_loses_a_digit(numbers):
    found = skycsv.typed(skycsv.parse_table(("id\n" + "\n".join(map(str, numbers)) + "\n").encode()))
    assert [int(value) for value in found["id"]] == numbers


def test_several_tables_are_told_apart_and_refused_where_one_was_asked(server, sky):
    body = b"#Table1\na\n1\n\n#Table2\nb,c\n2,3\n"
    assert [name for name, _ in skycsv.split_tables(body)] == ["Table1", "Table2"]
    server.on(PATH, content(body, "text/plain"))
    with pytest.raises(CatalogueError, match="2 tables"):
        skyserver.sql(sky, "SELECT 1; SELECT 2")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (csv("a,b", "1,2", "3"), "2 values|2 columns"),
        (csv("a,A", "1,2"), "one name"),
        (b"#Table1\na,b\n1,2\n3,", "cut in its last line"),
        (b"<html><title>down</title>maintenance</html>", "a page in place of a table"),
        (b"", "no table"),
    ],
)
def test_what_is_no_table_is_an_error(server, sky, body, words):
    server.on(PATH, content(body, "text/plain"))
    with pytest.raises(ArchiveError if "one name" not in words else CatalogueError, match=words):
        skyserver.sql(sky, "SELECT a")


def test_a_full_minute_is_waited_for(server, sky):
    busy = csv("error_message", "ERROR: Maximum 60 queries allowed per minute. Rejected query: SELECT a")
    server.on(PATH, content(busy, "text/plain"), content(csv("a", "1"), "text/plain"))
    assert skyserver.sql(sky, "SELECT a FROM t")["a"][0] == 1
    assert server.count("POST") == 2


@pytest.mark.parametrize("words", ["error: must be a select statement: drop table", "error: limit is top 500000"])
def test_a_wrong_query_is_not_asked_again(server, sky, words):
    server.on(PATH, content(csv("error_message", words), "text/plain"))
    with pytest.raises(ArchiveError, match=words.split(":")[1].strip()):
        skyserver.sql(sky, "SELECT a")
    assert server.count("POST") == 1


def shaped(code: int, words: str) -> Callable[[Handler], None]:
    return status(code, json.dumps({"ErrorCode": code, "ErrorType": "x", "ErrorMessage": words, "LogMessageID": "abc"}).encode())


def test_the_servers_words_are_in_the_error(server, sky):
    server.on(PATH, shaped(500, "Invalid column name 'specobj'."))
    with pytest.raises(ArchiveError, match=r"Invalid column name 'specobj'.*LogMessageID abc"):
        skyserver.sql(sky, "SELECT specobj FROM t")
    assert server.count("POST") == 1
    server.on(PATH, shaped(500, "Timeout expired."), content(csv("a", "1"), "text/plain"))
    assert len(skyserver.sql(sky, "SELECT a FROM u")) == 1


class Database:
    """Answers COUNT and pages of 1..n as SQL Server would."""

    def __init__(self, keys: list[int]) -> None:
        self.keys = keys

    def __call__(self, handler: Handler) -> None:
        query = dict(urllib.parse.parse_qsl(handler.server.seen[-1].body.decode()))["cmd"]
        if "COUNT(*)" in query:
            return reply(handler, 200, csv("n", str(len(self.keys))))
        top = int(query.split("TOP ")[1].split()[0])
        last = int(query.split("page.id > ")[1].split()[0]) if "page.id > " in query else -1
        rows = [key for key in self.keys if key > last][:top]
        return reply(handler, 200, csv("id,x", *(f"{key},{key / 2}" for key in rows)))


def test_pages_add_up_and_come_from_the_cache(server, sky):
    keys = [2**60 + 3 * i for i in range(11)]
    server.on(PATH, Database(keys))
    found = skyserver.sql_paged(sky, "SELECT S.id, S.x FROM S WHERE S.x IN (SELECT TOP 5 x FROM u ORDER BY x);", key="S.id", page_rows=4)
    assert list(found["id"]) == keys
    assert len(found.meta["origin"]["pages"]) == 3
    before = server.count("POST")
    skyserver.sql_paged(sky, "SELECT S.id, S.x FROM S WHERE S.x IN (SELECT TOP 5 x FROM u ORDER BY x)", key="id", page_rows=4)
    assert server.count("POST") == before


def test_an_empty_query_has_one_empty_page(server, sky):
    server.on(PATH, Database([]))
    assert len(skyserver.sql_paged(sky, "SELECT id, x FROM S", key="id")) == 0


@pytest.mark.parametrize(
    ("query", "words"),
    [("SELECT TOP 5 id FROM S", "TOP"), ("SELECT id FROM S ORDER BY id", "ORDER BY"), ("WITH a AS (SELECT 1) SELECT id FROM a", "another verb")],
)
def test_what_cannot_be_paged_is_refused_unasked(server, sky, query, words):
    with pytest.raises(CatalogueError, match=words):
        skyserver.sql_paged(sky, query, key="id")
    assert not server.seen


def test_pages_that_would_lose_rows_are_refused(server, sky):
    server.on(PATH, Database([1, 2, 2, 3]))
    with pytest.raises(CatalogueError, match="not unique"):
        skyserver.sql_paged(sky, "SELECT id, x FROM S", key="id", page_rows=2)
    with pytest.raises(CatalogueError, match="not among the columns"):
        skyserver.sql_paged(sky, "SELECT id, x FROM S", key="objid", page_rows=2)


def test_a_reply_as_long_as_the_limit_may_be_cut(server, sky, monkeypatch):
    monkeypatch.setattr(skyserver, "MAX_ROWS", 3)
    server.on(PATH, content(csv("a", "1", "2", "3"), "text/plain"))
    with pytest.raises(CatalogueError, match="sql_paged"):
        skyserver.sql(sky, "SELECT a")


def test_a_recorded_picture_passes(server, sky, shared_data):
    server.on(PICTURE, content((shared_data / "responses/sdss/TestGalaxy.jpeg").read_bytes(), "image/jpeg"))
    assert sky.fetch_request(skyserver.getjpeg_request(184.95, 0.73, 0.396, 512)).path.stat().st_size == 52726
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(server.seen[0].target).query))
    assert asked == {"ra": "184.95", "dec": "0.73", "scale": "0.396", "width": "512", "height": "512"}


@pytest.mark.parametrize(
    ("behaviour", "error", "words", "times"),
    [
        (status(404, picture(64)), OutsideFootprint, "outside the SDSS footprint", 1),
        (content(picture(64, uniform=True)), OutsideFootprint, "one colour", 1),
        (content(picture(100)), ArchiveError, "100 x 100 pixels, where 64 x 64", 1),
        (shaped(400, "There are not enough parameters"), ArchiveError, "not enough parameters", 1),
        (content(picture(64)[:-30]), ArchiveError, "end marker", 3),
        (content(b"\xff\xd8\xff nothing of a picture \xff\xd9"), ArchiveError, "damaged", 3),
    ],
)
def test_pictures_are_judged_by_their_bodies(server, sky, behaviour, error, words, times):
    server.on(PICTURE, behaviour)
    with pytest.raises(error, match=words):
        sky.fetch_request(skyserver.getjpeg_request(10.0, 2.0, 0.3, 64))
    assert server.count() == times


@pytest.mark.parametrize(("scale", "pixels", "release"), [(0.3, 63, "dr14"), (0.3, 2049, "dr14"), (0.01, 64, "dr14"), (2401.0, 64, "dr14"), (0.3, 64, "14")])
def test_what_would_be_clamped_is_refused(scale, pixels, release):
    with pytest.raises(ArchiveError, match="SkyServer"):
        skyserver.getjpeg_request(10.0, 2.0, scale, pixels, release=release)
