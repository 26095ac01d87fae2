"""The transport against a server that misbehaves: what is retried, what is refused, and what is left in the cache."""

import dataclasses
import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from misbehaving_server import MODIFIED, body_sizes, chunked, content, cut, dribble, fits_bytes, slowly, stall, status

from tuningfork.archives.cache import verify
from tuningfork.archives.checks import BadReply, check_fits_image
from tuningfork.archives.request import ARCHIVES, Fetched, Request
from tuningfork.errors import ArchiveError, CatalogueError, NotInArchive, OutsideFootprint

BODY = fits_bytes()
PATH = "/missions/image.fits"


def names(cache: Path) -> list[str]:
    return sorted(str(p.relative_to(cache)) for p in cache.rglob("*") if p.is_file())


def only_the_whole_file(cache: Path, body: bytes = BODY) -> bool:
    files = [p for p in cache.rglob("*") if p.is_file()]
    return len(files) == 2 and [p.read_bytes() for p in files if p.suffix == ".fits"] == [body]


def test_a_file_arrives_whole_with_its_sidecar(server, make_transport, tmp_path):
    server.on(PATH, content(BODY))
    with make_transport(contact="https://example.org/me") as transport:
        fetched = transport.fetch("mast", PATH, check=check_fits_image)
    assert fetched.path.read_bytes() == BODY
    assert fetched.path.suffix == ".fits"
    assert fetched.path.parent.name == fetched.path.name[:2]
    sidecar = json.loads(fetched.path.with_name(fetched.path.name + ".json").read_text())
    assert sidecar == fetched.sidecar
    assert sidecar["sha256"] == hashlib.sha256(BODY).hexdigest()
    assert sidecar["bytes"] == len(BODY)
    assert sidecar["status"] == 200
    assert sidecar["realm"] == "live"
    assert sidecar["url"] == server.url + PATH
    assert sidecar["headers"]["last-modified"] == MODIFIED
    assert sidecar["retrieved"].endswith("+00:00")
    assert server.seen[0].headers["user-agent"].startswith("tuningfork/")
    assert server.seen[0].headers["user-agent"].endswith("(+https://example.org/me)")
    assert server.seen[0].headers["accept-encoding"] == "identity"
    assert only_the_whole_file(tmp_path / "cache")


def test_the_second_time_nothing_is_asked(server, transport, make_transport):
    server.on(PATH, content(BODY))
    first = transport.fetch("mast", PATH)
    again = make_transport().fetch("mast", PATH)
    assert (first.from_cache, again.from_cache) == (False, True)
    assert again.path == first.path
    assert again.sidecar == first.sidecar
    assert server.count() == 1


def test_another_port_is_the_same_file(server, make_transport):
    server.on(PATH, content(BODY))
    make_transport().fetch("mast", PATH)
    assert make_transport(endpoints={"mast": "http://127.0.0.1:9"}).fetch("mast", PATH).from_cache


def test_refresh_asks_again(server, transport):
    server.on(PATH, content(BODY), content(fits_bytes(60)))
    transport.fetch("mast", PATH)
    assert transport.fetch("mast", PATH, refresh=True).path.read_bytes() == fits_bytes(60)
    assert transport.fetch("mast", PATH).sidecar["sha256"] == hashlib.sha256(fits_bytes(60)).hexdigest()
    assert server.count() == 2


def test_absent_is_an_answer_that_no_later_run_takes_for_granted(server, transport, make_transport, tmp_path):
    for _ in range(2):
        with pytest.raises(NotInArchive, match=r"'mast' has no http://127.0.0.1:\d+/missions/none.fits \(HTTP 404\)"):
            transport.fetch("mast", "/missions/none.fits")
    assert server.count() == 1
    assert [name.split("/")[0] for name in names(tmp_path / "cache")] == ["absent"]
    server.on("/missions/none.fits", content(BODY))
    assert make_transport().fetch("mast", "/missions/none.fits").path.read_bytes() == BODY


@pytest.mark.parametrize("fault", [status(500), status(503, b"<h1>busy</h1>"), status(429), cut(BODY, 3000), content(b"<html>maintenance</html>"), cut(b"", 0)])
def test_faults_of_the_moment_are_retried(server, transport, tmp_path, fault):
    server.on(PATH, fault, fault, content(BODY))
    assert transport.fetch("mast", PATH, check=check_fits_image).path.read_bytes() == BODY
    assert server.count() == 3
    assert only_the_whole_file(tmp_path / "cache")


