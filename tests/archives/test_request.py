"""Canonical requests: equal meaning, equal key."""

from urllib.parse import parse_qsl

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuningfork.archives.request import Request, canonical_pairs, query_string
from tuningfork.errors import ArchiveError

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


@given(st.dictionaries(texts.filter(bool), texts | st.floats(-1e6, 1e6) | st.integers(-(10**18), 10**18) | st.booleans(), max_size=6), st.randoms())
def test_the_order_of_parameters_has_no_meaning(params, random):
    items = list(params.items())
    random.shuffle(items)
    assert Request("mast", "/x", dict(items)).key("live") == Request("mast", "/x", params).key("live")


@given(st.lists(st.tuples(texts.filter(bool), texts), max_size=6))
def test_a_query_string_says_what_was_meant(pairs):
    assert parse_qsl(query_string(pairs), keep_blank_values=True, strict_parsing=bool(pairs)) == pairs


@given(st.floats(-360, 360))
def test_a_float_loses_less_than_a_microdegree(value):
    ((_, text),) = canonical_pairs({"ra": value})
    assert abs(float(text) - value) < 1e-6


def test_numbers_have_one_form():
    assert len({Request("mast", "/x", {"ra": v}).key("live") for v in (1, 1.0, np.float64(1), np.int32(1), "1")}) == 1
    assert canonical_pairs({"a": True, "b": None, "c": ["x", 2], "id": 1237668296598749280}) == [
        ("a", "true"),
        ("c", "x"),
        ("c", "2"),
        ("id", "1237668296598749280"),
    ]
    for value in (float("nan"), np.inf):
        with pytest.raises(ArchiveError, match="'ra' is"):
            canonical_pairs({"ra": value})


def test_realm_archive_method_and_path_are_part_of_the_key():
    keys = {
        Request("mast", "/x").key("live"),
        Request("mast", "/x").key("simulated-1"),
        Request("mast", "/x").key("simulated-2"),
        Request("mast", "/y").key("live"),
        Request("vizier", "/x").key("live"),
        Request("mast", "/x", method="POST").key("live"),
        Request("mast", "/x", {"a": 1}).key("live"),
    }
    assert len(keys) == 7


def test_asu_parameters_stay_readable():
    assert query_string([("-source", "J/MNRAS/470/95/macs0717"), ("-out", "**"), ("Hmag", "<24.5 & >1+1")]) == (
        "-source=J/MNRAS/470/95/macs0717&-out=**&Hmag=%3C24.5%20%26%20%3E1%2B1"
    )


@pytest.mark.parametrize(
    ("path", "suffix"),
    [
        ("/a/b.fits", ".fits"),
        ("/a/b.FITS.gz", ".fits.gz"),
        ("/viz-bin/votable", ""),
        ("/a.d/b", ""),
        ("/x/macs_v1.0", ""),
        ("/a/b.csv?x=.exe", ".csv"),
        ("/", ""),
    ],
)
def test_the_suffix_is_the_files_own(path, suffix):
    assert Request("mast", path).suffix == suffix


@pytest.mark.parametrize(
    ("archive", "path", "words"),
    [
        ("mast", "missions/x", "must start with '/'"),
        ("mast", "/missions/../x", "must not climb"),
        ("web", "file:///etc/passwd", "no https URL"),
        ("web", "http://example.org/x", "no https URL"),
        ("web", "https:///x", "no https URL"),
        ("web", "https://example.org/../x", "must not climb"),
    ],
)
def test_what_is_no_request(archive, path, words):
    with pytest.raises(ArchiveError, match=words):
        Request(archive, path)
    with pytest.raises(ArchiveError, match="only GET and POST"):
        Request("mast", "/x", method="DELETE")
