"""TAP at VizieR's and at the Data Lab's stand-in, and the Data Lab's cutouts, over real HTTP; read by astropy and pyvo, compared with recorded replies."""

import io
import json
import re
import warnings
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pyvo
import requests
from astropy.io import fits
from astropy.io.votable import parse
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from tiny_surveys import TinySky

from tuningfork.archives import datalab as client
from tuningfork.sky.server import serve_services
from tuningfork.sky.services.bricks import brick_centre, plane_of
from tuningfork.sky.services.datalab import DataLab
from tuningfork.sky.services.tap import DATALAB, TAPVIZIER, Tap
from tuningfork.sky.sql import Database

TABLE = '"J/MNRAS/470/95/macs0717"'


@pytest.fixture(scope="module")
def sky():
    return TinySky()


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory, sky):
    path = tmp_path_factory.mktemp("tap") / "table.parquet"
    columns = {
        "CLASHID": pa.array([23, 42, 2**60 + 1]),
        "name": ["Illuminatus", "Don't <panic>, and", None],
        "RAJ2000": [10.0, 10.5, 11.0],
        "s2n": pa.array([1.5, None, 3.1], pa.float32()),
    }
    table = pa.table(columns)
    schema = pa.schema([field.with_metadata({"unit": "deg", "ucd": "pos.eq.ra;meta.main"}) if field.name == "RAJ2000" else field for field in table.schema])
    pq.write_table(table.cast(schema), path)
    services = {
        "tapvizier": Tap(Database({("J/MNRAS/470/95/macs0717",): path}), TAPVIZIER),
        "datalab": DataLab(sky, Tap(Database({("des_dr1", "main"): path}, geometry=False), DATALAB)),
    }
    with serve_services(services) as urls:
        yield urls


