"""Sets of bytes as intervals, against Python's own sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tuningfork.archives.intervals import Intervals

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def make(some, gap=0):
    return Intervals.of([a for a, _ in some], [b for _, b in some], gap=gap)


def numbers(some):
    return {n for a, b in some for n in range(a, b)}


def of(intervals):
    return numbers(zip(intervals.start.tolist(), intervals.stop.tolist(), strict=True))


def assert_canonical(intervals):
    assert (intervals.start < intervals.stop).all() and (intervals.start[1:] > intervals.stop[:-1]).all()
    assert intervals.total == len(of(intervals)) and intervals.start.dtype == intervals.stop.dtype == np.int64


@given(pairs)
def test_a_union_covers_what_was_given_and_nothing_else(some):
    made = make(some)
    assert_canonical(made)
    assert of(made) == numbers(some)


@given(pairs, st.integers(0, 10))
def test_merging_fills_gaps_up_to_the_limit_and_no_others(some, gap):
    merged = make(some, gap)
    assert_canonical(merged)
    here = numbers(some)
    assert of(make(some).merged(gap)) == of(merged) >= here
    filled = {n for low in here for high in range(low + 2, low + gap + 2) if high in here for n in range(low, high)}
    assert of(merged) == here | filled


@given(pairs, pairs)
def test_union_and_difference_are_those_of_sets(one, other):
    assert of(make(one).plus(make(other))) == numbers(one) | numbers(other)
    left = make(one).minus(make(other))
    assert_canonical(left)
    assert of(left) == numbers(one) - numbers(other)


@given(pairs, pairs)
def test_covered_is_asked_of_each_interval(some, asked):
    start, stop = (np.array([pair[k] for pair in asked], dtype=np.int64) for k in (0, 1))
    assert make(some).covers(start, stop).tolist() == [numbers([pair]) <= numbers(some) for pair in asked]


@given(pairs, st.integers(1, 9))
def test_cutting_keeps_every_byte_in_pieces_of_the_length(some, longest):
    pieces = make(some).cut(longest)
    assert of(pieces) == numbers(some)
    assert (pieces.stop - pieces.start <= longest).all() and (pieces.start < pieces.stop).all()
    assert pieces.total == len(numbers(some))  # no byte twice
