"""Every reader of what strangers wrote gives a value or an error of this library, whatever bytes come: a short form of what `fuzz.py` does at length."""

import pytest
from fuzz_targets import TARGETS, survives
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = 25


@st.composite
def damaged(draw, target):
    """A well-formed input with a few pieces replaced, doubled, cut away, or exchanged for words that its format obeys."""
    body = bytearray(draw(st.sampled_from(target.seeds())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(body) - 1)))
        new = draw(st.sampled_from(target.tokens) if target.tokens and draw(st.booleans()) else st.binary(max_size=6))
        # In place of as many bytes (which keeps blocks and offsets where they were), or of others.
        length = len(new) if draw(st.booleans()) else draw(st.integers(0, 9))
        if len(new) == 80:  # a card of a FITS header
            at -= at % 80
        body[at : at + length] = new
    return bytes(body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 9)) == 0 else body)


@pytest.mark.parametrize("name", TARGETS)
def test_whole_input_is_read(name, tmp_path):
    """The oracle of the others: a target that refuses everything would pass them."""
    target = TARGETS[name]
    assert survives(target, target.seeds()[0], tmp_path) == ""


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_a_value_or_an_error_of_ours(name, tmp_path_factory):
    target = TARGETS[name]
    folder = tmp_path_factory.mktemp(name)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(data=damaged(target))
    def check(data):
        survives(target, data, folder)

    check()
