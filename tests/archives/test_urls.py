"""Files named by URL."""

import pytest
from misbehaving_server import content

from tuningfork.archives.urls import fetch_url, request_for
from tuningfork.errors import ArchiveError

LABELS = "https://raw.githubusercontent.com/mperezcarrasco/CLASH/master/CLASH/CLASH_labels.csv"


def test_a_known_host_is_its_archive_and_so_has_a_simulated_endpoint(server, make_transport):
    server.on("/mperezcarrasco/CLASH/master/CLASH/CLASH_labels.csv", content(b"id,p_smooth\nSIM-1,0.5\n", "text/csv"))
    fetched = fetch_url(make_transport("simulated-1"), LABELS)
    assert fetched.path.read_bytes() == b"id,p_smooth\nSIM-1,0.5\n"
    assert fetched.path.suffix == ".csv"


def test_any_other_host_is_the_web():
    assert request_for("https://example.org/a.csv?b=1").archive == "web"
    assert request_for(LABELS).archive == "github"
    with_query = request_for(LABELS + "?token=x&token=y")
    assert (with_query.archive, with_query.path) == ("github", request_for(LABELS).path)
    assert with_query.pairs == [("token", "x"), ("token", "y")]


def test_the_web_is_no_part_of_the_simulated_sky(make_transport):
    with pytest.raises(ArchiveError, match="'web' is not part of the simulated sky"):
        fetch_url(make_transport("simulated-1"), "https://example.org/a.csv")


def test_a_server_on_this_machine_may_speak_plain_http(server, transport):
    server.on("/a.csv", content(b"id\n1\n", "text/csv"))
    assert fetch_url(transport, f"{server.url}/a.csv?v=1").path.read_bytes() == b"id\n1\n"
    assert server.seen[0].target == "/a.csv?v=1"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://example.org/a.csv", "a.csv", "ftp://example.org/a"])
def test_nothing_but_https(transport, url):
    with pytest.raises(ArchiveError, match="no https URL"):
        fetch_url(transport, url)


def test_a_page_in_place_of_labels_is_refused(server, transport):
    server.on("/a.csv", content(b"<html>404: Not Found</html>"))
    with pytest.raises(ArchiveError, match="an HTML page in place of data"):
        fetch_url(transport, f"{server.url}/a.csv")
