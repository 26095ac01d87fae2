"""VOTables from strangers: a safe look at what a reply says of itself, and its tables as astropy tables.

`scan` reads a document once, without building it, and refuses what would make astropy open other files or fill the memory: a DOCTYPE (where
entity bombs live), data that lie elsewhere, sizes that the document does not have. What the INFO elements of one archive mean is that
archive's module's business.
"""

import contextlib
import dataclasses
import math
import re
import struct
from pathlib import Path
from xml.parsers import expat

import numpy as np
from astropy.io import votable
from astropy.table import MaskedColumn, Table

from tuningfork.archives.checks import BadReply
from tuningfork.tables import text_array

MAX_DEPTH = 100
"""Elements within elements; astropy calls itself for each."""
MAX_GROWTH = 256
FREE_BYTES = 2**26
"""A table may fill `MAX_GROWTH` times the bytes of its document, and these: FIELDs of fixed length with blanks in them are honest, terabytes are not."""
BYTES = {"char": 1, "unsignedByte": 1, "boolean": 1, "bit": 1, "short": 2, "unicodeChar": 4, "int": 4, "float": 4, "doubleComplex": 16}
UNREADABLE = (votable.exceptions.VOWarning, ArithmeticError, AttributeError, NotImplementedError, struct.error, ValueError, TypeError, LookupError)
"""What astropy raises over documents that are not as the standard has them."""
ELSEWHERE = ("FITS", "PARQUET")


@dataclasses.dataclass(frozen=True)
class Info:
    """One INFO element: its name, its value, and the text inside it."""

    name: str
    value: str
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Scan:
    """What a VOTable says of itself.

    Attributes
    ----------
    infos
        All INFO elements, in order.
    resources, tables
        Names of the RESOURCE and TABLE elements ('' where one has none).
    rows
        Rows of all tables in TABLEDATA form.
    """

    infos: tuple[Info, ...]
    resources: tuple[str, ...]
    tables: tuple[str, ...]
    rows: int

    def values(self, name: str) -> list[str]:
        """The values of all INFO elements of a name."""
        return [info.value for info in self.infos if info.name == name]


class _Document:
    """Handlers for expat, and what they have seen."""

    def __init__(self) -> None:
        self.infos: list[Info] = []
        self.resources: list[str] = []
        self.tables: list[str] = []
        self.rows = self.elements = self.depth = 0
        self.promised = self.width = 0
        self._text: list[str] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if not self.elements and name != "VOTABLE":
            raise BadReply(f"not a VOTable: its root element is <{name}>")
        self.elements += 1
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BadReply(f"an XML document of more than {MAX_DEPTH} elements within each other, which no VOTable has; refused", transient=False)
        if name in ELSEWHERE or (name == "STREAM" and "href" in attributes):
            raise BadReply(f"a VOTable whose data lie elsewhere (<{name}>, {attributes.get('href', 'no address')}), which is not followed", transient=False)
        if name == "TR":
            self.rows += 1
        elif name == "FIELD":
            self.width += _length(attributes.get("datatype", ""), attributes.get("arraysize", ""))
        elif name == "INFO":
            self.infos.append(Info(attributes.get("name", ""), attributes.get("value", "").strip()))
            self._text = []
        elif name in ("RESOURCE", "TABLE"):
            (self.resources if name == "RESOURCE" else self.tables).append(attributes.get("name") or attributes.get("ID", ""))
            self.promised += _number(attributes.get("nrows", "0"))

    def text(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def end(self, tag: str) -> None:
        self.depth -= 1
        if self._text is not None and tag.rpartition(":")[2] == "INFO":
            self.infos[-1] = dataclasses.replace(self.infos[-1], text="".join(self._text).strip())
            self._text = None

    def refuse_doctype(self, *_: object) -> None:
        raise BadReply("an XML document with a DOCTYPE, which no VOTable has and which may hide entity bombs; refused", transient=False)


def _length(datatype: str, arraysize: str) -> int:
    """Bytes that a FIELD takes in every row, about, whatever is in it; what is of any length (``*``) takes what it has."""
    return BYTES.get(datatype, 8) * math.prod(_number(size) for size in arraysize.split("x") if not size.endswith("*")) + 8


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"\s*[0-9]{1,30}\s*", text) else 1


def scan(path: Path) -> Scan:
    """Look through a VOTable.

    Raises
    ------
    BadReply
        Not XML, not whole, or not a VOTable (transient); or with a DOCTYPE, data elsewhere, or sizes that it cannot have (not transient).
    """
    document = _Document()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = document.start
    parser.EndElementHandler = document.end
    parser.CharacterDataHandler = document.text
    parser.StartDoctypeDeclHandler = document.refuse_doctype
    parser.EntityDeclHandler = document.refuse_doctype
    with path.open("rb") as file:
        try:
            parser.ParseFile(file)
        except expat.ExpatError as error:
            raise BadReply(f"not a whole VOTable ({error})") from error
    size = path.stat().st_size
    most = max(document.rows, document.promised, 1) * document.width
    if most > FREE_BYTES + MAX_GROWTH * size:
        rows = max(document.rows, document.promised)
        raise BadReply(f"a VOTable of {size} bytes that promises {rows} rows, {most} bytes in memory; refused", transient=False)
    return Scan(tuple(document.infos), tuple(document.resources), tuple(document.tables), document.rows)


def read_tables(path: Path) -> list[tuple[str, Table]]:
    """Every table of a VOTable with its name, checked by `scan` first.

    Numbers that are absent are masked, NaN among them; blank strings stay ''. Columns keep name, unit, UCD (``info.meta["ucd"]``) and
    description.

    Raises
    ------
    BadReply
        As `scan`; or astropy cannot read it.
    """
    scan(path)
    try:
        document = votable.parse(path, verify="ignore")
        return [(element.name or element.ID or "", _plain(element.to_table(use_names_over_ids=True))) for element in document.iter_tables()]
    except UNREADABLE as error:
        raise BadReply(f"a VOTable that cannot be read ({error})", transient=False) from error


def _plain(table: Table) -> Table:
    plain = Table()
    for name in table.colnames:
        column = table[name]
        values, mask = np.ma.getdata(column), np.ma.getmaskarray(column)
        if values.dtype.kind in "OS":
            values = text_array([v.decode() if isinstance(v, bytes) else "" if v is None else str(v) for v in values], f"column {name!r} of a VOTable")
        if values.dtype.kind in "fc":
            mask = mask | np.isnan(values)
        plain[name] = MaskedColumn(values, mask=mask if values.dtype.kind != "U" else False)
        plain[name].unit = column.unit
        plain[name].info.description = column.info.description
        with contextlib.suppress(KeyError):
            plain[name].info.meta = {"ucd": column.meta["ucd"]}
    return plain
