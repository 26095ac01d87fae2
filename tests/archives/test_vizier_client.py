"""VizieR's replies, recorded and made up: what is a table, what is an error, and whose."""

import json
import warnings
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from misbehaving_server import content, status

from tuningfork.archives import vizier
from tuningfork.archives.checks import BadReply
from tuningfork.archives.votable import read_tables, scan
from tuningfork.errors import ArchiveError, CatalogueError, TuningforkError

PATH = "/viz-bin/votable"
NAME = "J/MNRAS/470/95/macs0717"

FIELDS = """
<FIELD name="CLASHID" ucd="meta.id;meta.main" datatype="char" arraysize="*"><DESCRIPTION>Name</DESCRIPTION></FIELD>
<FIELD name="RAJ2000" ucd="pos.eq.ra;meta.main" datatype="double" unit="deg"><DESCRIPTION>Right ascension</DESCRIPTION></FIELD>
<FIELD name="F160WPZ" ucd="phot.mag" datatype="float" unit="mag"><DESCRIPTION>? magnitude</DESCRIPTION><VALUES null="NaN"/></FIELD>
<FIELD name="photFlag" datatype="int"><DESCRIPTION>? flag</DESCRIPTION><VALUES null="-32768"/></FIELD>
<FIELD name="logM*" datatype="float" unit="log(solMass)"><DESCRIPTION>mass</DESCRIPTION></FIELD>
<FIELD name="Note" datatype="char" arraysize="8*"/><FIELD name="nfd" datatype="short"/>"""
ROWS = """
<TR><TD>c_0001</TD><TD>109.3816</TD><TD>22.5</TD><TD>3</TD><TD>9.5</TD><TD>é&amp;</TD><TD>7</TD></TR>
<TR><TD>c_0002</TD><TD>109.4021</TD><TD></TD><TD>-32768</TD><TD></TD><TD></TD><TD></TD></TR>"""
RESOURCE_INFOS = """<INFO name="cites" value="bibcode:2017MNRAS.470...95M"/><INFO name="citation" value="doi:10.26093/cds/vizier.74700095"/>
<INFO name="publication_date" value="2018-01-30"/><INFO name="reference_url" value="https://cdsarc.cds.unistra.fr/viz-bin/cat/J/MNRAS/470/95"/>"""


def table(name: str = NAME, rows: str = ROWS) -> str:
    return f'<TABLE name="{name}"><DESCRIPTION>t</DESCRIPTION>{FIELDS}<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE>'


def reply(*tables: str, top: str = "", end: str = "") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<INFO name="service_protocol" value="ASU"/>{top}<RESOURCE name="J/MNRAS/470/95">{RESOURCE_INFOS}{"".join(tables)}'
        f'<INFO name="matches" value="2"/>{end}</RESOURCE></VOTABLE>'
    ).encode()


def xml(body: bytes):
    return content(body, "text/xml")


def asked(server) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(server.seen[-1].target).query)


def test_a_table_comes_with_units_ucds_masks_and_origin(server, transport):
    server.on(PATH, xml(reply(table())))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = vizier.query(transport, NAME)
    assert asked(server) == [("-out", "**"), ("-out.max", "unlimited"), ("-source", NAME)]
    assert found.colnames == ["CLASHID", "RAJ2000", "F160WPZ", "photFlag", "logM*", "Note", "nfd"]
    assert list(found["CLASHID"]) == ["c_0001", "c_0002"]
    assert list(found["Note"]) == ["é&", ""]
    assert not np.ma.getmaskarray(found["Note"]).any()
    assert found["RAJ2000"].dtype == np.float64
    assert list(found["RAJ2000"]) == [109.3816, 109.4021]
    assert str(found["RAJ2000"].unit) == "deg"
    assert found["RAJ2000"].info.meta == {"ucd": "pos.eq.ra;meta.main"}
    assert found["RAJ2000"].info.description == "Right ascension"
    for name in ("F160WPZ", "photFlag", "logM*", "nfd"):
        assert list(np.ma.getmaskarray(found[name])) == [False, True], name
    origin = found.meta["origin"]
    assert json.loads(json.dumps(found.meta)) == found.meta
    assert origin["catalogue"] == "J/MNRAS/470/95"
    assert origin["table"] == NAME
    assert origin["query"] == f"-out=**&-out.max=unlimited&-source={NAME}"
    assert origin["doi"] == "10.26093/cds/vizier.74700095"
    assert origin["bibcode"] == "2017MNRAS.470...95M"
    assert origin["publication_date"] == "2018-01-30"
    assert (origin["rows"], origin["simulated"], len(origin["sha256"])) == (2, False, 64)
    assert vizier.query(transport, NAME).meta == found.meta
    assert server.count() == 1


