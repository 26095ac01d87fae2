"""The CSV of SkyServer, read as its writer writes it: columns of text, and then columns of numbers that lose no digit.

The writer puts a value that holds a comma between double quotes and escapes nothing, so ``a "b", c`` comes as ``"a "b", c"``. A value
without a comma is never quoted: its quotes, if any, are its own. A row is therefore read by its number of columns, and refused where two
readings are possible.
"""

import dataclasses
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from astropy.table import Column, MaskedColumn, Table
from numpy.typing import NDArray

from tuningfork.archives.checks import BadReply
from tuningfork.archives.images import glimpse
from tuningfork.errors import CatalogueError
from tuningfork.tables import text_array

# How the writer spells NULL in CSV was not seen; an empty cell and the word are taken for it in columns of numbers.
NULLS = ("", "null", "NULL")

_INTEGER = r"^[+-]?\d+$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(NaN|nan|Infinity|inf|Inf)$"


@dataclasses.dataclass(frozen=True)
class Columns:
    """A table as text: names, and for each column its values."""

    names: tuple[str, ...]
    values: tuple[pa.ChunkedArray, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.values[0]) if self.values else 0


def read_columns(path: Path) -> Columns:
    """The one table of a reply.

    Raises
    ------
    BadReply
        It is no such reply, it is cut, or a row has not as many values as there are columns.
    CatalogueError
        There are several tables, or two columns of one name, or a row that can be read in two ways.
    """
    body = path.read_bytes()
    tables = split_tables(body)
    if len(tables) != 1:
        raise CatalogueError(f"SkyServer gave {len(tables)} tables in one reply ({', '.join(name for name, _ in tables)}); ask them one by one")
    return parse_table(tables[0][1])


def split_tables(body: bytes) -> list[tuple[str, bytes]]:
    """Name and lines (header and rows) of each table of a reply, in order: ``#Table1``, a header, rows, and a blank line between tables.

    Raises
    ------
    BadReply
        It begins otherwise, or its last line is not ended.
    """
    body = body.replace(b"\r\n", b"\n").removeprefix(b"\xef\xbb\xbf")
    # Other comments, such as the mark of a simulated sky, may stand before the first table.
    start = re.match(rb"(?:#(?!Table)[^\n]*\n|\s*\n)*", body)
    body = body[start.end() if start else 0 :]
    if not body.startswith(b"#Table"):
        raise BadReply(f"no table of SkyServer: it begins with {glimpse(body)}")
    if not body.endswith(b"\n"):
        raise BadReply(f"a table cut in its last line ({glimpse(body[-60:])})")
    found = []
    # The mark of a table stands at the very beginning or after a blank line, so no row of one text column can be taken for it.
    for part in re.split(rb"\n\n(?=#Table)", body):
        mark, _, lines = part.partition(b"\n")
        if not lines.strip(b"\n"):
            raise BadReply(f"a table without a header ({glimpse(part)})")
        found.append((mark[1:].decode("utf-8", "replace").strip(), lines.rstrip(b"\n") + b"\n"))
    return found


def parse_table(lines: bytes) -> Columns:
    """Columns of one table, from its header and rows."""
    header, _, rows = lines.partition(b"\n")
    names = tuple(name.strip() for name in header.decode("utf-8", "replace").split(","))
    lower = [name.lower() for name in names]
    if len(set(lower)) < len(lower) or "" in lower:
        twice = sorted({name for name in names if lower.count(name.lower()) > 1} | ({"(no name)"} if "" in lower else set()))
        raise CatalogueError(f"SkyServer gave two columns one name, or none: {', '.join(twice)}; name each by AS")
    if not rows:
        return Columns(names, tuple(pa.chunked_array([pa.array([], pa.string())]) for _ in names))
    if b'"' not in rows:
        return Columns(names, tuple(_read_plain(names, rows)))
    cells = [split_row(line, len(names)) for line in rows.decode("utf-8", "replace").split("\n")[:-1]]
    return Columns(names, tuple(pa.chunked_array([pa.array(column, pa.string())]) for column in zip(*cells, strict=True)))


def split_row(line: str, count: int) -> list[str]:
    """The `count` values of one row.

    A value between quotes has a comma in it, one without quotes has none; what is between quotes may have quotes of its own.

    Raises
    ------
    BadReply
        The row cannot be read as so many values.
    CatalogueError
        It can, in more than one way.
    """
    if '"' not in line:
        cells = line.split(",")
        if len(cells) != count:
            raise BadReply(f"a row of {len(cells)} values under {count} columns: {line[:120]!r}")
        return cells
    readings = _readings(line, 0, count, {})
    if not readings:
        raise BadReply(f"a row that cannot be read as {count} values: {line[:120]!r}")
    if len(readings) > 1:
        raise CatalogueError(f"a row that can be read in two ways, since SkyServer does not escape quotes: {line[:120]!r}; leave that column out of the query")
    return readings[0]