def test_a_fault_that_stays_names_archive_url_and_words(server, transport, tmp_path):
    server.on(PATH, status(503, b"<html><h1>No server is available</h1></html>"))
    with pytest.raises(ArchiveError, match=r"archive 'mast' did not give http://\S+/missions/image.fits: HTTP 503 \(No server is available\).*Run again later"):
        transport.fetch("mast", PATH)
    assert server.count() == 3
    assert names(tmp_path / "cache") == []


@pytest.mark.parametrize("code", [400, 401, 403, 405, 501])
def test_a_refusal_is_not_retried(server, transport, code):
    server.on(PATH, status(code, b"bad request: ra"))
    with pytest.raises(ArchiveError, match=rf"HTTP {code} \(bad request: ra\)"):
        transport.fetch("mast", PATH)
    assert server.count() == 1


def test_retry_after_is_obeyed_and_capped(server, make_transport, caplog):
    server.on(PATH, status(429, Retry_After="86400"), content(BODY))
    transport = make_transport(backoff_s=1000.0, longest_pause_s=0.05)
    with caplog.at_level(logging.WARNING):
        transport.fetch("mast", PATH)
    assert "asking again in 0.1 s" in caplog.text
    server.on("/other.fits", status(503, Retry_After="0"), content(BODY))
    with caplog.at_level(logging.WARNING):
        make_transport(backoff_s=1000.0).fetch("mast", "/other.fits")
    assert "asking again in 0.0 s" in caplog.text


def test_an_allowance_that_is_used_up_is_waited_for_by_all(server, make_transport):
    """Also when a good reply says so; the cap holds, and another transport with the same cache knows it."""
    options = {"limit_loopback": True, "longest_pause_s": 0.4, "archives": {"zenodo": dataclasses.replace(ARCHIVES["zenodo"], requests_per_second=100.0)}}
    started = []

    def behave(handler):
        started.append(time.monotonic())
        left = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": str(int(time.time()) + 3600)} if len(started) == 1 else {}
        status(200, BODY, **left)(handler)

    server.on(PATH, behave)
    first, second = (make_transport(endpoints={"zenodo": server.url}, **options) for _ in range(2))
    first.fetch("zenodo", PATH, {"n": 1})
    second.fetch("zenodo", PATH, {"n": 2})
    first.fetch("zenodo", PATH, {"n": 3})
    assert started[1] - started[0] > 0.3


def test_a_reset_time_is_obeyed_on_429(server, make_transport, caplog):
    server.on(PATH, status(429, X_RateLimit_Reset=str(int(time.time()) + 3600)), content(BODY))
    make_transport(backoff_s=1000.0, longest_pause_s=0.05).fetch("mast", PATH)
    assert "asking again in 0.1 s" in caplog.text
    assert server.count() == 2


def test_a_body_may_say_that_it_failed_for_the_moment(server, transport):
    def check(path: Path) -> None:
        if b"error" in path.read_bytes():
            raise BadReply("the server reports: try later")

    server.on(PATH, status(200, b"error_message\ntry later\n"), content(b"id\n1\n"))
    assert transport.fetch("mast", PATH, check=check).path.read_bytes() == b"id\n1\n"
    assert server.count() == 2


