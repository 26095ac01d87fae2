"""The stand-in of SkyServer over real HTTP: SQL in every format and with every refusal, and JPEG cutouts against a recorded one."""

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from astropy.io import fits
from astropy.io.votable import parse
from PIL import Image
from tiny_surveys import TinySky

from tuningfork.sky.server import serve_services
from tuningfork.sky.services.getjpeg import GetJpeg
from tuningfork.sky.services.skyserver import SkyServer
from tuningfork.sky.sql import Database

SPEC_ID = 845594848269461504


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("sdss") / "SpecObj.parquet"
    table = {
        "specObjID": pa.array([SPEC_ID, SPEC_ID + 1, SPEC_ID + 2]),
        "ra": [2.02344596303, 14.8398237521, 1e-05],
        "z": pa.array([0.04559058, None, 0.1], pa.float32()),
        "mjd": pa.array([52251, 52252, 52253], pa.int32()),
        "plate": pa.array([751, None, 753], pa.int16()),
        "instrument": ["SDSS", 'a "b", c', 'say "hi"'],
    }
    pq.write_table(pa.table(table), path)
    return Database({("SpecObj",): path}, dialect="tsql", max_rows=100)


@pytest.fixture(scope="module")
def sky():
    return TinySky()


@pytest.fixture(scope="module")
def base(database, sky):
    with serve_services({"skyserver": SkyServer(database, GetJpeg(sky))}) as endpoints:
        yield endpoints["skyserver"]


def ask(base, cmd, form="csv", path="/dr17/SkyServerWS/SearchTools/SqlSearch", **more):
    return requests.get(base + path, params={"cmd": cmd, "format": form, **more}, timeout=20)


def test_the_csv_has_the_shape_of_the_recorded_one(base, shared_data):
    recorded = (shared_data / "responses" / "sdss" / "xid_sp.txt").read_text()
    reply = ask(base, f"select ra,z,mjd,specobjid,instrument from SpecObj where specobjid={SPEC_ID}")
    assert reply.headers["Content-Type"].startswith("text/plain")
    theirs, ours = recorded.split("\n"), reply.text.split("\n")
    assert [len(theirs), theirs[0], theirs[-1]] == [len(ours), ours[0], ours[-1]] == [4, "#Table1", ""]
    row = dict(zip(theirs[1].split(","), theirs[2].split(","), strict=True))
    assert ours[1] == "ra,z,mjd,specObjID,instrument"
    assert ours[2] == ",".join(row[name] for name in ("ra", "z", "mjd", "specobjid", "instrument"))


def test_quotes_within_quoted_values_stay_as_they_are(base):
    lines = ask(base, "select specObjID, instrument, z from SpecObj order by specObjID").text.split("\n")
    assert lines[3] == f'{SPEC_ID + 1},"a "b", c",'
    assert lines[4] == f'{SPEC_ID + 2},say "hi",0.1'


def test_an_empty_result_is_a_header(base):
    assert ask(base, "select specObjID, ra from SpecObj where ra > 400").text == "#Table1\nspecObjID,ra\n"


def test_get_post_and_any_case_of_names_are_one_query(base):
    expected = ask(base, "select * from SpecObj").content
    path = base + "/DR14/skyserverws/searchtools/SQLSEARCH"
    assert requests.post(path, data={"CMD": "select * from SpecObj;", "Format": "CSV"}, timeout=20).content == expected
    assert requests.get(path, params={"Cmd": "SELECT * FROM specobj", "FORMAT": "csv"}, timeout=20).content == expected
    long = "select * from SpecObj where " + " and ".join(["ra < 400"] * 400)
    assert requests.post(path, data={"cmd": long, "format": "csv"}, timeout=20).content == expected


def test_json_is_the_default_and_keeps_large_numbers(base):
    reply = requests.get(base + "/dr17/SkyServerWS/SearchTools/SqlSearch", params={"cmd": "select * from SpecObj"}, timeout=20)
    first, second, mark = json.loads(reply.text)
    assert first["TableName"] == "Table1" and second["TableName"] == "SqlQuery" and mark["TableName"] == "Simulated"
    assert first["Rows"][0]["specObjID"] == SPEC_ID and first["Rows"][1]["z"] is None
    assert first["Rows"][0]["z"] == 0.04559058 and reply.text.startswith("[\n  {")


def test_votable_fits_xml_html_and_txt(base):
    votable = ask(base, "select * from SpecObj", "votable")
    assert votable.headers["Content-Type"] == "application/x-votable+xml"
    table = parse(io.BytesIO(votable.content)).get_first_table().to_table()
    assert list(table["specObjID"]) == [SPEC_ID, SPEC_ID + 1, SPEC_ID + 2] and table["specObjID"].dtype == np.int64
    assert b'name="SIMULATED"' in votable.content
    binary = ask(base, "select * from SpecObj", "fits")
    assert binary.headers["Content-Type"] == "application/fits"
    with fits.open(io.BytesIO(binary.content)) as hdus:
        assert [hdu.header["SIMULATE"] for hdu in hdus] == [True, True]
        assert list(hdus[1].data["specObjID"]) == [SPEC_ID, SPEC_ID + 1, SPEC_ID + 2]
        assert hdus[1].data["instrument"][2] == 'say "hi"' and np.isnan(hdus[1].data["z"][1]) and hdus[1].data["z"].dtype.kind == "f"
        assert hdus[1].data["plate"][1] == hdus[1].header["TNULL5"]
    assert f"<specObjID>{SPEC_ID}</specObjID>" in ask(base, "select * from SpecObj", "xml").text
    assert "<td>specObjID</td>" in ask(base, "select * from SpecObj", "html").text
    assert ask(base, "select * from SpecObj", "txt").content == ask(base, "select * from SpecObj", "csv").content


