"""What may not be in a configuration: secrets (it is copied into provenance files, reports and the parameters of jobs), and YAML that never ends."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_VALUES = 200_000
DEEPEST = 50
"""Values and levels of a configuration; aliases of YAML (``&a``, ``*a``) can make more of a few lines than any memory holds."""
_WORDS = r"token|password|passwd|secret|api[_-]?key|access[_-]?key|credentials?|authorization"
_KEY = re.compile(rf"(^|[_-])({_WORDS})s?$", re.IGNORECASE)
_URL = re.compile(rf"^\w+://[^/?#]*@|[?&]([\w-]*[_-])?({_WORDS}|signature|auth)=", re.IGNORECASE)
_FREE = ("network", "training")
"""Sections whose keys are those of a network or a recipe: a transformer's tokens are no secrets."""
Key = tuple[str, ...]


def secrets_in(raw: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """(key, what is wrong) of everything that looks like a secret; the secret itself is not said. The last one where the values never end."""
    cure = "take it out; an archive's token goes into an environment variable such as TUNINGFORK_TOKEN_MAST"
    for count, (key, value) in enumerate(_values(raw, ())):
        if count > MOST_VALUES or len(key) > DEEPEST:
            yield key[:3], f"more than {MOST_VALUES} values or {DEEPEST} levels: aliases that hold each other?"
            return
        if value is not None and not isinstance(value, Mapping) and _KEY.search(key[-1]) and not {*key} & {*_FREE}:
            yield key, f"no secrets in the configuration, which is copied into provenance and reports; {cure}"
        elif isinstance(value, str) and _URL.search(value):
            yield key, f"an address with a name, password or token in it, which would be copied into provenance and reports; {cure}"


def _values(node: Any, key: Key) -> Iterator[tuple[Key, Any]]:
    """Every value below `node` with its key, level by level as they are asked for."""
    inside: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(node, Mapping):
        inside = iter(node.items())
    elif isinstance(node, Sequence) and not isinstance(node, str | bytes):
        inside = zip(itertools.count(), node, strict=False)
    for name, value in inside:
        yield (*key, str(name)), value
        yield from _values(value, (*key, str(name)))