def test_columns_and_constraints_are_asked_for(server, transport):
    server.on(PATH, xml(reply(table())))
    vizier.query(transport, NAME, columns=["CLASHID", "F160WPZ"], constraints={"F160WPZ": "<24.5"}, max_rows=10, add=["Note"])
    assert asked(server) == [("-out", "CLASHID"), ("-out", "F160WPZ"), ("-out.add", "Note"), ("-out.max", "11"), ("-source", NAME), ("F160WPZ", "<24.5")]
    with pytest.raises(CatalogueError, match="came without column Zsp; it has CLASHID"):
        vizier.query(transport, NAME, columns=["CLASHID", "Zsp"])
    with pytest.raises(CatalogueError, match="not a directive"):
        vizier.query(transport, NAME, constraints={"-out.max": "5"})


def test_a_simulated_table_has_no_doi(server, make_transport):
    server.on(PATH, xml(reply(table(), top='<INFO name="SIMULATED" value="T"/>')))
    origin = vizier.query(make_transport("simulated-7"), NAME).meta["origin"]
    assert (origin["doi"], origin["bibcode"], origin["simulated"]) == (None, None, True)
    with pytest.raises(ArchiveError, match="marked as simulated"):
        vizier.query(make_transport("live"), NAME)


def test_more_rows_than_allowed_are_an_error(server, transport):
    server.on(PATH, xml(reply(table())))
    with pytest.raises(CatalogueError, match=f"{NAME} has more than 1 rows; ask for all"):
        vizier.query(transport, NAME, max_rows=1)
    assert len(vizier.query(transport, NAME, max_rows=2)) == 2


@pytest.mark.parametrize(
    "cut",
    [
        reply(table(), end='<INFO name="QUERY_STATUS" value="OVERFLOW"/>'),
        reply(table(), end='<INFO name="QUERY_STATUS" value="OVERFLOW">truncated result (maxtup=2)</INFO>'),
        reply(table(), top='<INFO ID="MaxTuples" name="-out.max" value="2"/>'),
    ],
)
def test_a_table_that_came_cut_is_an_error_and_not_kept(server, transport, tmp_path, cut):
    server.on(PATH, xml(cut))
    with pytest.raises(CatalogueError, match=f"VizieR table {NAME} came cut after 2 rows"):
        vizier.query(transport, NAME)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    "warning",
    [
        '<INFO name="Warning" value="Bad col/cst &quot;Zz&quot;"/>',
        '<INFO name="Warning" value="Bad col/cst &quot;Zz=&gt;5&quot;"/>',
        '<INFO name="Warning" value="Bad col/cst &quot;-out=Zz&quot;"/>',
        '<INFO name="Warning" value="!">Bad col/cst "Zz" in the query</INFO>',
    ],
)
def test_an_unknown_column_is_named(server, transport, warning):
    server.on(PATH, xml(reply(table(), end=warning)))
    with pytest.raises(CatalogueError, match="has no column 'Zz'"):
        vizier.query(transport, NAME, constraints={"Zz": ">5"})
    assert server.count() == 1


def test_other_warnings_are_logged(server, transport, caplog):
    server.on(PATH, xml(reply(table(), end='<INFO name="Warning" value="Table updated yesterday"/>')))
    vizier.query(transport, NAME)
    assert "the server warns: Table updated yesterday" in caplog.text


@pytest.mark.parametrize(("body", "words"), [(reply(), "knows no such table"), (reply(table(rows="")), "without a single row")])
def test_a_missing_or_empty_table_is_an_error(server, transport, body, words):
    server.on(PATH, xml(body))
    with pytest.raises(CatalogueError, match=f"{NAME}.*{words}"):
        vizier.query(transport, NAME)


def test_no_row_within_the_constraints_is_an_answer(server, transport):
    server.on(PATH, xml(reply(table(rows=""))))
    assert len(vizier.query(transport, NAME, constraints={"F160WPZ": "<1"})) == 0


