"""Zenodo: records as JSON, files checked by MD5, resumed, and named when they are not there."""

import hashlib
import json

import pytest
from misbehaving_server import content, status

from tuningfork.archives import zenodo
from tuningfork.errors import ArchiveError, NotInArchive

API = "/api/records/4573248"
NAME = "gz decals.parquet"
BODY = bytes(range(256)) * 400
PATH = "/records/4573248/files/gz%20decals.parquet"


def described(body: bytes = BODY, **changes) -> bytes:
    entry = {"key": NAME, "size": len(body), "checksum": "md5:" + hashlib.md5(body).hexdigest(), "links": {"self": "https://zenodo.org/api/x"}, **changes}
    return json.dumps({"id": 4573248, "conceptrecid": "4196266", "files": [entry, {"key": "schema.md", "size": 3, "checksum": "md5:tooshort"}]}).encode()


@pytest.fixture
def transport(make_transport, server):
    return make_transport(endpoints={"zenodo": server.url})


def test_a_record_names_its_files(server, transport):
    server.on(API, content(described(), "application/json"))
    files = zenodo.record(transport, 4573248)
    assert set(files) == {NAME, "schema.md"}
    assert files[NAME] == zenodo.RecordFile(NAME, len(BODY), hashlib.md5(BODY).hexdigest(), PATH)
    assert files["schema.md"].md5 is None


def test_a_file_comes_with_its_digest_checked(server, transport):
    server.on(API, content(described(), "application/json"))
    server.on(PATH, content(BODY))
    fetched = zenodo.fetch_file(transport, "4573248", NAME, sha256=hashlib.sha256(BODY).hexdigest().upper())
    assert fetched.path.read_bytes() == BODY
    assert zenodo.fetch_file(transport, "4573248", NAME).from_cache and server.count() == 2


def test_damaged_bytes_are_fetched_again(server, transport):
    server.on(API, content(described(), "application/json"))
    server.on(PATH, content(BODY[:-1] + b"x"), status(503), content(BODY))
    assert zenodo.fetch_file(transport, 4573248, NAME).path.read_bytes() == BODY
    server.on(PATH, content(BODY[:-1] + b"x"))
    with pytest.raises(ArchiveError, match="its record says"):
        zenodo.fetch_file(transport, 4573248, NAME, refresh=True)


def test_a_changed_record_is_told_from_a_bad_line(server, transport, make_transport, tmp_path):
    server.on(API, content(described(), "application/json"))
    server.on(PATH, content(BODY))
    with pytest.raises(ArchiveError, match="the record was changed"):
        zenodo.fetch_file(transport, 4573248, NAME, sha256="0" * 64)
    simulated = make_transport("simulated-1", cache=tmp_path / "other", endpoints={"zenodo": server.url})
    assert zenodo.fetch_file(simulated, 4573248, NAME, sha256="0" * 64).path.read_bytes() == BODY


def test_what_is_not_there_is_named(server, transport):
    server.on(API, content(described(), "application/json"))
    with pytest.raises(NotInArchive, match=r"has no file 'x.csv'; it has gz decals.parquet, schema.md"):
        zenodo.fetch_file(transport, 4573248, "x.csv")
    with pytest.raises(NotInArchive):
        zenodo.record(transport, 1)


@pytest.mark.parametrize("number", ["", "12a", "../1", "10.5281/zenodo.4573248", -1])
def test_a_record_is_a_number(transport, number):
    with pytest.raises(ArchiveError, match="give its number"):
        zenodo.record(transport, number)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"id": 4573248}', b'{"id": 7, "files": []}', described(size="many"), b'{"id": 4573248, "files": [{}]}'])
def test_what_is_no_record_is_refused(server, transport, body):
    server.on(API, content(body, "application/json"))
    with pytest.raises(ArchiveError, match=r"no description|the record is 7"):
        zenodo.record(transport, 4573248)