def joined(pages: Sequence[Columns]) -> Columns:
    """Pages of one query, one below the other.

    Raises
    ------
    CatalogueError
        They have not the same columns.
    """
    if len({page.names for page in pages}) != 1:
        raise CatalogueError(f"pages of one query came with different columns: {' and '.join(sorted({', '.join(page.names) for page in pages}))}")
    chunks = [[chunk for page in pages for chunk in page.values[i].chunks] for i in range(len(pages[0].names))]
    return Columns(pages[0].names, tuple(pa.chunked_array(parts, type=pa.string()) for parts in chunks))


def typed(columns: Columns, text: Sequence[str] = ()) -> Table:
    """An astropy table; see `skyserver.sql` for the types.

    Parameters
    ----------
    columns
        The columns as text.
    text
        Names (any case) of columns that stay text.

    Raises
    ------
    CatalogueError
        A column of `text` is not there.
    """
    lower = [name.lower() for name in columns.names]
    if absent := [name for name in text if name.lower() not in lower]:
        raise CatalogueError(f"no column {', '.join(absent)} among those that SkyServer gave: {', '.join(columns.names)}")
    stay = {name.lower() for name in text}
    return Table([_column(name, values, name.lower() in stay) for name, values in zip(columns.names, columns.values, strict=True)], copy=False)


def _column(name: str, values: pa.ChunkedArray, stays: bool) -> Column:
    absent = pc.is_in(values, pa.array(NULLS))
    if not stays and len(values) and not pc.all(absent).as_py():
        for pattern, kinds in ((_INTEGER, (pa.int64(), pa.uint64())), (_NUMBER, (pa.float64(),))):
            if pc.all(pc.or_(absent, pc.match_substring_regex(values, pattern))).as_py():
                return _numbers(name, values, absent, kinds)
    return Column(text_array(values.to_pylist(), f"column {name!r} of SkyServer"), name=name)


def _numbers(name: str, values: pa.ChunkedArray, absent: pa.ChunkedArray, kinds: Sequence[pa.DataType]) -> Column:
    filled = pc.if_else(absent, pa.scalar("0"), pc.replace_substring_regex(values, r"^\+", ""))
    mask: NDArray[np.bool_] = absent.to_numpy(zero_copy_only=False) if isinstance(absent, pa.Array) else absent.to_numpy()
    for kind in kinds:
        try:
            numbers = filled.cast(kind).to_numpy()
        except pa.ArrowInvalid:
            continue
        return MaskedColumn(numbers, name=name, mask=mask) if mask.any() else Column(numbers, name=name)
    # Whole numbers of more than 64 bits keep their digits as text.
    return Column(text_array(values.to_pylist(), f"column {name!r} of SkyServer"), name=name)


def _read_plain(names: Sequence[str], rows: bytes) -> list[pa.ChunkedArray]:
    try:
        rows.decode()
    except UnicodeDecodeError:
        rows = rows.decode("utf-8", "replace").encode()
    options = pa_csv.ConvertOptions(column_types=dict.fromkeys(map(str, range(len(names))), pa.string()), strings_can_be_null=False, check_utf8=False)
    try:
        table = pa_csv.read_csv(
            io.BytesIO(rows),
            read_options=pa_csv.ReadOptions(column_names=[str(i) for i in range(len(names))], use_threads=False),
            parse_options=pa_csv.ParseOptions(quote_char=False, double_quote=False, ignore_empty_lines=len(names) > 1),
            convert_options=options,
        )
    except pa.ArrowInvalid as error:
        raise BadReply(f"rows that have not the {len(names)} values of the header ({error})") from error
    return list(table.columns)


def _readings(line: str, start: int, count: int, known: dict[tuple[int, int], list[list[str]]]) -> list[list[str]]:
    """At most two ways to read the rest of a line as `count` values."""
    if (start, count) in known:
        return known[start, count]
    ends = [(line.find(",", start) if "," in line[start:] else len(line), False)]
    if line[start : start + 1] == '"':
        quotes = (match.start() for match in re.finditer(r'"(?=,|$)', line[start + 1 :]))
        ends += [(start + 2 + quote, True) for quote in quotes if "," in line[start + 1 : start + 1 + quote]]
    found: list[list[str]] = []
    for end, quoted in ends:
        value = line[start + 1 : end - 1] if quoted else line[start:end]
        if count == 1 and end == len(line):
            found.append([value])
        elif count > 1 and end < len(line):
            found += [[value, *rest] for rest in _readings(line, end + 1, count - 1, known)]
    known[start, count] = found[:2]
    return known[start, count]
