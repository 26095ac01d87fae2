"""The stand-in archives over real HTTP on loopback."""

import email
import io
import itertools
import re
import socket
import threading
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from astropy.io import fits
from astropy.io.votable import parse, validate
from hypothesis import given
from hypothesis import strategies as st

from tuningfork.errors import ArchiveError, ConfigError
from tuningfork.files import read_json, sha256_of
from tuningfork.sky import asu
from tuningfork.sky.faults import FaultPlan, corrupted
from tuningfork.sky.server import serve, serve_forever

IMAGE = "/missions/hlsp/clash/SIM-A/data/hst/scale_65mas/hlsp_clash_hst_wfc3ir_SIM-A_f160w_v1_drz.fits"
ABSENT = "/missions/hlsp/clash/SIM-B/data/hst/scale_65mas/hlsp_clash_hst_acs_SIM-B_f475w_v1_drz.fits"
LABELS = "/mperezcarrasco/CLASH/master/CLASH/CLASH_labels.csv"


@pytest.fixture(scope="module")
def archive(tiny_sky):
    with serve(tiny_sky) as urls:
        yield urls


def votable(urls, **parameters):
    reply = requests.get(
        urls["vizier"] + "/viz-bin/votable",
        params={name.replace("_", "-") if name[0] == "_" else name: value for name, value in parameters.items()},
        timeout=20,
    )
    return reply, parse(io.BytesIO(reply.content))


def query(urls, text):
    reply = requests.post(urls["vizier"] + "/viz-bin/votable", data=text, timeout=20)
    assert reply.status_code == 200
    return parse(io.BytesIO(reply.content))


def infos(document, name):
    return [info.value for info in document.infos if info.name == name]


def test_a_whole_file_and_its_ranges_are_the_bytes_on_disk(archive, tiny_sky):
    path = tiny_sky / "mast" / IMAGE[1:]
    data = path.read_bytes()
    reply = requests.get(archive["mast"] + IMAGE, timeout=20)
    assert reply.status_code == 200 and reply.content == data
    assert reply.headers["Content-Length"] == str(len(data)) and reply.headers["Accept-Ranges"] == "bytes"
    for header, expected in (
        ("bytes=0-2879", data[:2880]),
        ("bytes=2880-2883", data[2880:2884]),
        ("bytes=-100", data[-100:]),
        (f"bytes={len(data) - 5}-", data[-5:]),
    ):
        part = requests.get(archive["mast"] + IMAGE, headers={"Range": header}, timeout=20)
        assert part.status_code == 206 and part.content == expected
        assert part.headers["Content-Range"].endswith(f"/{len(data)}")
    beyond = requests.get(archive["mast"] + IMAGE, headers={"Range": f"bytes={len(data)}-"}, timeout=20)
    assert beyond.status_code == 416 and beyond.headers["Content-Range"] == f"bytes */{len(data)}"


def test_one_connection_carries_many_requests(archive):
    with requests.Session() as session:
        sources = set()
        for _ in range(5):
            with session.get(archive["mast"] + IMAGE, headers={"Range": "bytes=0-99"}, stream=True, timeout=20) as reply:
                sources.add(reply.raw._connection.sock.getsockname() if reply.raw._connection else None)
                reply.content  # noqa: B018
            assert session.head(archive["mast"] + IMAGE, timeout=20).status_code == 200
        assert len(sources) == 1


def test_head_has_the_headers_and_no_body(archive):
    head, get = requests.head(archive["mast"] + IMAGE, timeout=20), requests.get(archive["mast"] + IMAGE, timeout=20)
    assert head.content == b""
    assert {name: head.headers[name] for name in ("Content-Length", "Last-Modified", "ETag")} == {
        name: get.headers[name] for name in ("Content-Length", "Last-Modified", "ETag")
    }


def test_conditional_requests(archive):
    first = requests.head(archive["mast"] + IMAGE, timeout=20).headers
    for header in ({"If-None-Match": first["ETag"]}, {"If-Modified-Since": first["Last-Modified"]}):
        assert requests.get(archive["mast"] + IMAGE, headers=header, timeout=20).status_code == 304
    changed = requests.get(archive["mast"] + IMAGE, headers={"Range": "bytes=0-9", "If-Range": '"another"'}, timeout=20)
    assert changed.status_code == 200 and len(changed.content) > 10