def test_no_command_is_400_in_json(base):
    for cmd in (None, " "):
        reply = ask(base, cmd)
        assert reply.status_code == 400
        assert set(reply.json()) == {"ErrorCode", "ErrorType", "ErrorMessage", "LogMessageID", "LogTime"}
        assert reply.json()["ErrorMessage"] == "There are not enough parameters to process your request."


def test_an_error_of_sql_is_500_in_json_or_a_page_with_200(base):
    for query in ("select wrong from SpecObj", "select * from NoTable", "select from", "select * into mydb.t from SpecObj"):
        reply = ask(base, query)
        assert (reply.status_code, reply.json()["ErrorCode"]) == (500, 500) and reply.json()["ErrorMessage"]
    page = ask(base, "select wrong from SpecObj", "html")
    assert page.status_code == 200 and "<title>Skyserver Error</title>" in page.text


@pytest.mark.parametrize(
    ("query", "words"),
    [("update SpecObj set z = 0", "error: must be a select statement: update"), ("select top 101 * from SpecObj", "error: limit is top 100")],
)
def test_refusals_of_the_procedure_are_a_table_with_status_200(base, query, words):
    reply = ask(base, query)
    assert reply.status_code == 200
    assert reply.text.startswith(f"#Table1\nerror_message\n{words}")


def test_the_throttle_refuses_with_status_200_and_forgets_after_a_minute(database):
    now = [0.0]
    with serve_services({"skyserver": SkyServer(database, per_minute=2, clock=lambda: now[0])}) as endpoints:
        replies = [ask(endpoints["skyserver"], "select top 1 ra from SpecObj") for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200] * 3
        assert ["error_message" in reply.text for reply in replies] == [False, False, True]
        assert "ERROR: Maximum 2 queries allowed per minute. Rejected query: select top 1 ra from SpecObj" in replies[2].text
        now[0] = 60.0
        assert "error_message" not in ask(endpoints["skyserver"], "select top 1 ra from SpecObj").text


def test_the_form_that_astroquery_calls(base):
    reply = requests.get(
        base + "/dr17/en/tools/search/x_results.aspx", params={"cmd": "select ra from SpecObj", "format": "csv", "searchtool": "SQL"}, timeout=20
    )
    assert reply.text.startswith("#Table1\nra\n") and len(list(csv.reader(io.StringIO(reply.text)))) == 5


def picture(base, **parameters):
    reply = requests.get(base + "/dr14/SkyserverWS/ImgCutout/getjpeg", params={"ra": 150.1, "dec": 2.2, **parameters}, timeout=20)
    return reply, Image.open(io.BytesIO(reply.content)) if reply.headers["Content-Type"] == "image/jpeg" else None


def test_a_picture_is_written_as_the_recorded_one(base, shared_data):
    recorded = Image.open(shared_data / "responses" / "sdss" / "TestGalaxy.jpeg")
    reply, image = picture(base, width=512, height=512)
    assert reply.status_code == 200 and image.size == recorded.size == (512, 512)
    assert image.quantization == recorded.quantization and image.layer == recorded.layer
    assert [image.info[name] for name in ("jfif_version", "jfif_unit", "jfif_density", "dpi")] == [
        recorded.info[name] for name in ("jfif_version", "jfif_unit", "jfif_density", "dpi")
    ]
    assert "progressive" not in image.info and image.info["comment"].startswith(b"SIMULATED")
    assert reply.content[-2:] == b"\xff\xd9"


@pytest.mark.parametrize(
    ("parameters", "asked"),
    [
        ({}, (0.396127, 128, 128)),
        ({"width": 10, "height": 9000}, (0.396127, 64, 2048)),
        ({"scale": 1e-9}, (0.015, 128, 128)),
        ({"SCALE": 0.3, "Width": 100}, (0.3, 100, 128)),
    ],
)
def test_sizes_and_scales_are_silently_clamped(base, sky, parameters, asked):
    _, image = picture(base, **parameters)
    assert image.size == asked[1:]
    assert (sky.asked[-1]["scale"], sky.asked[-1]["width"], sky.asked[-1]["height"]) == asked
    assert (sky.asked[-1]["layer"], sky.asked[-1]["bands"]) == ("sdss", ("g", "r", "i"))


def test_outside_the_footprint_is_404_with_a_picture_of_words(base):
    reply, image = picture(base, ra=70, dec=-60)
    assert (reply.status_code, reply.reason) == (404, "NOT FOUND. Requested (ra, dec) is outside the SDSS footprint.")
    assert image.size == (128, 128) and np.asarray(image).max() > 200


@pytest.mark.parametrize("parameters", [{"ra": "north"}, {"width": "1.5"}, {"dec": 91}, {"scale": 2400, "width": 2048}])
def test_what_goes_wrong_is_500_with_a_picture(base, parameters):
    reply, image = picture(base, **parameters)
    assert reply.status_code == 500 and image is not None


def test_without_a_place_it_is_400_in_json(base):
    reply, image = picture(base, ra=None)
    assert reply.status_code == 400 and image is None and reply.json()["ErrorType"] == "BadRequest"


def test_option_i_inverts(base):
    plain, inverted = (np.asarray(picture(base, opt=opt)[1]).astype(int) for opt in ("", "GI"))
    assert np.abs(255 - plain - inverted).max() < 12
