"""Partial replies taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from range_server import multipart

from tuningfork.archives.checks import BadReply
from tuningfork.archives.multipart import read_pieces

FILE = bytes(range(256)) * 8
KIND = {"content-type": "multipart/byteranges; boundary=5ad3f1"}


def content(pieces):
    return [(piece.start, bytes(piece.data)) for piece in pieces.pieces]


spans = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 40)).map(lambda s: (s[0], s[0] + s[1])), min_size=1, max_size=6)


@given(spans)
def test_every_part_comes_back_in_its_place(some):
    found = read_pieces(KIND, multipart(FILE, some))
    assert content(found) == [(start, FILE[start:stop]) for start, stop in some]
    assert found.length == len(FILE) and found.several and found.complete


@given(spans, st.integers(1, 400))
def test_a_cut_body_gives_what_came_and_says_so(some, lost):
    body = multipart(FILE, some)
    try:
        found = read_pieces(KIND, body[: max(0, len(body) - lost)])
    except BadReply:
        return  # not even a first part
    for start, data in content(found):
        assert FILE[start : start + len(data)] == data
    assert not found.complete or lost <= 2  # the last two bytes are the end of a line


def test_the_boundary_may_be_quoted_and_may_stand_in_the_pixels():
    body = multipart(b"--5ad3f1\r\nContent-range: bytes 0-1/9\r\n\r\nxx" * 3, [(0, 40), (50, 60)])
    assert [len(piece.data) for piece in read_pieces({"content-type": 'Multipart/Byteranges; boundary="5ad3f1"'}, body).pieces] == [40, 10]


def test_a_plain_part_is_one_piece():
    found = read_pieces({"content-type": "image/fits", "content-range": "bytes 10-19/2048"}, FILE[10:20])
    assert content(found) == [(10, FILE[10:20])] and (found.length, found.several, found.complete) == (2048, False, True)
    assert not read_pieces({"content-range": "bytes 10-19/2048"}, FILE[10:17]).complete


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"abc"),
        ({"content-range": "bytes 0-1/*"}, b"ab"),
        ({"content-range": "bytes 9-1/20"}, b"ab"),
        ({"content-range": "bytes 0-20/20"}, b"ab"),
        ({"content-type": "multipart/byteranges"}, b"ab"),
        (KIND, b"no parts at all"),
        (KIND, multipart(FILE, [(0, 4)]).replace(b"--5ad3f1--\r\n", b"") + multipart(FILE[:99], [(0, 4)])[2:]),
    ],
)
def test_replies_that_do_not_say_what_they_hold_are_refused(headers, body):
    with pytest.raises(BadReply):
        read_pieces(headers, body)
