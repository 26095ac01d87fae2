"""SQL and ADQL of the archives, really executed: parsed, checked, translated to DuckDB, run over the sky's Parquet tables.

Queries can read the tables that were named and nothing else: one SELECT, no file, no function that makes a table, limits of rows and of time.
"""

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from sqlglot import exp

from tuningfork.sky.sql_dialects import Node, SqlError, parsed, translated

log = logging.getLogger(__name__)

MAX_ROWS = 500_000
"""Rows of one answer (reference/archives.md, 3.1: SkyServer from DR8 on)."""
SECONDS = 600.0
"""Time of one query (same place)."""

_MACROS = """
CREATE MACRO separation_deg(ra1, dec1, ra2, dec2) AS degrees(2 * asin(least(1, sqrt(
    pow(sin(radians(dec2 - dec1) / 2), 2) + cos(radians(dec1)) * cos(radians(dec2)) * pow(sin(radians(ra2 - ra1) / 2), 2)))));
CREATE MACRO q3c_radial_query(ra, dec, ra0, dec0, radius) AS separation_deg(ra, dec, ra0, dec0) <= radius;
CREATE MACRO q3c_join(ra1, dec1, ra2, dec2, radius) AS separation_deg(ra1, dec1, ra2, dec2) <= radius;
CREATE MACRO fDistanceArcMinEq(ra1, dec1, ra2, dec2) AS 60 * separation_deg(ra1, dec1, ra2, dec2);
CREATE MACRO str(x) AS lpad(printf('%.0f', CAST(x AS DOUBLE)), 10, ' '),
    (x, length) AS lpad(printf('%.0f', CAST(x AS DOUBLE)), length, ' '),
    (x, length, decimals) AS lpad(format('{:.' || decimals || 'f}', CAST(x AS DOUBLE)), length, ' ');
"""
"""Functions of SQL Server (str, fDistanceArcMinEq) and of Data Lab's PostgreSQL (q3c_*). The haversine keeps its accuracy at small distances."""


@dataclass(frozen=True)
class Column:
    """One column of an answer: its name, its type in DuckDB's words (BIGINT, DOUBLE, FLOAT, VARCHAR, ...), and what the table's file says about it."""

    name: str
    type: str
    unit: str = ""
    ucd: str = ""
    description: str = ""


@dataclass(frozen=True)
class Answer:
    """Rows of a query: `values` has a list for each of `columns` (None is null); `overflow` says that there were more rows than allowed."""

    columns: list[Column]
    values: list[list]
    overflow: bool = False

    def __len__(self) -> int:
        return len(self.values[0]) if self.values else 0


