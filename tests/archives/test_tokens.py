"""A token goes to its archive and nowhere else: not to other hosts, not into files, logs or messages."""

import json
import logging
import threading

import pytest
import requests
from misbehaving_server import Handler, Server, content, reply, status

from tuningfork.archives import tokens
from tuningfork.archives.request import ARCHIVES
from tuningfork.archives.tokens import Credentials, redact, token_of
from tuningfork.errors import ArchiveError

TOKEN = "s3cr3t-0123456789abcdef"
PATH = "/missions/file.txt"


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv("TUNINGFORK_TOKEN_MAST", f" {TOKEN}\n")
    return TOKEN


@pytest.fixture
def elsewhere():
    server = Server()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def written(folder) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def echo(code: int):
    """An archive that says the header back, in a header, in its words, and in the address it redirects to."""

    def behave(handler: Handler) -> None:
        said = handler.headers.get("Authorization", "")
        reply(handler, code, f"data for {said}".encode() if code >= 400 else b"data\n", X_You_Said=said, Content_Type="text/plain")

    return behave


def test_it_is_sent_to_its_archive_alone(server, elsewhere, make_transport, secret):
    transport = make_transport(endpoints={"mast": server.url, "github": elsewhere.url})
    for place in (server, elsewhere):
        place.on(PATH, content(b"data\n", "text/plain"))
    transport.fetch("mast", PATH)
    transport.fetch("github", PATH)
    transport.fetch("web", f"{elsewhere.url}{PATH}")
    assert server.seen[-1].headers["authorization"] == f"token {secret}"
    assert len(elsewhere.seen) == 2 and not any("authorization" in seen.headers for seen in elsewhere.seen)


def test_it_is_neither_kept_nor_told(server, make_transport, secret, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    transport = make_transport()
    server.on(PATH, echo(200))
    fetched = transport.fetch("mast", PATH)
    assert fetched.sidecar["headers"]["x-you-said"] == f"token {tokens.MASK}"
    assert secret not in json.dumps(fetched.sidecar) and secret.encode() not in written(tmp_path)
    told = []
    for code in (403, 404, 503):
        server.on(f"/{code}", echo(code))
        with pytest.raises(ArchiveError) as caught:
            transport.fetch("mast", f"/{code}")
        told += [str(caught.value), repr(caught.value.__cause__), repr(caught.value.__context__)]
    assert any(tokens.MASK in text for text in told)
    assert all(seen.headers["authorization"] == f"token {secret}" for seen in server.seen)
    assert secret not in "".join(told) + caplog.text + repr(transport) + repr(transport._sessions[True].auth)
    assert secret.encode() not in written(tmp_path)


def test_the_cache_is_the_same_with_and_without(server, make_transport, secret, monkeypatch):
    server.on(PATH, content(b"data\n", "text/plain"))
    first = make_transport().fetch("mast", PATH)
    monkeypatch.delenv("TUNINGFORK_TOKEN_MAST")
    again = make_transport().fetch("mast", PATH)
    assert again.from_cache and again.path == first.path


def test_a_redirect_carries_it_within_the_host_only(server, elsewhere, make_transport, secret):
    elsewhere.on(PATH, content(b"data\n", "text/plain"))
    server.on("/away", status(302, Location=f"{elsewhere.url}{PATH}"))
    server.on("/here", lambda handler: reply(handler, 302, b"", Location=f"{PATH}?was={handler.headers['Authorization'].split()[1]}"))
    server.on(PATH, content(b"data\n", "text/plain"))
    transport = make_transport()
    with pytest.raises(ArchiveError, match="another host or scheme"):
        transport.fetch("mast", "/away")
    assert not elsewhere.seen
    fetched = transport.fetch("mast", "/here")
    assert fetched.sidecar["url"].endswith(f"?was={tokens.MASK}") and [seen.headers["authorization"] for seen in server.seen] == [f"token {secret}"] * 3


def test_the_simulated_sky_gets_none(server, make_transport, secret):
    server.on(PATH, content(b"# SIMULATED\n1\n", "text/plain"))
    make_transport(realm="simulated-x").fetch("mast", PATH)
    assert "authorization" not in server.seen[-1].headers


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://archive.stsci.edu/x", True),
        ("https://archive.stsci.edu:444/x", False),
        ("http://archive.stsci.edu/x", False),
        ("https://archive.stsci.edu.evil.org/x", False),
        ("https://archive.stsci.edu@evil.org/x", False),
        ("https://stpubdata.s3.amazonaws.com/x", False),
    ],
)
def test_which_addresses_may_see_it(secret, url, sent):
    prepared = requests.Request("GET", url, auth=Credentials(ARCHIVES, {})).prepare()
    assert ("Authorization" in prepared.headers) == sent


@pytest.mark.parametrize("endpoint", ["https://mirror.example.org", "http://mirror.example.org"])
def test_another_host_that_stands_in_gets_none(secret, endpoint):
    prepared = requests.Request("GET", f"{endpoint}/x", auth=Credentials(ARCHIVES, {"mast": endpoint})).prepare()
    assert "Authorization" not in prepared.headers


@pytest.mark.parametrize("value", ["short", "two words of it", "new\nline-injected: yes", "ünïcode-token", "nul\x7fnul-nul"])
def test_what_is_no_token_is_refused_unsaid(monkeypatch, value):
    monkeypatch.setenv("TUNINGFORK_TOKEN_ZENODO", value)
    with pytest.raises(ArchiveError, match="TUNINGFORK_TOKEN_ZENODO holds no token") as caught:
        token_of("zenodo")
    assert value not in str(caught.value)


def test_redacting_leaves_all_else(secret):
    assert redact(f"a {secret}, and {secret}!") == "a ***, and ***!"
    assert redact("nothing here") == "nothing here"