@pytest.mark.parametrize("path", [ABSENT, "/missions/hlsp/clash/macs2129/", "/../sky.json", "/%2e%2e/sky.json", "/missions", "/../../../../etc/passwd"])
def test_what_is_not_there_is_404(archive, path):
    parts = urlsplit(archive["mast"])
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(f"GET {parts.path}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert connection.makefile("rb").readline().split()[1] == b"404"


def test_the_label_file_is_served_as_from_its_repository(archive):
    reply = requests.get(archive["github"] + "/mperezcarrasco/CLASH/master/CLASH/CLASH_labels.csv", timeout=20)
    assert reply.text.splitlines()[0] == "ID,p_smooth,p_features,p_irregular,p_point_source,p_unclassifiable"


def test_get_and_newline_body_are_the_same_query(archive):
    by_get, document = votable(archive, **{"-source": "J/ApJS/221/11/table3", "-out": "**", "-out.max": "unlimited"})
    posted = query(archive, "-source=J/ApJS/221/11/table3\n-out=**\n-out.max=unlimited\n")
    one, other = document.get_first_table().to_table(), posted.get_first_table().to_table()
    assert one.colnames == other.colnames and (one == other).all() and len(one) > 20
    assert by_get.headers["Content-Type"].startswith("text/xml")
    assert infos(document, "SIMULATED") == ["true"] and infos(document, "matches") == [str(len(one))]


def test_the_reply_is_a_valid_votable_of_version_1_4(archive):
    reply, document = votable(archive, **{"-source": "J/ApJS/221/11", "-out": "**", "-out.max": "unlimited"})
    assert document.version == "1.4"
    report = io.StringIO()
    validate(io.BytesIO(reply.content), report)
    # VizieR gives columns such as f(Sph) a name and no XML identifier, and the parser warns (W03) that it makes one
    assert set(re.findall(r"\b[EW]\d\d\b", report.getvalue())) == {"W03"}


def test_fifty_rows_unless_asked_for_more_and_the_cut_is_announced(archive):
    _, document = votable(archive, **{"-source": "J/ApJS/207/24"})
    assert len(document.get_first_table().array) == asu.DEFAULT_ROWS
    assert infos(document, "QUERY_STATUS") == ["OVERFLOW"]
    assert int(infos(document, "matches")[0]) > asu.DEFAULT_ROWS
    _, document = votable(archive, **{"-source": "J/ApJS/207/24", "-out.max": "unlimited"})
    assert infos(document, "QUERY_STATUS") == []


def test_default_columns_are_fewer_than_all(archive):
    _, default = votable(archive, **{"-source": "J/MNRAS/470/95/SIM-A", "-out": "*"})
    _, every = votable(archive, **{"-source": "J/MNRAS/470/95/SIM-A", "-out": "**"})
    names = [field.name for field in default.get_first_table().fields]
    assert len(every.get_first_table().fields) == 103 and "recno" not in names and len(names) < 103
    _, some = votable(archive, **{"-source": "J/MNRAS/470/95/SIM-A", "-out": "CLASHID,rp a"})
    assert [field.name for field in some.get_first_table().fields] == ["CLASHID", "rp", "a"]


def test_blanks_are_masked_and_limits_stay(archive):
    table = query(archive, "-source=J/MNRAS/470/95/SIM-B\n-out=**\n-out.max=unlimited").get_first_table().to_table()
    assert table["F475WPZ"].mask.all()
    assert table["F275WPZ"].mask.any() and not np.ma.getmaskarray(table["e_F275WPZ"]).any()


@pytest.mark.parametrize(
    ("condition", "test"),
    [("Hmag=<22", lambda t: t["Hmag"] < 22), ("Hmag=>=22", lambda t: t["Hmag"] >= 22), ("Hmag=20..22", lambda t: (t["Hmag"] >= 20) & (t["Hmag"] <= 22)),
     ("Depth=2", lambda t: t["Depth"] == 2), ("f(Sph)=>0.5", lambda t: t["f_Sph_"] > 0.5),
     ("Area=wide", lambda t: t["Area"] == "wide"), ("Area=!=wide", lambda t: t["Area"] != "wide"), ("Area=deep|ers", lambda t: t["Area"] != "wide")],
)  # fmt: skip
def test_constraints_are_really_evaluated(archive, condition, test):
    head = "-source=J/ApJS/221/11/table3\n-out=**\n-out.max=unlimited\n"
    every = query(archive, head).get_first_table().to_table()
    some = query(archive, head + condition).get_first_table().to_table()
    assert list(some["recno"]) == list(every["recno"][test(every)])
    assert 0 < len(some) < len(every)


def test_an_unknown_column_is_a_warning_and_the_rows_come_unfiltered(archive):
    document = query(archive, "-source=J/ApJS/221/11/table3\n-out.max=unlimited\nNoSuch=>5")
    assert "NoSuch" in infos(document, "Warning")[0]
    assert len(document.get_first_table().array) == int(infos(document, "matches")[0]) > 20


def test_an_unknown_catalogue_is_a_reply_without_table(archive):
    _, document = votable(archive, **{"-source": "J/MNRAS/470/95/macs2129"})
    assert list(document.iter_tables()) == []


def test_several_catalogues_at_once(archive):
    _, document = votable(archive, **{"-source": "J/MNRAS/470/95,J/ApJS/221/11", "-out.max": "1"})
    assert [table.name for table in document.iter_tables()] == ["J/MNRAS/470/95/SIM-A", "J/MNRAS/470/95/SIM-B", "J/ApJS/221/11/table3"]


def test_equal_queries_have_equal_bytes(archive):
    first, second = (votable(archive, **{"-source": "J/ApJS/207/24", "-out": "**"})[0].content for _ in range(2))
    assert first == second


def test_tab_separated_text(archive):
    reply = requests.get(archive["vizier"] + "/viz-bin/asu-tsv", params={"-source": "J/ApJS/221/11/table3", "-out.max": "3"}, timeout=20)
    lines = reply.text.split("\n")
    assert reply.text.startswith("#\n#  ")
    dashes = next(i for i, line in enumerate(lines) if set(line) <= {"-", "\t"} and "-" in line)
    names, rows = lines[dashes - 2].split("\t"), [line.split("\t") for line in lines[dashes + 1 : dashes + 4]]
    assert names[0] == "Depth" and all(len(row) == len(names) for row in rows)
    widths = [len(cell) for cell in lines[dashes].split("\t")]
    assert all(len(cell) == width for row in rows for cell, width in zip(row[:-1], widths[:-1], strict=True))


@pytest.mark.parametrize(("fault", "status"), [("500", 500), ("503", 503), ("429", 429), ("html", 200), ("vizier-error-200", 200)])
def test_faults_by_status_and_body(tiny_sky, fault, status):
    journal = []
    with serve(tiny_sky, faults={"*votable*": fault}, journal=journal) as urls:
        reply = requests.get(urls["vizier"] + "/viz-bin/votable?-source=J/ApJS/221/11", timeout=20)
        assert reply.status_code == status == journal[0][2]
        assert ("Retry-After" in reply.headers) == (status in (429, 503))
        assert requests.head(urls["mast"] + IMAGE, timeout=20).status_code == 200
    if fault == "vizier-error-200":
        assert infos(parse(io.BytesIO(reply.content)), "QUERY_STATUS") == ["ERROR"]


def test_a_fault_can_pass_after_some_times(tiny_sky):
    with serve(tiny_sky, faults={"*f160w*": ("503", 2)}) as urls:
        assert [requests.head(urls["mast"] + IMAGE, timeout=20).status_code for _ in range(4)] == [503, 503, 200, 200]


def test_a_truncated_body_is_shorter_than_promised(tiny_sky):
    with serve(tiny_sky, faults=lambda path: "truncate" if path.endswith(".fits") else None) as urls:
        reply = requests.get(urls["mast"] + IMAGE, stream=True, timeout=20)
        body = reply.raw._fp.fp.read()  # below urllib3, which would raise
        assert 0 < len(body) < int(reply.headers["Content-Length"])
        with pytest.raises(requests.exceptions.RequestException):
            requests.get(urls["mast"] + IMAGE, timeout=20).content  # noqa: B018


def test_a_stalled_body_times_out_and_the_server_still_stops_at_once(tiny_sky):
    with serve(tiny_sky, faults={"*": "stall"}) as urls:
        with pytest.raises(requests.exceptions.RequestException):
            requests.get(urls["mast"] + IMAGE, timeout=0.3)
        began = time.monotonic()
    assert time.monotonic() - began < 5


def test_an_incomplete_sky_is_refused(tmp_path):
    with pytest.raises(ArchiveError, match=r"sky\.json"), serve(tmp_path):
        pass


def test_a_mosaic_opens_by_byte_ranges(archive, tiny_sky):
    """What a range-reading client does: only a few rows of a remote plane, through the header's own geometry."""
    header = fits.Header.fromstring(requests.get(archive["mast"] + IMAGE, headers={"Range": "bytes=0-5759"}, timeout=20).text)
    width = header["NAXIS1"]
    size = read_json(tiny_sky / "sky.json")["parameters"]["cluster_side_px"]
    assert width == size
    local = fits.getdata(tiny_sky / "mast" / IMAGE[1:])
    with fits.open(tiny_sky / "mast" / IMAGE[1:]) as hdus:
        start = hdus[0]._data_offset
    rows = requests.get(archive["mast"] + IMAGE, headers={"Range": f"bytes={start + 10 * width * 4}-{start + 12 * width * 4 - 1}"}, timeout=20).content
    np.testing.assert_array_equal(np.frombuffer(rows, ">f4").reshape(2, width), local[10:12])
    assert sha256_of(tiny_sky / "mast" / IMAGE[1:]) == read_json(tiny_sky / "sky.json")["files"]["mast" + IMAGE]


def one(tiny_sky, fault, **options):
    """Reply to one request of a text file under a fault, and the journal."""
    journal = []
    with serve(tiny_sky, faults={"*labels.csv": fault}, journal=journal) as urls:
        return requests.get(urls["github"] + LABELS, timeout=20, **options), journal


def test_too_many_requests_with_and_without_a_word_on_when_to_come_again(tiny_sky):
    reply, _ = one(tiny_sky, "429-no-retry-after")
    assert reply.status_code == 429 and "Retry-After" not in reply.headers
    before = time.time()
    reply, _ = one(tiny_sky, ("429-reset", None, 5.0))
    assert reply.status_code == 429 and "Retry-After" not in reply.headers and reply.headers["X-RateLimit-Remaining"] == "0"
    assert before + 5 <= int(reply.headers["X-RateLimit-Reset"]) <= time.time() + 6


def test_a_reset_and_an_archive_that_is_away_give_no_reply(tiny_sky):
    for fault in ("reset", "away"):
        with pytest.raises(requests.exceptions.ConnectionError, match="reset by peer" if fault == "reset" else "without response"):
            one(tiny_sky, fault)
    journal = []
    with serve(tiny_sky, faults={"/github/*": ("reset", 1)}, journal=journal) as urls:
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(urls["github"] + LABELS, timeout=20)
        assert requests.get(urls["github"] + LABELS, timeout=20).status_code == 200
    assert [(status, entry.sent > 0) for entry, (_, _, status) in zip(journal, journal, strict=True)] == [(0, False), (200, True)]


def test_an_archive_comes_back_after_its_time():
    now = [100.0]
    plan = FaultPlan({"/zenodo/*": ("away", None, 5.0), "*": ("500", 1)}, clock=lambda: now[0])
    assert plan.fault("/zenodo/a").name == "away"
    now[0] = 104.9
    assert plan.fault("/zenodo/b").name == "away"
    now[0] = 105.1
    assert plan.fault("/zenodo/a").name == "500" and plan.fault("/zenodo/a") is None


def test_a_slow_reply_is_whole_and_late(tiny_sky):
    began = time.monotonic()
    reply, _ = one(tiny_sky, ("slow", 1, 0.3))
    assert reply.status_code == 200 and time.monotonic() - began >= 0.3


def test_every_request_takes_the_latency(tiny_sky):
    with serve(tiny_sky, latency_s=0.1) as urls:
        began = time.monotonic()
        assert [requests.head(urls["github"] + LABELS, timeout=20).status_code for _ in range(2)] == [200, 200]
        assert time.monotonic() - began >= 0.2


def test_wrong_lengths_and_flipped_bytes(tiny_sky):
    whole = (tiny_sky / "github" / LABELS[1:]).read_bytes()
    with pytest.raises(requests.exceptions.RequestException):
        one(tiny_sky, "wrong-length")
    reply, _ = one(tiny_sky, "wrong-length-less")
    assert reply.content == whole[:-100]
    reply, journal = one(tiny_sky, "corrupt")
    assert len(reply.content) == len(whole) == journal[0].sent
    assert 0 < sum(a != b for a, b in zip(reply.content, whole, strict=True)) < len(whole) / 500


@given(st.integers(1, 9000), st.lists(st.integers(1, 4000), max_size=6))
def test_a_body_is_corrupted_alike_however_it_is_cut_into_blocks(size, cuts):
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    edges = sorted({0, *(cut for cut in cuts if cut < size), size})
    pieces = b"".join(corrupted(body[a:b], a, size) for a, b in itertools.pairwise(edges))
    assert pieces == corrupted(body, 0, size) != body and len(pieces) == size


def test_an_unknown_fault_is_refused():
    with pytest.raises(ConfigError, match="no fault 'gremlins'"):
        FaultPlan({"*": "gremlins"})


def test_several_ranges_come_as_parts(archive, tiny_sky):
    data = (tiny_sky / "mast" / IMAGE[1:]).read_bytes()
    reply = requests.get(archive["mast"] + IMAGE, headers={"Range": "bytes=0-9, 100-199,-5"}, timeout=20)
    assert reply.status_code == 206 and reply.headers["Content-Length"] == str(len(reply.content))
    kind = reply.headers["Content-Type"]
    assert kind.startswith("multipart/byteranges; boundary=")
    message = email.message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + reply.content)
    parts = [(part["Content-Range"], part.get_payload(decode=True)) for part in message.get_payload()]
    n = len(data)
    assert [span for span, _ in parts] == [f"bytes 0-9/{n}", f"bytes 100-199/{n}", f"bytes {n - 5}-{n - 1}/{n}"]
    assert [body.rstrip(b"\r\n") if len(body) > 100 else body for _, body in parts][1][:100] == data[100:200]


