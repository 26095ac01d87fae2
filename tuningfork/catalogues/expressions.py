"""SQL expressions over the columns of a table: conditions, numbers and rules that give a class, as they stand in the YAML.

DuckDB evaluates them, in memory, on one thread, with no access to files, network or extensions. An expression is one value of one row: no
statement, no sub-query, no star, nothing that depends on the clock or on chance. Absent values are NULL: a comparison with one is neither
true nor false. Division by zero gives NULL; a logarithm of what has none is an error (``TRY(log10(x))`` makes it NULL).

Column names are matched whatever their case; a name with a hyphen, a blank or another sign is written in double quotes:
``"smooth-or-featured_smooth_fraction" > 0.7``.
"""

import contextlib
import difflib
import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from astropy.table import Table

from tuningfork.errors import SampleError

ROW = "row number\x01"  # no column of a catalogue is named so
TABLE = "objects"
# Kinds of DuckDB's expressions that reach beyond one row, or beyond the table.
FORBIDDEN = {
    "SUBQUERY": "a sub-query",
    "STAR": "a star",
    "PARAMETER": "a parameter",
    "LAMBDA": "a lambda",
    "POSITIONAL_REFERENCE": "a column by number",
    "DEFAULT": "DEFAULT",
}


def rows_where(table: Table, sql: str) -> np.ndarray:
    """Where a condition holds.

    Parameters
    ----------
    table : Table
        N rows; masked values and NaN are NULL.
    sql : str
        A condition, such as ``petroMag_r < 17.5 AND oh_sigma IS NOT NULL``.

    Returns
    -------
    bool array, shape (N,)
        False also where the condition is NULL.

    Raises
    ------
    SampleError
        Not one condition over columns that exist; the message names the expression and the nearest column.
    """
    values = _evaluate(table, {"the condition": sql}, boolean=True)[0]
    return np.ma.filled(values, False)


