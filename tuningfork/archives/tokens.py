"""Secrets: tokens of archives that know their users. They come from the environment, and leave it in one header to one host.

None of the archives' public data need one; a token lifts limits (Zenodo) or opens what is still proprietary (MAST). It is sent to the host of its
archive alone, over https (or to a server of this machine), and is no part of URLs, cache keys, sidecars, logs or messages: `redact` takes it out
of what an archive says back.
"""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import requests

from tuningfork.archives.request import LOOPBACK, Archive
from tuningfork.errors import ArchiveError

PREFIX = "TUNINGFORK_TOKEN_"
SCHEMES = {"mast": "token"}
"""What stands before the token in the header; ``Bearer`` (RFC 6750) where nothing is said. MAST's is from its manual."""
MASK = "***"
SHORTEST = 8
"""Characters of a token: one of fewer is none, and could not be taken out of a text without damage."""


def variable_of(archive: str) -> str:
    """Name of the environment variable with an archive's token: ``TUNINGFORK_TOKEN_MAST``."""
    return f"{PREFIX}{archive.upper()}"


def token_of(archive: str) -> str | None:
    """The token of an archive, None where the environment has none.

    Raises
    ------
    ArchiveError
        It cannot be one: too short, or with blanks, control characters or letters beyond ASCII. The message does not show it.
    """
    value = os.environ.get(variable_of(archive), "").strip()
    if not value:
        return None
    if len(value) < SHORTEST or not all("!" <= character <= "~" for character in value):
        raise ArchiveError(
            f"{variable_of(archive)} holds no token: {SHORTEST} or more characters of ASCII without blanks are expected; set it anew or unset it"
        )
    return value


class Credentials(requests.auth.AuthBase):
    """Puts the token of its archive on a request, if there is one for the host that is asked.

    Parameters
    ----------
    archives
        Archives by name; `web`, which is any host, has no token.
    endpoints
        Where archives are reached instead; one on this machine gets the token of its archive, any other gets none.

    Raises
    ------
    ArchiveError
        As `token_of`.
    """

    def __init__(self, archives: Mapping[str, Archive], endpoints: Mapping[str, str]) -> None:
        self._headers: dict[tuple[str, str, int | None], str] = {}
        for name, archive in archives.items():
            if archive.base_url and (token := token_of(name)) is not None:
                place = _place(endpoints.get(name, archive.base_url))
                if place is not None and (name not in endpoints or place[1] in LOOPBACK):
                    self._headers[place] = f"{SCHEMES.get(name, 'Bearer')} {token}"

    def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        """Called by requests for every request, also for those that follow a redirect."""
        place = _place(prepared.url or "")
        if place is not None and place in self._headers:
            prepared.headers["Authorization"] = self._headers[place]
        return prepared

    def __repr__(self) -> str:
        return f"Credentials for {', '.join(sorted(host for _, host, _ in self._headers)) or 'nobody'}"


def redact(text: str) -> str:
    """`text` without the tokens of the environment."""
    for name, value in os.environ.items():
        token = value.strip()
        if name.startswith(PREFIX) and len(token) >= SHORTEST:
            text = text.replace(token, MASK)
    return text


def _place(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port, if a secret may go there."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return (parts.scheme, host, parts.port) if parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK) else None