class TestJudge:
    """Statuses that do not mean what they usually do."""

    def test_it_sees_status_headers_and_body_and_its_answer_is_final(self, server, transport):
        seen = []

        def judge(code: int, headers: dict, body: bytes) -> None:
            seen.append((code, headers["content-type"], body))
            if b"No overlap" in body:
                raise OutsideFootprint("no image there")

        server.on(PATH, status(500, b"No overlap", Content_Type="text/plain"))
        for _ in range(2):
            with pytest.raises(OutsideFootprint, match="no image there"):
                transport.fetch("mast", PATH, judge=judge)
        assert seen == [(500, "text/plain", b"No overlap")]
        server.on("/other", status(500, b"oops", Content_Type="text/plain"), content(BODY))
        assert transport.fetch("mast", "/other", judge=judge).path.read_bytes() == BODY
        assert len(seen) == 2

    def test_it_may_call_a_refusal_passing_and_a_fault_final(self, server, transport):
        def judge(code: int, headers: dict, body: bytes) -> None:
            raise BadReply("busy" if code == 404 else "no such layer", transient=code == 404)

        server.on(PATH, status(404, b"\xff\xd8 busy"), content(BODY))
        assert transport.fetch("mast", PATH, judge=judge).path.read_bytes() == BODY
        server.on("/final", status(503))
        with pytest.raises(ArchiveError, match="HTTP 503: no such layer"):
            transport.fetch("mast", "/final", judge=judge)
        assert server.count() == 3

    def test_it_sees_no_more_than_64_kib(self, server, transport):
        sizes = []
        server.on(PATH, status(400, b"x" * 200_000))
        with pytest.raises(ArchiveError, match="HTTP 400"):
            transport.fetch("mast", PATH, judge=lambda code, headers, body: sizes.append(len(body)))
        assert sizes == [2**16]


def test_connections_are_kept_open_between_requests(server, transport):
    ports = set()

    def behave(handler):
        ports.add(handler.client_address)
        content(BODY)(handler)

    server.on(PATH, behave)
    for n in range(5):
        transport.fetch("mast", PATH, {"n": n})
    assert len(ports) == 1


def test_html_in_place_of_fits_never_gets_the_name(server, transport, tmp_path):
    server.on(PATH, content(b"<!DOCTYPE html><html>Down for maintenance</html>", "text/html"))
    with pytest.raises(ArchiveError, match=r"not a FITS file: it begins with '<!DOCTYPE html>"):
        transport.fetch("mast", PATH, check=check_fits_image)
    assert server.count() == 3
    assert names(tmp_path / "cache") == []


def test_a_check_may_be_final(server, transport, tmp_path):
    def never(path: Path) -> None:
        raise CatalogueError("no column Xpos")

    def final(path: Path) -> None:
        raise BadReply("four axes", transient=False)

    server.on(PATH, content(BODY))
    with pytest.raises(CatalogueError, match="no column Xpos"):
        transport.fetch("mast", PATH, check=never)
    with pytest.raises(ArchiveError, match=r"mast: http://.*: four axes"):
        transport.fetch("mast", PATH, check=final)
    assert server.count() == 2
    assert names(tmp_path / "cache") == []


@pytest.mark.parametrize(("fault", "limits"), [(stall(BODY, 1000), {"read_timeout_s": 0.2}), (dribble(BODY), {"stall_s": 0.2})])
def test_a_stalled_or_dribbling_body_counts_as_cut(server, make_transport, caplog, fault, limits):
    server.on(PATH, fault, content(BODY))
    transport = make_transport(archives={"mast": dataclasses.replace(ARCHIVES["mast"], **limits)}, attempts=10)
    assert transport.fetch("mast", PATH).path.read_bytes() == BODY
    assert "the body was cut after 1000 bytes" in caplog.text or "the body stalled" in caplog.text


def test_a_cut_body_is_resumed_where_it_was_cut(server, transport, tmp_path):
    server.on(PATH, cut(BODY, 3000), content(BODY))
    assert transport.fetch("mast", PATH, check=check_fits_image, resume=True).path.read_bytes() == BODY
    assert server.seen[1].headers["range"] == "bytes=3000-"
    assert server.seen[1].headers["if-range"] == MODIFIED
    assert only_the_whole_file(tmp_path / "cache")


def test_what_a_failed_run_received_is_resumed_by_the_next(server, make_transport, tmp_path):
    server.on(PATH, cut(BODY, 3000), status(500), status(500), content(BODY))
    with pytest.raises(ArchiveError):
        make_transport().fetch("mast", PATH, resume=True)
    assert any(".part" in name for name in names(tmp_path / "cache"))
    assert make_transport().fetch("mast", PATH, resume=True).path.read_bytes() == BODY
    assert server.seen[-1].headers["range"] == "bytes=3000-"
    assert only_the_whole_file(tmp_path / "cache")


def test_a_file_that_changed_meanwhile_is_not_glued(server, transport):
    server.on(PATH, cut(BODY[::-1], 3000, modified="Mon, 01 Jan 2001 00:00:00 GMT"), content(BODY))
    assert transport.fetch("mast", PATH, resume=True).path.read_bytes() == BODY
    assert server.seen[1].headers["range"] == "bytes=3000-"