def numbers(table: Table, sql: str) -> np.ndarray:
    """The value of a numerical expression in each row.

    Returns
    -------
    float64 array, shape (N,)
        NaN where the expression is NULL or not finite.

    Raises
    ------
    SampleError
        As `rows_where`; or the expression gives text.
    """
    values = np.ma.filled(_evaluate(table, {"the expression": sql}, boolean=False)[0], np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def first_class(table: Table, rules: Mapping[str, str]) -> np.ndarray:
    """The name of the first rule that holds in each row.

    Parameters
    ----------
    table : Table
        N rows.
    rules : mapping of str to str
        Class name -> condition, in the order in which they are tried.

    Returns
    -------
    array of str, shape (N,)
        '' where no rule holds (or all are false or NULL).

    Raises
    ------
    SampleError
        As `rows_where`; the message names the class.
    """
    made = np.full(len(table), "", dtype=f"U{max((len(name) for name in rules), default=1)}")
    conditions = _evaluate(table, {f"the rule of class {name!r}": sql for name, sql in rules.items()}, boolean=True)
    for name, values in reversed(list(zip(rules, conditions, strict=True))):
        made[np.ma.filled(values, False)] = name
    return made


def columns_of(sql: str) -> list[str]:
    """The column names that an expression mentions, as it writes them, without repeats.

    Raises
    ------
    SampleError
        It is not one expression.
    """
    with _database() as database:
        return _mentioned(database, sql, "the expression")


def _evaluate(table: Table, expressions: Mapping[str, str], *, boolean: bool) -> list[np.ma.MaskedArray]:
    """The values of several expressions, each named by what it is for."""
    with _database() as database:
        used: dict[str, str] = {}
        for what, sql in expressions.items():
            for name in _mentioned(database, sql, what, table.colnames):
                column = _resolve(table, name, what, sql)
                if used.setdefault(name.lower(), column) != column:
                    raise SampleError(f"{what} {sql!r} uses two columns whose names differ by case only; rename one of them")
        arrays = {name: _to_arrow(table, column) for name, column in used.items()}
        database.register(TABLE, pa.table({ROW: np.arange(len(table)), **arrays}))
        return [_values(database, sql, what, boolean) for what, sql in expressions.items()]


def _values(database: duckdb.DuckDBPyConnection, sql: str, what: str, boolean: bool) -> np.ma.MaskedArray:
    query = f'SELECT (\n{sql}\n) AS v, "{ROW}" AS r FROM {TABLE}'
    try:
        kind = str(database.execute(f"DESCRIBE {query}").fetchall()[0][1])
        if boolean and kind not in ("BOOLEAN", '"NULL"', "NULL"):
            raise SampleError(f"{what} {sql!r} gives {_words(kind)}, and should be true or false")
        if not boolean and not re.match(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|FLOAT|DOUBLE|DECIMAL|BOOLEAN|BIGNUM|\"?NULL)", kind):
            raise SampleError(f"{what} {sql!r} gives {_words(kind)}, and should give a number")
        made = database.execute(f"SELECT CAST(v AS {'BOOLEAN' if boolean else 'DOUBLE'}) AS v FROM ({query}) ORDER BY r").fetchnumpy()["v"]
    except duckdb.Error as error:
        raise SampleError(f"{what} {sql!r} cannot be evaluated: {_brief(error)}") from error
    values = np.ma.asarray(made)
    return np.ma.MaskedArray(np.ma.getdata(values).astype(bool if boolean else float), mask=np.ma.getmaskarray(values))


@contextlib.contextmanager
def _database() -> Iterator[duckdb.DuckDBPyConnection]:
    closed: dict[str, Any] = {"enable_external_access": False, "autoload_known_extensions": False, "autoinstall_known_extensions": False, "threads": 1}
    with duckdb.connect(":memory:", config=closed) as database:
        # IEEE rules would make 0/0 a NaN, which DuckDB sorts above every number: `x / y > 5` would hold.
        for setting in (
            "ieee_floating_point_ops = false",
            "error_on_division_by_zero = false",
            "python_enable_replacements = false",
            "lock_configuration = true",
        ):
            database.execute(f"SET {setting}")
        yield database


@functools.cache
def _unsteady_functions() -> frozenset[str]:
    """Functions whose value depends on chance, on the clock, or on the connection."""
    with _database() as database:
        rows = database.execute("SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT'").fetchall()
    return frozenset(name.lower() for (name,) in rows)


def _mentioned(database: duckdb.DuckDBPyConnection, sql: str, what: str, known: Sequence[str] = ()) -> list[str]:
    """Column names in an expression, after the checks that it is one and stays within a row; `known` names only help its messages."""
    # In brackets nothing can follow the expression; without them a second one shows.
    for text in (f"SELECT (\n{sql}\n) AS v", f"SELECT \n{sql}\n"):
        tree = json.loads(database.execute("SELECT json_serialize_sql(?)", [text]).fetchall()[0][0])
        if tree.get("error"):
            raise SampleError(f"{what} {sql!r} is not an expression in SQL: {tree.get('error_message', '')}{_unquoted(sql, known)}")
    if len(tree["statements"]) != 1 or len(tree["statements"][0]["node"]["select_list"]) != 1:
        raise SampleError(f"{what} {sql!r} has several expressions; give one")
    found: list[str] = []
    for node in _nodes(tree["statements"][0]["node"]["select_list"][0]):
        kind = node["class"]
        if kind in FORBIDDEN:
            raise SampleError(f"{what} {sql!r} has {FORBIDDEN[kind]}; an expression is one value of one row")
        name = str(node.get("function_name", "")).lower()
        if kind == "FUNCTION" and name in _unsteady_functions():
            raise SampleError(f"{what} {sql!r} uses {name}(), which gives another value each time")
        if kind == "COLUMN_REF":
            found.append(".".join(node["column_names"]))
    return list(dict.fromkeys(found))


def _unquoted(sql: str, known: Sequence[str]) -> str:
    """A hint for a name that is no SQL word and stands without its quotes."""
    for name in known:
        if _quoted(name) != name and name.lower() in sql.lower() and f'"{name.lower()}"' not in sql.lower():
            return f"; write {_quoted(name)}"
    return ""


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        if "class" in tree:
            yield tree
        for value in tree.values():
            yield from _nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def _resolve(table: Table, name: str, what: str, sql: str) -> str:
    """The column of `table` that an expression means by `name`."""
    if name in table.colnames:
        return name
    same = [column for column in table.colnames if column.lower() == name.lower()]
    if len(same) == 1:
        return same[0]
    if same:
        raise SampleError(f"{what} {sql!r}: {name!r} may be any of {', '.join(same)}; write it with its case")
    lowered = {column.lower(): column for column in table.colnames}
    # A hyphen that was not quoted leaves the first part of a name.
    near = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5) or [c for c in lowered if c.startswith(name.lower())][:1]
    near = near or difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.0)
    hint = f"; the nearest is {_quoted(lowered[near[0]])}" if near else "; the table has no columns"
    raise SampleError(f"{what} {sql!r}: there is no column {name!r}{hint}")


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else f'"{name}" (in double quotes)'


def _to_arrow(table: Table, name: str) -> pa.Array:
    column = table[name]
    data = np.ma.asarray(column.data if hasattr(column, "data") else column)
    values, mask = np.ma.getdata(data), np.ma.getmaskarray(data)
    if values.ndim != 1:
        raise SampleError(f"column {name!r} has shape {values.shape}; expressions work on columns of scalars")
    if values.dtype.kind in "OUS":
        text = [v.decode() if isinstance(v, bytes) else None if v is None else str(v) for v in values.tolist()]
        return pa.array(text, type=pa.string(), mask=mask)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return pa.array(values, mask=mask | np.isnan(values) if values.dtype.kind == "f" else mask)


def _words(kind: str) -> str:
    return {"VARCHAR": "text", "BOOLEAN": "true or false"}.get(kind, f"{kind.lower()} values")


def _brief(error: Exception) -> str:
    """DuckDB's words without its picture of the query, which would show our wrapping."""
    return " ".join(str(error).split("\n\nLINE")[0].split("LINE 1:")[0].split())
