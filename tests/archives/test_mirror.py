"""A mirror made from a cache: the same bytes and the same answers on a machine that reaches nothing."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from misbehaving_server import content, fits_bytes, status

from tuningfork.archives import mirror
from tuningfork.archives.cache import verify
from tuningfork.archives.mirror import export, places
from tuningfork.archives.request import ARCHIVES, Request
from tuningfork.errors import ArchiveError, NotInArchive, OutsideFootprint
from tuningfork.files import digest_of, read_json

BODY = fits_bytes()
SQL = {"cmd": "SELECT TOP 10 * FROM Galaxy", "format": "csv"}


def judge(code: int, headers: object, body: bytes) -> None:
    raise OutsideFootprint("the survey has no image there")


REQUESTS = {
    "file": Request("mast", "/missions/a/image.fits"),
    "file below a file's name": Request("mast", "/missions/a/image.fits/part.fits"),
    "cutout": Request("legacysurvey", "/viewer/fits-cutout", {"ra": 12.5, "dec": -3, "layer": "ls-dr9"}),
    "cutout as a file": Request("legacysurvey", "/viewer/cutout.jpg", {"ra": 12.5, "dec": -3}),
    "another cutout": Request("legacysurvey", "/viewer/cutout.jpg", {"ra": 12.5, "dec": -4}),
    "query": Request("skyserver", "/SqlSearch", SQL, method="POST"),
    "query by GET": Request("skyserver", "/SqlSearch", SQL),
    "folder": Request("mast", "/missions/"),
}


@pytest.fixture
def filled(server, make_transport, tmp_path):
    """A cache with every kind of reply, the bytes of each, and two answers that there is none."""
    bodies = {name: fits_bytes(20 + i) for i, name in enumerate(REQUESTS)}
    endpoints = dict.fromkeys(("mast", "legacysurvey", "skyserver"), server.url)
    with make_transport(cache=tmp_path / "cache", endpoints=endpoints) as transport:
        for name, request in REQUESTS.items():
            server.on(request.path, content(bodies[name]))
            transport.fetch_request(request)
        with pytest.raises(NotInArchive):
            transport.fetch("mast", "/missions/none.fits")
        server.on("/viewer/fits-cutout", status(500))
        with pytest.raises(OutsideFootprint):
            transport.fetch("legacysurvey", "/viewer/fits-cutout", {"ra": 1}, judge=judge)
    return bodies


def offline(make_transport, tmp_path: Path, cache: str):
    """A transport without network: every host is a port where nobody listens."""
    nowhere = {name: dataclasses.replace(archive, connect_timeout_s=0.2) for name, archive in ARCHIVES.items()}
    return make_transport(cache=tmp_path / cache, mirror=tmp_path / "mirror", endpoints=dict.fromkeys(ARCHIVES, "http://127.0.0.1:9"), archives=nowhere)


def test_what_was_fetched_is_read_from_the_mirror_without_a_request(server, make_transport, tmp_path, filled):
    count = len(server.seen)
    made = export(tmp_path / "cache", tmp_path / "mirror")
    assert (made.linked, made.copied, made.kept, made.absent) == (len(REQUESTS), 0, 0, 2)
    assert made.bytes == sum(map(len, filled.values()))
    assert (tmp_path / "mirror/archive.stsci.edu/missions/a/image.fits").read_bytes() == filled["file"]
    transport = offline(make_transport, tmp_path, "elsewhere")
    for name, request in REQUESTS.items():
        fetched = transport.fetch_request(request)
        assert fetched.path.read_bytes() == filled[name]
        assert fetched.sidecar["url"].startswith(server.url), "it says where it really came from"
        assert fetched.sidecar["mirror"].startswith("file://")
        assert transport.fetch_request(request).from_cache
    with pytest.raises(NotInArchive, match=r"'mast' has no .*none.fits \(HTTP 404\) \(.*none.fits.absent.json of the mirror says so\)"):
        transport.fetch("mast", "/missions/none.fits")
    with pytest.raises(OutsideFootprint, match="no image there"):
        transport.fetch("legacysurvey", "/viewer/fits-cutout", {"ra": 1.0})
    with pytest.raises(ArchiveError, match="no answer"):
        transport.fetch("mast", "/missions/other.fits")
    assert len(server.seen) == count
    assert list(verify(tmp_path / "elsewhere")) == []


def test_exporting_again_keeps_what_is_there_and_a_mirror_can_be_exported_again(make_transport, tmp_path, filled):
    export(tmp_path / "cache", tmp_path / "mirror")
    again = export(tmp_path / "cache", tmp_path / "mirror")
    assert (again.linked, again.copied, again.kept) == (0, 0, len(REQUESTS))
    transport = offline(make_transport, tmp_path, "second")
    for request in REQUESTS.values():
        transport.fetch_request(request)
    made = export(tmp_path / "second", tmp_path / "third")
    assert made.linked == len(REQUESTS)

    def tree(root: Path) -> dict[str, bytes]:
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and "absent" not in p.name}

    assert tree(tmp_path / "third") == tree(tmp_path / "mirror")


def test_without_hard_links_files_are_copied(tmp_path, filled, monkeypatch):
    def refuse(*args: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(mirror.os, "link", refuse)
    made = export(tmp_path / "cache", tmp_path / "mirror")
    assert (made.linked, made.copied) == (0, len(REQUESTS))
    assert (tmp_path / "mirror/archive.stsci.edu/missions/a/image.fits").read_bytes() == filled["file"]


def test_only_the_realm_that_was_asked_for_is_exported(server, make_transport, tmp_path):
    server.on("/a.fits", content(fits_bytes(simulated=True)))
    make_transport("simulated-7").fetch("mast", "/a.fits")
    assert export(tmp_path / "cache", tmp_path / "mirror").linked == 0
    assert export(tmp_path / "cache", tmp_path / "mirror", "simulated-7").linked == 1


def test_a_damaged_copy_is_named(make_transport, tmp_path, filled):
    export(tmp_path / "cache", tmp_path / "mirror")
    copy = tmp_path / "mirror/archive.stsci.edu/missions/a/image.fits"
    body = copy.read_bytes()
    copy.unlink()
    copy.write_bytes(body[:-1] + b"x")
    with pytest.raises(ArchiveError, match=r"image\.fits \(of the mirror\) is not the file that image\.fits\.origin\.json beside it describes"):
        offline(make_transport, tmp_path, "elsewhere").fetch_request(REQUESTS["file"])


def test_a_damaged_cache_is_not_exported(make_transport, tmp_path, filled):
    path = next(p for p in (tmp_path / "cache").rglob("*.jpg"))
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(ArchiveError, match="is not what its sidecar says"):
        export(tmp_path / "cache", tmp_path / "mirror")


def test_a_name_that_is_taken_by_a_folder_goes_among_the_replies(tmp_path, filled):
    export(tmp_path / "cache", tmp_path / "mirror")
    found = [path for path in (tmp_path / "mirror").rglob("part.fits*") if path.is_dir()]
    both = [REQUESTS["file"], REQUESTS["file below a file's name"]]
    here = [[place for place in places(ARCHIVES["mast"], request) if os.path.isfile(tmp_path / "mirror" / place)] for request in both]
    assert [len(each) for each in here] == [1, 1]
    assert len(found) <= 1


def test_the_name_of_a_reply_is_as_documented():
    request = Request("skyserver", "/x/SqlSearch.csv", {"b": 1.0, "a": "é"}, method="POST")
    digest = digest_of(["POST", "", [["a", "é"], ["b", "1"]]])
    (first, second) = places(ARCHIVES["skyserver"], request)
    assert first == Path(f"skyserver.sdss.org/x/SqlSearch.csv.replies/{digest[:2]}/{digest}.csv")
    assert second.parts[0] == "skyserver"
    web = Request("web", "https://example.org/tables/a.csv?version=2")
    (only, _) = places(ARCHIVES["web"], web)
    assert only.parts[:3] == ("example.org", "tables", "a.csv.replies")
    assert next(places(ARCHIVES["web"], Request("web", "https://example.org/tables/a.csv"))) == Path("example.org/tables/a.csv")


paths = st.lists(st.text(st.characters(codec="ascii", exclude_characters="/?#\x00\n\r\t", categories=("L", "N", "P")), min_size=1, max_size=8), min_size=1)


@settings(deadline=None, max_examples=80)
@given(paths, st.dictionaries(st.sampled_from("abc"), st.integers(0, 9) | st.text(max_size=3)))
def test_no_place_leaves_the_mirror(parts, params):
    try:
        request = Request("mast", "/" + "/".join(parts), params)
    except ArchiveError:
        assert ".." in parts
        return
    for place in places(ARCHIVES["mast"], request):
        assert not place.is_absolute()
        assert ".." not in place.parts
        assert place.parts[0] in ("archive.stsci.edu", "mast")


def test_an_answer_of_an_unknown_kind_is_an_answer_still(make_transport, tmp_path):
    note = tmp_path / "mirror/archive.stsci.edu/a.fits.absent.json"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"error": "TuningforkError", "message": "gone"}))
    with pytest.raises(NotInArchive, match="gone"):
        offline(make_transport, tmp_path, "cache").fetch("mast", "/a.fits")
    assert "error" in read_json(note)