def test_of_several_tables_the_one_asked_for_is_taken(server, transport):
    server.on(PATH, xml(reply(table(rows=""), table(NAME + "b"), table("x"))))
    found = vizier.query(transport, NAME + "b")
    assert (len(found), found.meta["origin"]["table"]) == (2, NAME + "b")
    with pytest.raises(CatalogueError, match=f"J/MNRAS/470/95 has 3 tables: {NAME}, {NAME}b, x; ask for one"):
        vizier.query(transport, "J/MNRAS/470/95")


class TestServerErrors:
    def test_the_recorded_failure_is_retried_and_then_told_in_the_servers_words(self, server, transport, shared_data):
        failure = (shared_data / "responses/vizier/no_server_error.xml").read_bytes()
        server.on(PATH, xml(failure))
        with pytest.raises(ArchiveError, match=r"'vizier' did not give .*the server reports: The database is not currently reachable.; no connection;"):
            vizier.query(transport, NAME)
        assert server.count() == 3
        server.on(PATH, xml(failure), xml(reply(table())))
        assert len(vizier.query(transport, NAME)) == 2

    @pytest.mark.parametrize("words", ["Catalogue J/MNRAS/1/1 was not found", "Unknown table", "Syntax error near Hmag"])
    def test_a_wrong_request_is_not_repeated(self, server, transport, words):
        server.on(PATH, xml(reply(top=f'<INFO name="Error" value="{words}"/>')))
        with pytest.raises(ArchiveError, match=words):
            vizier.query(transport, NAME)
        assert server.count() == 1

    @pytest.mark.parametrize("fault", [content(b"<html><body>busy</body></html>"), content(reply(table())[:-40]), content(b""), status(502)])
    def test_pages_cut_replies_and_silence_are_retried(self, server, transport, fault):
        server.on(PATH, fault, xml(reply(table())))
        assert len(vizier.query(transport, NAME)) == 2
        assert server.count() == 2


class TestRecorded:
    def test_a_table_of_2013(self, shared_data):
        path = shared_data / "responses/vizier/kang2010.xml"
        ((name, found),) = read_tables(path)
        assert name == "J/ApJ/706/83/ysos"
        assert len(found) == scan(path).rows == 50
        assert found["SSTGLMC"][0] == "G048.7567-00.6341"
        assert found["Jmag"][0] == pytest.approx(15.89)
        assert (np.ma.getmaskarray(found["Jmag"]).sum(), np.ma.getmaskarray(found["[24]"]).sum()) == (37, 12)
        assert (str(found["_Glon"].unit), found["_Glon"].info.meta["ucd"]) == ("deg", "pos.galactic.lon")
        # Its server cut at 50 rows without a word.
        with pytest.raises(CatalogueError, match="came cut after 50 rows"):
            vizier.check_reply(path)

    def test_tap(self, shared_data):
        folder = shared_data / "responses/tap"
        vizier.check_reply(folder / "basic.xml")
        ((_, found),) = read_tables(folder / "basic.xml")
        assert [tuple(row) for row in found] == [(23, "Illuminatus"), (42, "Don't panic, and always carry a towel"), (1337, "Elite")]
        with pytest.raises(BadReply, match="the server reports: an error without a word"):
            vizier.check_reply(folder / "errorstatus.xml")
        with pytest.raises(CatalogueError, match="came cut after 3 rows"):
            vizier.check_reply(folder / "overflowstatus.xml")


class TestStrangers:
    BOMB = b'<?xml version="1.0"?><!DOCTYPE v [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><VOTABLE><INFO name="x" value="&b;"/></VOTABLE>'

    @pytest.mark.parametrize("body", [BOMB, b'<!DOCTYPE VOTABLE SYSTEM "file:///etc/passwd"><VOTABLE/>'])
    def test_a_doctype_is_refused_unread(self, server, transport, body):
        server.on(PATH, xml(body))
        with pytest.raises(ArchiveError, match="DOCTYPE"):
            vizier.query(transport, NAME)
        assert server.count() == 1

    @settings(deadline=None, max_examples=150)
    @given(data=st.data())
    def test_a_damaged_reply_is_a_table_or_an_error_of_ours(self, tmp_path_factory, data):
        body = bytearray(reply(table()))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(body) - 1))
            body[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=6))
        path = tmp_path_factory.getbasetemp() / "damaged.xml"
        path.write_bytes(body)
        try:
            vizier.check_reply(path)
            read_tables(path)
        except TuningforkError:
            pass
