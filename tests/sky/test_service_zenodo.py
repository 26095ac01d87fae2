"""The stand-ins of Zenodo and of CDS's footprints over real HTTP."""

import hashlib

import numpy as np
import pytest
import requests
from astropy import units as u
from mocpy import MOC

from tuningfork.files import sha256_of
from tuningfork.sky.server import serve_services
from tuningfork.sky.services.footprints import Footprints
from tuningfork.sky.services.zenodo import Zenodo
from tuningfork.sky.wide.surveys import LAYERS

BODY = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zenodo")
    found = {}
    for record, name, body in (("10845026", "Galaxy10_DECals.h5", BODY), ("10845026", "read me.md", b"simulated\n"), ("4573248", "gz.parquet", b"PAR1")):
        path = folder / f"{record}-{name}"
        path.write_bytes(body)
        found[f"/records/{record}/files/{name}"] = (path, sha256_of(path))
    return found


@pytest.fixture(scope="module")
def zenodo(files):
    with serve_services({"zenodo": Zenodo(files)}) as endpoints:
        yield endpoints["zenodo"]


def test_a_record_lists_its_files_with_size_md5_and_link(zenodo):
    reply = requests.get(f"{zenodo}/api/records/10845026", timeout=20)
    record = reply.json()
    assert reply.headers["Content-Type"] == "application/json" and record["id"] == 10845026 and record["simulated"] is True
    files = {file["key"]: file for file in record["files"]}
    assert set(files) == {"Galaxy10_DECals.h5", "read me.md"}
    big = files["Galaxy10_DECals.h5"]
    assert (big["size"], big["checksum"]) == (len(BODY), "md5:" + hashlib.md5(BODY, usedforsecurity=False).hexdigest())
    for file in files.values():
        assert file["links"]["self"].startswith(zenodo)
        assert len(requests.get(file["links"]["self"], timeout=20).content) == file["size"]


def test_files_come_directly_by_redirect_and_in_ranges(zenodo):
    url = f"{zenodo}/records/10845026/files/Galaxy10_DECals.h5"
    assert requests.get(url, timeout=20, allow_redirects=False).content == BODY
    redirect = requests.get(url + "?download=1", timeout=20, allow_redirects=False)
    assert redirect.status_code == 302 and redirect.headers["Location"].startswith(zenodo + "/api/records/10845026/files/")
    assert requests.get(url + "?download=1", headers={"Range": "bytes=10-19"}, timeout=20).content == BODY[10:20]
    old = requests.get(f"{zenodo}/record/10845026/files/Galaxy10_DECals.h5?download=1", timeout=20)
    assert old.content == BODY and [reply.status_code for reply in old.history] == [301, 302]
    head = requests.head(url, timeout=20).headers
    assert head["Content-Length"] == str(len(BODY)) and head["Accept-Ranges"] == "bytes" and head["ETag"]
    assert requests.get(url, headers={"If-None-Match": head["ETag"]}, timeout=20).status_code == 304


@pytest.mark.parametrize(
    "path", ["/api/records/1", "/api/records/10845026/files/none/content", "/records/10845026/files/none", "/records/1/files/gz.parquet", "/"]
)
def test_what_is_not_there_is_404(zenodo, path):
    reply = requests.get(zenodo + path, timeout=20)
    assert reply.status_code == 404
    assert not path.startswith("/api/") or reply.json()["status"] == 404


def test_every_reply_counts_down_the_limit_but_refuses_nothing_unless_told(zenodo):
    replies = [requests.get(f"{zenodo}/api/records/4573248", timeout=20) for _ in range(3)]
    assert all(reply.status_code == 200 and reply.headers["X-RateLimit-Limit"] == "60" and int(reply.headers["X-RateLimit-Remaining"]) > 0 for reply in replies)


def test_above_the_limit_it_is_429_with_the_time_of_the_next_minute(files):
    now = [1_800_000_030.0]
    with serve_services({"zenodo": Zenodo(files, limit=2, clock=lambda: now[0])}) as endpoints:
        url = endpoints["zenodo"] + "/api/records/4573248"
        replies = [requests.get(url, timeout=20) for _ in range(3)]
        assert [(reply.status_code, reply.headers["X-RateLimit-Remaining"]) for reply in replies] == [(200, "1"), (200, "0"), (429, "0")]
        assert "Retry-After" not in replies[2].headers
        now[0] = float(replies[2].headers["X-RateLimit-Reset"])
        assert 0 < now[0] - 1_800_000_030.0 <= 60 and requests.get(url, timeout=20).status_code == 200


def test_a_footprint_holds_the_survey_and_little_else(tmp_path):
    with serve_services({"cds": Footprints({})}) as endpoints:
        reply = requests.get(f"{endpoints['cds']}/MocServer/query", params={"ID": "CDS/P/SDSS9/color", "get": "moc", "fmt": "fits"}, timeout=60)
        assert reply.status_code == 200 and b"SIMULATE=                    T" in reply.content
        assert requests.get(f"{endpoints['cds']}/MocServer/query", params={"ID": "CDS/P/Nothing", "get": "moc"}, timeout=20).status_code == 404
        assert requests.get(f"{endpoints['cds']}/elsewhere", timeout=20).status_code == 404
    (tmp_path / "moc.fits").write_bytes(reply.content)
    moc = MOC.load(tmp_path / "moc.fits", "fits")
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 5000), np.degrees(np.arcsin(rng.uniform(-1, 1, 5000)))
    inside, truth = moc.contains_lonlat(ra * u.deg, dec * u.deg), LAYERS["sdss"].covers(ra, dec)
    assert inside[truth].all()
    assert (inside & ~truth).mean() < 0.02