class Database:
    """A set of tables behind one dialect.

    Parameters
    ----------
    tables : mapping
        Name -> Parquet file. A name is (table,) or (schema, table); names are compared without case.
    views : mapping, optional
        Name of a view -> its SELECT, in DuckDB's SQL over the tables.
    dialect : str
        ``tsql`` (SkyServer) or ``adql``.
    geometry : bool
        ADQL: whether POINT, CIRCLE, CONTAINS and DISTANCE are understood (TAPVizieR) or refused (Data Lab).
    max_rows, seconds : int, float
        Limits of one query.
    """

    def __init__(
        self,
        tables: Mapping[tuple[str, ...], Path],
        *,
        views: Mapping[str, str] | None = None,
        dialect: str = "adql",
        geometry: bool = True,
        max_rows: int = MAX_ROWS,
        seconds: float = SECONDS,
    ) -> None:
        self.dialect, self.geometry, self.max_rows, self.seconds = dialect, geometry, max_rows, seconds
        self._files = {tuple(part.lower() for part in name): path for name, path in tables.items()}
        self._names = {*self._files, *((name.lower(),) for name in views or {}), ("tap_schema", "tables"), ("tap_schema", "columns")}
        # One thread, so that equal queries give rows in equal order.
        self._connection = duckdb.connect(config={"threads": 1})
        # Division of whole numbers gives whole numbers, and text is compared without case in SQL Server's default collation.
        self._connection.execute("SET GLOBAL integer_division = true")
        if dialect == "tsql":
            self._connection.execute("SET GLOBAL default_collation = 'NOCASE'")
        self._connection.execute(_MACROS)
        for name, path in tables.items():
            if len(name) == 2:
                self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(name[0])}")
            self._connection.execute(f"CREATE VIEW {'.'.join(map(_quoted, name))} AS SELECT * FROM read_parquet({_literal(str(path))})")
        for view, query in (views or {}).items():
            self._connection.execute(f"CREATE VIEW {_quoted(view)} AS {query}")
        self._describe(tables)
        self._connection.execute(f"SET allowed_paths = [{', '.join(_literal(str(path)) for path in tables.values())}]")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def run(self, text: str, *, max_rows: int | None = None) -> Answer:
        """Run one query.

        Parameters
        ----------
        text : str
            One SELECT in the database's dialect.
        max_rows : int, optional
            A lower limit of rows for this query (MAXREC).

        Returns
        -------
        Answer

        Raises
        ------
        SqlError
            The query is not one SELECT over the tables there are, DuckDB refuses it, or it took too long.
        """
        limit = self.max_rows if max_rows is None else min(max_rows, self.max_rows)
        tree = self._checked(text)
        files = [self._files[name] for name in self._tables(tree) if name in self._files]
        cursor = self._connection.cursor()
        timer = threading.Timer(self.seconds, cursor.interrupt)
        timer.daemon = True
        timer.start()
        try:
            cursor.execute(translated(tree, self.dialect, geometry=self.geometry))
            described = [(str(name), str(kind)) for name, kind, *_ in cursor.description or []]
            rows = cursor.fetchmany(limit + 1)
        except duckdb.InterruptException as error:
            raise SqlError("Timeout expired: the query took longer than is allowed.", "timeout") from error
        except duckdb.Error as error:
            raise SqlError(self._words(str(error).splitlines()[0])) from error
        finally:
            timer.cancel()
            timer.join()  # it holds the cursor, and must not outlive it: a thread that leaves DuckDB while the interpreter ends aborts the process
            cursor.close()
        values = [list(column) for column in zip(*rows[:limit], strict=True)] or [[] for _ in described]
        return Answer(self._columns(described, files), values, len(rows) > limit)

    def _words(self, message: str) -> str:
        """A complaint of DuckDB, in SQL Server's or PostgreSQL's words where it is about a column."""
        if match := re.search(r'column "?([\w.]+)"? not found', message, re.IGNORECASE):
            return f"Invalid column name '{match[1]}'." if self.dialect == "tsql" else f'column "{match[1]}" does not exist'
        return message.partition(": ")[2] or message

    def _checked(self, text: str) -> Node:
        """The syntax tree of a query, if it is one SELECT over known tables."""
        tree = parsed(text, self.dialect)
        top = tree.args.get("limit")
        if isinstance(top, exp.Limit) and isinstance(top.expression, exp.Literal) and top.expression.is_int and int(top.expression.name) > self.max_rows:
            raise SqlError(f"limit is top {self.max_rows}", "top")
        self._tables(tree)
        return tree

    def _tables(self, tree: Node) -> list[tuple[str, ...]]:
        """Names of the tables that a query reads."""
        within = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
        names: list[tuple[str, ...]] = []
        for table in tree.find_all(exp.Table):
            schema, name = table.db.lower(), table.name.lower()
            if self.dialect == "tsql" and schema in ("", "dbo"):
                schema = ""
                table.set("db", None)
                table.set("catalog", None)
            if not schema and name in within:
                continue
            key = (schema, name) if schema else (name,)
            if not isinstance(table.this, exp.Identifier) or key not in self._names:
                raise SqlError(f"Invalid object name '{table.sql(dialect='duckdb')}'.", "object")
            names.append(key)
        for source in tree.find_all(exp.From, exp.Join):
            if not isinstance(source.this, exp.Table | exp.Subquery | exp.Paren):
                raise SqlError(f"Invalid object name '{source.this.sql(dialect='duckdb')}'.", "object")
        return names

    def _columns(self, described: Sequence[tuple[str, str]], files: Sequence[Path]) -> list[Column]:
        known: dict[str, dict[str, str]] = {}
        for file in files:
            for field in pq.read_schema(file):
                known.setdefault(field.name.lower(), {key.decode(): value.decode() for key, value in (field.metadata or {}).items()})
        found, seen = [], set()
        for name, kind in described:
            info = known.get(name.lower(), {})
            unique, n = name, 0
            while unique.lower() in seen:  # a table has no two columns of one name
                n += 1
                unique = f"{name}{n}"
            seen.add(unique.lower())
            found.append(Column(unique, kind, info.get("unit", ""), info.get("ucd", ""), info.get("description", "")))
        return found

    def _describe(self, tables: Mapping[tuple[str, ...], Path]) -> None:
        """TAP_SCHEMA, as far as clients look: tables and columns."""
        names, rows = [], []
        for name, path in tables.items():
            names.append((name[0] if len(name) == 2 else "public", ".".join(name), "table"))
            for field in pq.read_schema(path):
                info = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
                rows.append((".".join(name), field.name, info.get("description", ""), info.get("unit", ""), info.get("ucd", ""), str(field.type)))
        self._connection.execute("CREATE SCHEMA tap_schema")
        for table, columns, values in (
            ("tables", ("schema_name", "table_name", "table_type"), names),
            ("columns", ("table_name", "column_name", "description", "unit", "ucd", "datatype"), rows),
        ):
            arrow = pa.table({column: pa.array([row[i] for row in values], pa.string()) for i, column in enumerate(columns)})
            self._connection.register("described", arrow)
            self._connection.execute(f"CREATE TABLE tap_schema.{table} AS SELECT * FROM described")
            self._connection.unregister("described")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
