"""Files named by their URL, such as a table of labels: a known host is its archive, with its manners and its simulated endpoint."""

from urllib.parse import parse_qs, urlsplit

from tuningfork.archives.checks import check_not_html
from tuningfork.archives.request import ARCHIVES, Check, Fetched, Request
from tuningfork.archives.transport import Transport


def request_for(url: str, check: Check | None = None) -> Request:
    """The request that fetches `url`: of the archive whose host it names, or of ``web``.

    Raises
    ------
    ArchiveError
        It is no https URL (plain http is taken on loopback only).
    """
    parts = urlsplit(url)
    for archive in ARCHIVES.values():
        if archive.base_url and urlsplit(archive.base_url).hostname == parts.hostname and parts.scheme == "https":
            return Request(archive.name, parts.path, parse_qs(parts.query, keep_blank_values=True) or None, check=check or check_not_html)
    return Request("web", url, check=check or check_not_html)


def fetch_url(transport: Transport, url: str, check: Check | None = None) -> Fetched:
    """The file at `url`, in the cache.

    Parameters
    ----------
    transport
        An open transport. In a simulated realm only hosts with an endpoint are reached.
    url
        An https URL.
    check
        See `Transport.fetch`; by default anything is accepted but an HTML page.

    Raises
    ------
    NotInArchive, ArchiveError
        As `Transport.fetch`.
    """
    return transport.fetch_request(request_for(url, check))
