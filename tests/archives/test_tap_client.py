"""TAP: recorded replies and made-up ones; what is a result, what is an error, what is a cut."""

from urllib.parse import parse_qsl

import numpy as np
import pytest
from misbehaving_server import content, status

from tuningfork.archives import tap
from tuningfork.errors import ArchiveError, CatalogueError

VIZIER = "/TAPVizieR/tap/sync"
DATALAB = "/tap/sync"
ADQL = 'SELECT TOP 3 * FROM "J/MNRAS/470/95/macs0717"'
FIELDS = '<FIELD name="id" datatype="long" ucd="meta.id"/><FIELD name="ra" datatype="double" unit="deg"/>'
ROWS = "<TR><TD>1237648722819547442</TD><TD>1.5</TD></TR><TR><TD>2</TD><TD></TD></TR>"


@pytest.fixture
def transport(make_transport, server):
    return make_transport(endpoints={"tapvizier": server.url, "datalab": server.url})


def old_votable(rows: str = ROWS, info: str = "", end: str = "") -> bytes:
    """A VOTable 1.2 that names no namespace."""
    return (
        f'<?xml version="1.0"?><VOTABLE version="1.2"><RESOURCE type="results">{info}<TABLE>{FIELDS}'
        f"<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE>{end}</RESOURCE></VOTABLE>"
    ).encode()


def test_a_query_is_posted_once_and_its_result_is_a_table(server, transport, shared_data):
    server.on(VIZIER, content((shared_data / "responses/tap/basic.xml").read_bytes(), "application/x-votable+xml"))
    found = tap.query(transport, "tapvizier", f" {ADQL};\n")
    assert server.seen[0].method == "POST"
    assert dict(parse_qsl(server.seen[0].body.decode())) == {"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "votable", "QUERY": ADQL}
    assert found.colnames == ["1", "2"] and found["1"].tolist() == [23, 42, 1337]
    assert found["2"][1] == "Don't panic, and always carry a towel" and found["1"].info.meta == {"ucd": "foo;bar"}
    origin = found.meta["origin"]
    assert (origin["archive"], origin["query"], origin["rows"], origin["simulated"]) == ("tapvizier", ADQL, 3, False)
    assert tap.query(transport, "tapvizier", ADQL).meta == found.meta and server.count("POST") == 1


def test_the_recorded_error_is_an_error_though_it_carries_a_table(server, transport, shared_data):
    server.on(VIZIER, content((shared_data / "responses/tap/errorstatus.xml").read_bytes(), "application/x-votable+xml"))
    with pytest.raises(ArchiveError, match="QUERY_STATUS=ERROR"):
        tap.query(transport, "tapvizier", ADQL)
    assert server.count("POST") == 1


def test_the_recorded_overflow_is_an_error_that_names_the_limit(server, transport, shared_data):
    server.on(VIZIER, content((shared_data / "responses/tap/overflowstatus.xml").read_bytes(), "application/x-votable+xml"))
    with pytest.raises(CatalogueError, match=r"cut the result after 3 rows: there are more than 2 rows \(maxrec\)"):
        tap.query(transport, "tapvizier", ADQL, maxrec=2)
    assert dict(parse_qsl(server.seen[0].body.decode()))["MAXREC"] == "3"


def test_votable_1_2_without_namespace(server, transport):
    server.on(DATALAB, content(old_votable(), "text/xml"))
    found = tap.query(transport, "datalab", "select id, ra from des_dr2.main", maxrec=2)
    assert found["id"].tolist() == [1237648722819547442, 2] and found["id"].dtype == np.int64
    assert found["ra"].mask.tolist() == [False, True] and str(found["ra"].unit) == "deg"


def test_the_service_s_words_are_told(server, transport):
    error = old_votable(info='<INFO name="QUERY_STATUS" value="ERROR">relation "des_dr3.main"\n does not exist</INFO>')
    server.on(DATALAB, content(error, "text/xml"))
    with pytest.raises(ArchiveError, match=r'reports: relation "des_dr3.main" does not exist'):
        tap.query(transport, "datalab", "select 1 from des_dr3.main")
    assert server.count("POST") == 1


def test_an_error_that_may_pass_is_asked_again(server, transport):
    busy = old_votable(info='<INFO name="QUERY_STATUS" value="ERROR">Query timed out, please try again</INFO>')
    server.on(DATALAB, content(busy, "text/xml"), status(503), content(old_votable(), "text/xml"))
    assert len(tap.query(transport, "datalab", "select id, ra from t")) == 2
    assert server.count("POST") == 3


def test_a_cut_without_a_word_is_noticed(server, transport):
    server.on(DATALAB, content(old_votable(), "text/xml"))
    with pytest.raises(CatalogueError, match=r"more than 1 rows \(maxrec\)"):
        tap.query(transport, "datalab", "select id, ra from t", maxrec=1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>maintenance</html>", "an HTML page"),
        (old_votable()[:-30], "not a whole VOTable"),
        (b'<VOTABLE version="1.4"><RESOURCE/></VOTABLE>', "without a table"),
        (b"id,ra\n1,2\n", "not a whole VOTable"),
    ],
)
def test_what_is_no_result_is_refused(server, transport, body, words):
    server.on(DATALAB, content(body, "text/xml"))
    with pytest.raises(ArchiveError, match=words):
        tap.query(transport, "datalab", "select 1")


def test_an_empty_result_is_a_result(server, transport):
    server.on(DATALAB, content(old_votable(rows=""), "text/xml"))
    assert len(tap.query(transport, "datalab", "select id, ra from t where 1 = 0")) == 0


def test_unknown_services_and_empty_queries(transport):
    with pytest.raises(CatalogueError, match="the services are tapvizier, datalab"):
        tap.query(transport, "gaia", "select 1")
    with pytest.raises(CatalogueError, match="empty query"):
        tap.query(transport, "datalab", " ; ")


def test_a_simulated_result_must_say_so(server, make_transport):
    simulated = make_transport("simulated-1", endpoints={"datalab": server.url})
    server.on(DATALAB, content(old_votable(), "text/xml"), content(old_votable(info='<INFO name="SIMULATED" value="T"/>'), "text/xml"))
    with pytest.raises(ArchiveError, match="not marked as simulated"):
        tap.query(simulated, "datalab", "select 1")
    assert tap.query(simulated, "datalab", "select 1").meta["origin"]["simulated"] is True