def test_a_server_that_resumes_at_the_wrong_place_is_not_trusted(server, transport):
    wrong = status(206, BODY[2000:], Content_Range=f"bytes 2000-{len(BODY) - 1}/{len(BODY)}", Last_Modified=MODIFIED)
    server.on(PATH, cut(BODY, 3000), wrong, content(BODY))
    assert transport.fetch("mast", PATH, resume=True).path.read_bytes() == BODY
    assert "range" not in server.seen[2].headers


def test_a_range_beyond_the_end_begins_again(server, transport):
    server.on(PATH, cut(BODY, 3000), status(416, Content_Range="bytes */100"), content(BODY))
    assert transport.fetch("mast", PATH, resume=True).path.read_bytes() == BODY


def test_a_download_killed_by_force_is_resumed_and_its_lock_broken(server, make_transport, tmp_path):
    server.on(PATH, stall(BODY, 3000), content(BODY))
    script = (
        "import sys; from pathlib import Path; from tuningfork.archives.transport import Transport\n"
        "Transport(realm='live', cache=Path(sys.argv[2]), endpoints={'mast': sys.argv[1]}).fetch('mast', sys.argv[3], resume=True)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, server.url, str(tmp_path / "cache"), PATH])
    while 3000 not in body_sizes(tmp_path / "cache"):
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert any(name.endswith(".lock") for name in names(tmp_path / "cache"))
    assert make_transport().fetch("mast", PATH, resume=True).path.read_bytes() == BODY
    assert server.seen[-1].headers["range"] == "bytes=3000-"
    assert [p for p in names(tmp_path / "cache") if ".part" in p or p.endswith(".lock")] == []


def test_two_processes_that_want_one_file_both_get_it_whole(server, tmp_path):
    server.on(PATH, slowly(BODY, 0.3))
    script = (
        "import sys; from pathlib import Path; from tuningfork.archives.transport import Transport\n"
        "got = Transport(realm='live', cache=Path(sys.argv[2]), endpoints={'mast': sys.argv[1]}).fetch('mast', sys.argv[3])\n"
        "sys.exit(got.path.stat().st_size != int(sys.argv[4]))"
    )
    children = [subprocess.Popen([sys.executable, "-c", script, server.url, str(tmp_path / "cache"), PATH, str(len(BODY))]) for _ in range(2)]
    assert [child.wait(30) for child in children] == [0, 0]
    assert server.count() == 1
    assert only_the_whole_file(tmp_path / "cache")


def test_a_live_lock_is_waited_for(server, make_transport):
    arrived = threading.Event()

    def slow(handler):
        arrived.set()
        slowly(BODY, 0.2)(handler)

    server.on(PATH, slow)
    results: list[Fetched] = []
    first = threading.Thread(target=lambda: results.append(make_transport().fetch("mast", PATH)))
    first.start()
    arrived.wait(10)
    second = make_transport().fetch("mast", PATH)
    first.join()
    assert (results[0].from_cache, second.from_cache) == (False, True)
    assert server.count() == 1


def test_a_damaged_file_in_the_cache_is_fetched_again(server, transport, make_transport, tmp_path):
    server.on(PATH, content(BODY))
    path = transport.fetch("mast", PATH).path
    assert list(verify(tmp_path / "cache")) == []
    path.write_bytes(BODY[:100])
    assert [(p, "100 bytes" in problem) for p, problem in verify(tmp_path / "cache")] == [(path, True)]
    assert transport.fetch("mast", PATH).path.read_bytes() == BODY
    path.write_bytes(b"x" * len(BODY))
    assert transport.fetch("mast", PATH).from_cache, "only the size is compared by default"
    assert make_transport(verify=True).fetch("mast", PATH).path.read_bytes() == BODY
    assert server.count() == 3
    path.unlink()
    assert [problem for _, problem in verify(tmp_path / "cache")] == ["it is gone, its sidecar is not"]


def test_a_redirect_within_the_host_is_followed(server, transport):
    server.on(PATH, status(302, Location="/elsewhere.fits"))
    server.on("/elsewhere.fits", content(BODY))
    fetched = transport.fetch("mast", PATH)
    assert fetched.path.read_bytes() == BODY
    assert fetched.sidecar["url"] == f"{server.url}/elsewhere.fits"


@pytest.mark.parametrize("target", ["http://localhost:1/x.fits", "https://archive.example.org/x.fits", "ftp://127.0.0.1/x.fits", "file:///etc/hosts"])
def test_a_redirect_to_another_host_or_scheme_is_refused(server, transport, target):
    server.on(PATH, status(302, Location=target))
    with pytest.raises(ArchiveError, match="another host or scheme, which is not followed"):
        transport.fetch("mast", PATH)
    assert server.count() == 1


def test_a_loop_of_redirects_ends(server, transport):
    server.on(PATH, status(301, Location=PATH))
    with pytest.raises(ArchiveError, match="redirects more than 5 times"):
        transport.fetch("mast", PATH)


@pytest.mark.parametrize("behaviour", [content(BODY), chunked(BODY[:500], BODY[500:])])
def test_a_body_that_is_too_long_is_refused(server, transport, tmp_path, behaviour):
    server.on(PATH, behaviour)
    with pytest.raises(ArchiveError, match="more than the 1000 bytes that are reasonable"):
        transport.fetch("mast", PATH, max_bytes=1000)
    assert names(tmp_path / "cache") == []


def test_a_body_of_unknown_length_is_taken(server, transport):
    server.on(PATH, chunked(BODY[:500], BODY[500:]))
    assert transport.fetch("mast", PATH, check=check_fits_image, resume=True).path.read_bytes() == BODY


def test_a_body_that_came_compressed_is_refused(server, transport):
    server.on(PATH, status(200, b"\x1f\x8b", Content_Encoding="gzip"))
    with pytest.raises(ArchiveError, match="came compressed"):
        transport.fetch("mast", PATH)


def test_head_gives_length_and_date(server, transport):
    server.on(PATH, content(BODY))
    assert transport.head("mast", PATH)["content-length"] == str(len(BODY))
    assert transport.head("mast", PATH)["last-modified"] == MODIFIED
    with pytest.raises(NotInArchive):
        transport.head("mast", "/none")
    assert server.count("GET") == 0


def test_post_sends_a_form(server, transport):
    server.on("/tap/sync", status(200, b"a,b\n"))
    transport.fetch("vizier", "/tap/sync", {"QUERY": "SELECT 1", "LANG": "ADQL"}, method="POST")
    assert server.seen[0].body == b"LANG=ADQL&QUERY=SELECT%201"
    assert server.seen[0].headers["content-type"] == "application/x-www-form-urlencoded"


def test_many_come_in_order_with_their_errors_and_no_more_at_once_than_allowed(server, transport):
    bodies = {f"/{i}.fits": fits_bytes(10 + i) for i in range(12)}
    for path, body in bodies.items():
        server.on(path, slowly(body, 0.02))
    asked = [Request("mast", path) for path in bodies]
    got = transport.fetch_many([*asked[:5], Request("mast", "/none.fits"), Request("nowhere", "/x"), *asked[5:], asked[0]])
    assert isinstance(got[5], NotInArchive)
    assert isinstance(got[6], ArchiveError)
    whole = [*got[:5], *got[7:]]
    assert [fetched.path.read_bytes() for fetched in whole] == [*bodies.values(), bodies["/0.fits"]]
    assert server.count() == 13
    assert server.busiest <= 4


def test_the_loopback_needs_no_proxy(server, make_transport, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    server.on(PATH, content(BODY))
    assert make_transport().fetch("mast", PATH).path.read_bytes() == BODY


def test_a_netrc_is_not_sent(server, make_transport, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.on(PATH, content(BODY))
    make_transport().fetch("mast", PATH)
    assert "authorization" not in server.seen[0].headers


def test_no_connection_is_an_error_that_says_so(make_transport):
    transport = make_transport(endpoints={"mast": "http://127.0.0.1:9"})
    with pytest.raises(ArchiveError, match=r"did not give http://127.0.0.1:9/missions/image.fits: no answer .*check that this machine reaches that host"):
        transport.fetch("mast", PATH)


def test_a_second_host_is_asked_when_the_first_gives_nothing(server, make_transport):
    server.on(PATH, content(BODY))
    archive = dataclasses.replace(ARCHIVES["vizier"], base_url="http://127.0.0.1:9", fallbacks=(server.url,))
    fetched = make_transport(endpoints={}, archives={"vizier": archive}, attempts=1).fetch("vizier", PATH)
    assert fetched.sidecar["url"] == server.url + PATH
    server.on(PATH, status(503))
    with pytest.raises(ArchiveError, match=rf"did not give http://127.0.0.1:9{PATH}: no answer .*; nor {server.url}{PATH}: HTTP 503"):
        make_transport(endpoints={}, archives={"vizier": archive}, attempts=1).fetch("vizier", PATH, refresh=True)


class TestRealms:
    SIMULATED = fits_bytes(simulated=True)

    def test_simulated_and_live_never_share_a_file(self, server, make_transport):
        server.on(PATH, content(BODY), content(self.SIMULATED))
        live = make_transport("live").fetch("mast", PATH)
        simulated = make_transport("simulated-7").fetch("mast", PATH)
        assert live.path != simulated.path
        assert live.path.read_bytes() == BODY
        assert simulated.sidecar["realm"] == "simulated-7"

    def test_live_refuses_a_simulated_reply(self, server, make_transport, tmp_path):
        server.on(PATH, content(self.SIMULATED))
        with pytest.raises(ArchiveError, match="marked as simulated, where real data were asked"):
            make_transport("live").fetch("mast", PATH)
        assert (server.count(), names(tmp_path / "cache")) == (1, [])

    def test_simulated_refuses_a_real_reply(self, server, make_transport):
        server.on(PATH, content(BODY))
        with pytest.raises(ArchiveError, match="not marked as simulated"):
            make_transport("simulated-7").fetch("mast", PATH)

    def test_simulated_reaches_nothing_but_its_endpoints(self, server, make_transport):
        with pytest.raises(ArchiveError, match="'mast' is not part of the simulated sky"):
            make_transport("simulated-7", endpoints={"vizier": server.url}).fetch("mast", PATH)
        with pytest.raises(ArchiveError, match="is not on this machine"):
            make_transport("simulated-7", endpoints={"mast": "https://archive.stsci.edu"})

    def test_a_realm_has_one_of_two_names(self, make_transport):
        with pytest.raises(ArchiveError, match="neither 'live' nor"):
            make_transport("demo")


class TestMirror:
    def transport(self, make_transport, mirror, **options):
        return make_transport(endpoints={}, mirror=mirror, **options)

    @pytest.mark.parametrize("root", ["archive.stsci.edu", "mast"])
    def test_a_file_of_the_mirror_is_linked_and_nothing_is_asked(self, server, make_transport, tmp_path, root):
        source = tmp_path / "mirror" / root / PATH.lstrip("/")
        source.parent.mkdir(parents=True)
        source.write_bytes(BODY)
        fetched = self.transport(make_transport, tmp_path / "mirror").fetch("mast", PATH, check=check_fits_image)
        assert fetched.path.resolve() == source.resolve()
        assert fetched.sidecar["sha256"] == hashlib.sha256(BODY).hexdigest()
        assert self.transport(make_transport, tmp_path / "mirror").fetch("mast", PATH).from_cache
        os.utime(source, (0, 0))
        assert not self.transport(make_transport, tmp_path / "mirror").fetch("mast", PATH).from_cache
        assert server.seen == []

    def test_a_bad_file_of_the_mirror_is_named(self, make_transport, tmp_path):
        source = tmp_path / "mirror" / "mast" / PATH.lstrip("/")
        source.parent.mkdir(parents=True)
        source.write_bytes(BODY[:5000])
        with pytest.raises(ArchiveError, match=r"image\.fits \(of the mirror\): a FITS file cut short"):
            self.transport(make_transport, tmp_path / "mirror").fetch("mast", PATH, check=check_fits_image)

    def test_it_cannot_serve_the_simulated_sky(self, make_transport, tmp_path):
        with pytest.raises(ArchiveError, match="a mirror holds real data"):
            make_transport("simulated-7", mirror=tmp_path)


def test_a_cache_that_cannot_be_written_is_named(make_transport, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveError, match="file cannot be written"):
        make_transport(cache=tmp_path / "file").fetch("mast", PATH)
