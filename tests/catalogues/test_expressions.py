"""SQL expressions over a table's columns: values against numpy, and what is refused."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork.catalogues.expressions import columns_of, first_class, numbers, rows_where
from tuningfork.errors import SampleError


@pytest.fixture
def table() -> Table:
    return Table(
        {
            "petroR90_r": MaskedColumn([2.0, 4.0, 0.0, 3.0], mask=[False, False, False, True]),
            "smooth-or-featured_smooth_fraction": np.array([0.9, 0.2, 0.6, np.nan], dtype=">f4"),
            "name": ["a", "b", "", "d"],
            "n": np.array([1, 2, 3, 2**60 + 1]),
            "good": [True, False, True, True],
        }
    )


def test_values_are_those_of_numpy(table):
    assert numbers(table, "2 * petroR90_r / 0.396 / 128")[:2] == pytest.approx([2 * 2 / 0.396 / 128, 2 * 4 / 0.396 / 128])
    assert numbers(table, "0.262").tolist() == [0.262] * 4
    assert numbers(table, "n // 2").tolist()[:3] == [0, 1, 1]
    assert numbers(table, "good").tolist() == [1, 0, 1, 1]


def test_absent_values_are_null(table):
    assert np.isnan(numbers(table, "petroR90_r")).tolist() == [False, False, False, True]
    assert rows_where(table, "petroR90_r > 0").tolist() == [True, True, False, False]
    assert rows_where(table, "NOT (petroR90_r > 0)").tolist() == [False, False, True, False]
    assert rows_where(table, "petroR90_r IS NULL").tolist() == [False, False, False, True]
    assert rows_where(table, '"smooth-or-featured_smooth_fraction" > 0.5').tolist() == [True, False, True, False]
    assert rows_where(table, "NULL").tolist() == [False] * 4


def test_division_by_zero_is_null_and_not_large(table):
    assert rows_where(table, "1 / petroR90_r > 0.4").tolist() == [True, False, False, False]
    assert np.isnan(numbers(table, "n / (n - n)")).all()
    with pytest.raises(SampleError, match=r"'log10\(petroR90_r\)' cannot be evaluated"):
        numbers(table, "log10(petroR90_r)")
    assert np.isnan(numbers(table, "TRY(log10(petroR90_r))")).tolist() == [False, False, True, True]


def test_names_are_matched_whatever_their_case(table):
    assert numbers(table, "PETROr90_R")[0] == 2.0
    assert rows_where(table, '"Smooth-Or-Featured_smooth_fraction" > 0.8').tolist() == [True, False, False, False]
    assert columns_of('petror90_r > "x-y" AND petror90_r < 3') == ["petror90_r", "x-y"]


def test_columns_that_differ_by_case_only(table):
    both = Table({"e_zb": [1.0, 2.0], "E_zb": [3.0, 4.0], "zb": [0.0, 0.0]})
    assert numbers(both, "E_zb").tolist() == [3, 4]
    assert numbers(both, "e_zb + zb").tolist() == [1, 2]
    with pytest.raises(SampleError, match="differ by case only"):
        numbers(both, "e_zb + E_zb")
    with pytest.raises(SampleError, match="may be any of e_zb, E_zb"):
        numbers(both, "E_ZB")


def test_identifiers_keep_all_their_digits(table):
    assert rows_where(table, f"n = {2**60 + 1}").tolist() == [False, False, False, True]
    assert not rows_where(table, f"n = {2**60}").any()


def test_the_first_rule_that_holds_names_the_class(table):
    rules = {"big": "petroR90_r > 3", "some": "petroR90_r > 0", "named": "name <> ''"}
    assert first_class(table, rules).tolist() == ["some", "big", "", "named"]
    assert first_class(table, {}).tolist() == [""] * 4


def test_rows_stay_in_order_after_a_window(table):
    assert numbers(table, "rank() OVER (ORDER BY n DESC)").tolist() == [4, 3, 2, 1]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("petroR90_r > 0; DROP TABLE objects", "not an expression"),
        ("petroR90_r) FROM objects --", "not an expression"),
        ("petroR90_r FROM objects", "not an expression"),
        ("petroR90_r AS x", "not an expression"),
        ("1) AS v, (2", "not an expression"),
        ("petroR90_r, n", "several expressions"),
        ("", "not an expression|several expressions"),
        ("n /*", "not an expression"),
        ("(SELECT max(n) FROM objects) > 1", "sub-query"),
        ("n IN (SELECT 1)", "sub-query"),
        ("COLUMNS(*) > 1", "a star"),
        ("random() < 0.5", r"random\(\), which gives another value"),
        ("now() IS NULL", r"now\(\), which"),
        ("$1 > 2", "parameter"),
        ("sum(n) > 1", "cannot be evaluated"),
        ("lower(n, 2) > 1", "cannot be evaluated"),
        ("nosuch(n)", "cannot be evaluated"),
    ],
)
def test_nothing_but_one_expression_of_one_row(table, sql, words):
    with pytest.raises(SampleError, match=words):
        rows_where(table, sql)


def test_no_file_is_read(table, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    for sql in (f"(SELECT count(*) FROM read_csv('{secret}')) > 0", f"read_text('{secret}') IS NOT NULL", f"getenv('HOME') = '{secret}'"):
        with pytest.raises(SampleError):
            rows_where(table, sql)


def test_errors_name_the_expression_and_the_nearest_column(table):
    with pytest.raises(SampleError, match=r"'petroR50_r > 3': there is no column 'petroR50_r'; the nearest is petroR90_r"):
        rows_where(table, "petroR50_r > 3")
    with pytest.raises(SampleError, match=r'not an expression .*; write "smooth-or-featured_smooth_fraction" \(in double quotes\)'):
        rows_where(table, "smooth-or-featured_smooth_fraction > 0.5")
    with pytest.raises(SampleError, match="the rule of class 'bar' 'barr > 1'"):
        first_class(table, {"bar": "barr > 1"})


def test_the_kind_of_value_is_checked(table):
    with pytest.raises(SampleError, match="gives text, and should give a number"):
        numbers(table, "name")
    with pytest.raises(SampleError, match="should be true or false"):
        rows_where(table, "petroR90_r")
    with pytest.raises(SampleError, match="columns of scalars"):
        numbers(Table({"v": np.zeros((3, 2))}), "v")


def test_an_empty_table_gives_nothing():
    assert rows_where(Table({"a": np.array([], float)}), "a > 1").shape == (0,)


@settings(max_examples=40)
@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=30), st.floats(-1e6, 1e6))
def test_a_comparison_is_numpy_s_wherever_there_is_a_value(values, limit):
    column = MaskedColumn([0.0 if v is None else v for v in values], mask=[v is None for v in values])
    expected = [v is not None and v < limit for v in values]
    assert rows_where(Table({"x": column}), f"x < {limit!r}").tolist() == expected
