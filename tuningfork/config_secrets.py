"""No secrets in the configuration: it is copied into provenance files, reports and the parameters of jobs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_WORDS = r"token|password|passwd|secret|api_?key|access_?key|credentials?|authorization"
_KEY = re.compile(rf"(^|[_-])({_WORDS})s?$", re.IGNORECASE)
_URL = re.compile(rf"^\w+://[^/?#]*@|[?&]([\w-]*[_-])?({_WORDS}|signature|auth)=", re.IGNORECASE)
_FREE = ("network", "training")
"""Sections whose keys are those of a network or a recipe: a transformer's tokens are no secrets."""


def secrets_in(node: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """(key, what is wrong) of everything below `node` that looks like a secret; the secret itself is not said."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            here = (*key, str(name))
            if value is not None and _KEY.search(str(name)) and not {*key} & {*_FREE} and not isinstance(value, Mapping):
                yield here, "no secrets in the configuration, which is copied into provenance and reports"
            else:
                yield from secrets_in(value, here)
    elif isinstance(node, Sequence) and not isinstance(node, str | bytes):
        for number, value in enumerate(node):
            yield from secrets_in(value, (*key, str(number)))
    elif isinstance(node, str) and _URL.search(node):
        yield key, "an address with a name, password or token in it, which would be copied into provenance and reports"