def vizier(endpoints, query, **more):
    return requests.post(
        endpoints["tapvizier"] + "/TAPVizieR/tap/sync", data={"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "votable", "QUERY": query, **more}, timeout=20
    )


def datalab(endpoints, query, **more):
    return requests.post(
        endpoints["datalab"] + "/tap/sync", data={"REQUEST": "doQuery", "LANG": "ADQL", "FORMAT": "votable", "QUERY": query, **more}, timeout=20
    )


def skeleton(body):
    """Tags and their nesting, without rows after the first, the mark of the simulation and values."""

    def of(element):
        children = [of(child) for child in element if child.get("name") != "SIMULATED"]
        return (re.sub(r"\{.*\}", "", element.tag), element.get("name") if element.tag.endswith("INFO") else None, tuple(dict.fromkeys(children)))

    return of(ElementTree.fromstring(body))


def test_the_reply_is_built_as_the_recorded_one(endpoints, shared_data):
    recorded = (shared_data / "responses" / "tap" / "basic.xml").read_bytes()
    reply = vizier(endpoints, f"SELECT CLASHID, name FROM {TABLE}")
    assert reply.status_code == 200 and skeleton(reply.content) == skeleton(recorded)
    ours, theirs = parse(io.BytesIO(reply.content)), parse(io.BytesIO(recorded))
    assert ours.version == theirs.version == "1.4"
    fields = [[(field.datatype, field.arraysize is not None) for field in document.get_first_table().fields] for document in (ours, theirs)]
    assert fields[0] == fields[1] == [("long", False), ("char", True)]
    assert reply.content.splitlines()[1].split(b" xmlns")[0] == b'<VOTABLE version="1.4"' and b"VOTable-1.4.xsd" in reply.content
    table = ours.get_first_table().to_table()
    assert list(table["CLASHID"]) == [23, 42, 2**60 + 1] and list(table["name"])[:2] == ["Illuminatus", "Don't <panic>, and"]


def test_a_cut_result_says_overflow_behind_the_table(endpoints, shared_data):
    reply = vizier(endpoints, f"SELECT * FROM {TABLE}", MAXREC=2)
    recorded = (shared_data / "responses" / "tap" / "overflowstatus.xml").read_bytes()
    statuses = [
        [(info.value, info.name) for info in parse(io.BytesIO(body)).resources[0].infos if info.name == "QUERY_STATUS"] for body in (reply.content, recorded)
    ]
    assert statuses[0] == statuses[1] and statuses[0][-1][0] == "OVERFLOW"
    assert len(parse(io.BytesIO(reply.content)).get_first_table().array) == 2


def test_units_ucds_and_blanks_come_along(endpoints):
    table = parse(io.BytesIO(vizier(endpoints, f"SELECT RAJ2000, s2n FROM {TABLE}").content)).get_first_table().to_table()
    assert str(table["RAJ2000"].unit) == "deg" and table["RAJ2000"].meta["ucd"] == "pos.eq.ra;meta.main"
    assert list(np.ma.getmaskarray(np.ma.masked_invalid(table["s2n"]))) == [False, True, False]


def test_csv_and_json(endpoints):
    reply = vizier(endpoints, f"SELECT CLASHID, name, s2n FROM {TABLE}", FORMAT="csv")
    assert reply.headers["Content-Type"].startswith("text/csv")
    assert reply.text == f'CLASHID,name,s2n\n23,Illuminatus,1.5\n42,"Don\'t <panic>, and",\n{2**60 + 1},,3.1\n'
    found = json.loads(vizier(endpoints, f"SELECT CLASHID, s2n FROM {TABLE}", FORMAT="json").text)
    assert found["data"] == [[23, 1.5], [42, None], [2**60 + 1, 3.1]] and found["simulated"] is True
    assert [column["name"] for column in found["metadata"]] == ["CLASHID", "s2n"]


@pytest.mark.parametrize(
    ("query", "more"),
    [("SELECT wrong FROM " + TABLE, {}), ("DROP TABLE " + TABLE, {}), ("SELECT * FROM J/MNRAS/470/95/macs0717", {}), ("", {}), ("SELECT 1", {"LANG": "PQL"}),
     ("SELECT 1", {"REQUEST": "getCapabilities"}), ("SELECT 1", {"MAXREC": "many"}), ("SELECT 1 AS n", {"FORMAT": "punched cards"})],
)  # fmt: skip
def test_refusals_are_votables_with_status_400_or_200(endpoints, query, more, shared_data):
    recorded = parse(io.BytesIO((shared_data / "responses" / "tap" / "errorstatus.xml").read_bytes()))
    expected = next(info.value for info in recorded.resources[0].infos if info.name == "QUERY_STATUS")
    for ask, status in ((vizier, 400), (datalab, 200)):
        reply = ask(endpoints, query, **more)
        assert reply.status_code == status
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            infos = parse(io.BytesIO(reply.content)).resources[0].infos
        assert {info.name: info.value for info in infos} == {"QUERY_STATUS": expected, "SIMULATED": "T"}
        assert len(next(info for info in infos if info.name == "QUERY_STATUS").content) > 5


def test_pyvo_reads_both_services(endpoints):
    for url, table in ((endpoints["tapvizier"] + "/TAPVizieR/tap", TABLE), (endpoints["datalab"] + "/tap", "des_dr1.main")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            service = pyvo.dal.TAPService(url)
            found = service.run_sync(f"SELECT CLASHID FROM {table} WHERE RAJ2000 > 10.2 ORDER BY CLASHID")
            assert list(found["CLASHID"]) == [42, 2**60 + 1]
            with pytest.raises(pyvo.dal.DALQueryError):
                service.run_sync(f"SELECT wrong FROM {table}")


def test_the_data_lab_writes_version_1_2_without_namespace(endpoints):
    body = datalab(endpoints, "SELECT TOP 1 CLASHID FROM des_dr1.main WHERE 't' = q3c_radial_query(RAJ2000, 0, 10, 0, 0.1)").text
    assert '<VOTABLE version="1.2">' in body and "xmlns" not in body and "<TD>23</TD>" in body
    assert "ERROR" in datalab(endpoints, "SELECT * FROM des_dr1.main WHERE 1 = CONTAINS(POINT('ICRS', RAJ2000, 0), CIRCLE('ICRS', 10, 0, 1))").text


BRICK = "legacysurvey-1501p022-image-r.fits.fz"


def cutout(endpoints, query):
    return requests.get(f"{endpoints['datalab']}/svc/cutout?{query}", timeout=30)


def test_a_cutout_is_a_piece_of_one_band_without_content_length(endpoints, sky):
    reply = cutout(endpoints, f"col=ls_dr9&siaRef={BRICK}&extn=1&POS=150.1,2.2&SIZE=0.02")
    assert reply.status_code == 200 and reply.headers["Content-Type"] == "image/fits"
    assert "Content-Length" not in reply.headers and reply.headers["Transfer-Encoding"] == "chunked"
    with fits.open(io.BytesIO(reply.content)) as hdus:
        header, data = hdus[0].header, hdus[0].data
    assert header["SIMULATE"] is True and data.shape == (276, 276)
    assert (sky.asked[-1]["layer"], sky.asked[-1]["bands"], sky.asked[-1]["scale"]) == ("ls-dr9-south", ("r",), 0.262)
    x, y = WCS(header).all_world2pix(150.1, 2.2, 0)
    assert abs(x - 137.5) < 1 and abs(y - 137.5) < 1


def test_a_des_tile_gives_275_pixels_for_a_fiftieth_of_a_degree(endpoints, sky):
    reply = cutout(endpoints, "col=des_dr2&siaRef=DES0139-4457_r4920p02_g.fits.fz&extn=1&POS=25.0,-45.0&SIZE=0.02,0.02")
    assert fits.getheader(io.BytesIO(reply.content))["NAXIS1"] == 275
    assert sky.asked[-1]["layer"] == "des-dr1"


def test_an_encoded_comma_gives_the_whole_brick(endpoints):
    reply = cutout(endpoints, f"col=ls_dr9&siaRef={BRICK}&extn=1&POS=150.1%2C2.2&SIZE=0.02")
    header = fits.Header.fromstring(reply.content[:2880])
    assert (header["NAXIS1"], header["NAXIS2"]) == (3600, 3600) and len(reply.content) > 50_000_000


def test_a_piece_ends_where_its_brick_ends(endpoints):
    ra, dec = brick_centre("1501p022")
    reply = cutout(endpoints, f"col=ls_dr9&siaRef={BRICK}&extn=1&POS={ra},{dec + 0.13}&SIZE=0.02")
    header = fits.getheader(io.BytesIO(reply.content))
    assert header["NAXIS1"] == 276 and 100 < header["NAXIS2"] < 170
    top = WCS(header).all_pix2world(0, header["NAXIS2"] - 0.5, 0)[1]
    assert top == pytest.approx(dec + 1800 * 0.262 / 3600, abs=2e-4)


@pytest.mark.parametrize(
    ("query", "status"),
    [(f"col=ls_dr9&siaRef={BRICK}&POS=160,2&SIZE=0.1", 500), (f"col=ls_dr9&siaRef={BRICK}&POS=a,b&SIZE=0.1", 500),
     (f"col=des_dr1&siaRef={BRICK}&POS=150.1,2.2&SIZE=0.1", 404),
     ("col=ls_dr9&siaRef=nothing.fits&POS=150.1,2.2&SIZE=0.1", 404), ("col=ls_dr9&siaRef=legacysurvey-2101p022-image-r.fits.fz&POS=210.1,2.2&SIZE=0.01", 404),
     ("col=des_dr2&siaRef=DES2359%2B0001_r4920p02_g.fits.fz&POS=359.9,0&SIZE=0.01", 500), ("col=des_dr2&siaRef=DES0139-4457_r4920p02_g.fits.fz", 500)],
)  # fmt: skip
def test_what_the_cutout_service_refuses(endpoints, query, status):
    reply = cutout(endpoints, query)
    assert reply.status_code == status and reply.text.startswith("ERROR")


def test_a_plus_sign_in_a_name_must_come_as_it_is(endpoints, sky):
    reply = cutout(endpoints, "col=des_dr2&siaRef=DES0000+0001_r4920p02_g.fits.fz&POS=0.01,0.02&SIZE=0.01")
    assert reply.status_code == 200 and plane_of("DES0000+0001_r4920p02_g.fits.fz").dec == pytest.approx(1 / 60)


def test_brick_names_have_the_centres_of_the_survey_table(shared_data):
    with fits.open(shared_data / "responses" / "legacysurvey" / "survey-bricks.fits.gz") as hdus:
        for row in hdus[1].data:
            assert brick_centre(row["brickname"]) == (pytest.approx(row["ra"]), pytest.approx(row["dec"]))


@given(st.floats(0, 359.999), st.floats(-89.8, 89.8))
def test_every_place_is_in_the_brick_that_the_client_names(ra, dec):
    centre = brick_centre(str(client.brick_name(ra, dec)))
    assert centre is not None and abs(centre[1] - dec) <= 0.125 + 1e-9
    assert abs((centre[0] - ra + 180) % 360 - 180) * np.cos(np.radians(max(abs(centre[1]) - 0.125, 0))) <= 0.125 + 1e-9


@pytest.mark.parametrize("name", ["9999p022", "1501p021", "0000p000", "0001p905"])
def test_names_of_no_brick(name):
    assert brick_centre(name) is None