def test_the_object_store_has_the_same_files_by_key(archive, tiny_sky):
    data = (tiny_sky / "mast" / IMAGE[1:]).read_bytes()
    key = "/mast/hlsp/" + IMAGE.removeprefix("/missions/hlsp/")
    reply = requests.get(archive["s3"] + key, headers={"Range": "bytes=5-14"}, timeout=20)
    assert (reply.status_code, reply.content) == (206, data[5:15])
    assert requests.get(archive["s3"] + key, headers={"Range": "bytes=0-4,10-14"}, timeout=20).status_code == 200
    absent = requests.get(archive["s3"] + "/mast/hlsp/nothing", timeout=20)
    assert absent.status_code == 404 and "<Code>NoSuchKey</Code>" in absent.text


def test_every_reply_says_that_it_is_simulated(archive):
    for url in (
        archive["mast"] + IMAGE,
        archive["mast"] + "/nothing",
        archive["vizier"] + "/viz-bin/votable?-source=J/ApJS/221/11",
        archive["github"] + LABELS,
    ):
        assert requests.get(url, timeout=20).headers["X-Simulated"] == "true"


def test_an_idle_connection_does_not_hold_the_server(tiny_sky):
    began = time.monotonic()
    with requests.Session() as session:
        with serve(tiny_sky) as urls:
            session.get(urls["github"] + LABELS, timeout=20)
        assert not [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]
    assert time.monotonic() - began < 10


def test_the_server_for_a_person_names_its_archives(tiny_sky, caplog):
    enough = threading.Event()
    enough.set()
    with caplog.at_level("INFO", logger="tuningfork.sky.server"):
        serve_forever(tiny_sky, until=enough)
    lines = [record.getMessage() for record in caplog.records if record.name == "tuningfork.sky.server" and record.levelname == "INFO"]
    assert [line.split(":")[0] for line in lines] == ["vizier", "tapvizier", "mast", "github", "s3"]
    assert all("http://127.0.0.1:" in line for line in lines)


def test_a_port_that_is_taken_is_an_error_that_names_it(archive, tiny_sky):
    port = urlsplit(archive["mast"]).port
    with pytest.raises(ArchiveError, match=f"port {port}"), serve(tiny_sky, port=port):
        pass
