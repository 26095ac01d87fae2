"""The two dialects of the archives, SQL Server's and ADQL: parsed, checked to be one SELECT that writes nothing, and translated to DuckDB."""

import re
from collections.abc import Sequence
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import SqlglotError
from sqlglot.tokens import TokenType

from tuningfork.errors import TuningforkError

Node = Any
"""A node of the parser's syntax tree (the name of its base class changes between releases)."""


class SqlError(TuningforkError):
    """The query cannot be run; the message is the database's.

    Attributes
    ----------
    kind : str
        ``syntax``, ``not_select``, ``top``, ``object`` (no such table), ``timeout`` or ``error``.
    """

    def __init__(self, message: str, kind: str = "error") -> None:
        super().__init__(message)
        self.kind = kind


class Adql(Postgres):
    """ADQL for the parser: PostgreSQL's grammar with TOP."""

    class Tokenizer(Postgres.Tokenizer):
        """The words of PostgreSQL and TOP."""

        KEYWORDS = {**Postgres.Tokenizer.KEYWORDS, "TOP": TokenType.TOP}  # noqa: RUF012 (the shape that the parser library asks for)


def parsed(text: str, dialect: str) -> Node:
    """The syntax tree of a query in `dialect` (``tsql`` or ``adql``).

    Raises
    ------
    SqlError
        It cannot be parsed, is not one SELECT, or writes its rows into a table.
    """
    try:
        statements = [tree for tree in sqlglot.parse(text, read="tsql" if dialect == "tsql" else Adql) if tree is not None]
    except SqlglotError as error:
        word = re.search(r"Line (\d+), Col: (\d+)", str(error))
        where = f" (line {word[1]}, column {word[2]})" if word else ""
        raise SqlError(f"Incorrect syntax{where}: {re.sub(chr(27) + r'.*?m', '', str(error)).splitlines()[0]}", "syntax") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise SqlError("must be one select statement", "not_select")
    tree = statements[0]
    if into := tree.find(exp.Into):
        schema = into.this.text("db") or "dbo"
        raise SqlError(f'The specified schema name "{schema}" either does not exist or you do not have permission to use it.', "object")
    return tree


def translated(tree: Node, dialect: str, *, geometry: bool) -> str:
    """The query in DuckDB's SQL.

    Parameters
    ----------
    tree
        From `parsed`.
    dialect : str
    geometry : bool
        Whether ADQL's geometry is understood; else it is refused.

    Raises
    ------
    SqlError
        The query uses what this service does not know.
    """
    if dialect == "tsql":
        result = tree.transform(_from_sql_server)
        if isinstance(result, exp.Select):
            result.set("expressions", _named(result.expressions))
        return result.sql(dialect="duckdb")
    return tree.transform(_from_adql if geometry else _without_points).sql(dialect="duckdb")


def _from_sql_server(node: Node) -> Node:
    if isinstance(node, exp.DataType) and node.this == exp.DataType.Type.FLOAT:
        return exp.DataType.build("DOUBLE")  # FLOAT of SQL Server has 53 bits
    if isinstance(node, exp.HexString):
        return exp.Literal.number(int(node.name, 16))
    if isinstance(node, exp.Dot) and node.this.name.lower() == "dbo":
        return node.expression
    return node


def _from_adql(node: Node) -> Node:
    if isinstance(node, exp.Contains):
        point, shape = node.this, node.expression
        if shape.name.upper() == "CIRCLE" and point.name.upper() == "POINT":
            *centre, radius = _coordinates(shape)
            inside = exp.LTE(this=_separation([*_coordinates(point), *centre]), expression=radius)
            return exp.cast(exp.Paren(this=inside), "INTEGER")
        raise SqlError(f"CONTAINS({point.name}, {shape.name}) is not supported: use CONTAINS(POINT(...), CIRCLE(...))")
    if isinstance(node, exp.Anonymous) and node.name.upper() == "DISTANCE":
        arguments = node.expressions
        flat = [number for point in arguments for number in _coordinates(point)] if len(arguments) == 2 else arguments
        return _separation(flat)
    return node


def _without_points(node: Node) -> Node:
    if isinstance(node, exp.Contains) or (isinstance(node, exp.Anonymous) and node.name.upper() in ("POINT", "CIRCLE", "DISTANCE")):
        raise SqlError(f"function {node.name.lower() or 'contains'}() does not exist (ADQL geometry is not translated here; use q3c_radial_query)")
    if isinstance(node, exp.Count) and isinstance(node.this, exp.Distinct):
        raise SqlError("COUNT(DISTINCT ...) is not understood")
    return node


def _coordinates(shape: Node) -> list[Node]:
    """The numbers of a POINT or CIRCLE, without the name of a coordinate system."""
    return [argument for argument in shape.expressions if not (isinstance(argument, exp.Literal) and argument.is_string)]


def _separation(numbers: Sequence[Node]) -> Node:
    if len(numbers) != 4:
        raise SqlError("a distance needs two points of two coordinates each")
    return exp.Anonymous(this="separation_deg", expressions=list(numbers))


def _named(expressions: Sequence[Node]) -> list[Node]:
    """Columns without a name get Column1, Column2, ... as .NET's tables give them."""
    named: list[Node] = []
    number = 0
    for item in expressions:
        if isinstance(item, exp.Column | exp.Star | exp.Alias):
            named.append(item)
            continue
        number += 1
        named.append(exp.alias_(item, f"Column{number}"))
    return named
