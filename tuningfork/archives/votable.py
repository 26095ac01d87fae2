"""VOTables from strangers: a safe look at what a reply says of itself, and its tables as astropy tables.

`scan` reads a document once, without building it, and refuses a DOCTYPE (where entity bombs live) before astropy sees the file. What the
INFO elements of one archive mean is that archive's module's business.
"""

import contextlib
import dataclasses
from pathlib import Path
from xml.parsers import expat

import numpy as np
from astropy.io import votable
from astropy.table import MaskedColumn, Table

from tuningfork.archives.checks import BadReply


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
        self.rows = self.elements = 0
        self._text: list[str] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        if not self.elements and name != "VOTABLE":
            raise BadReply(f"not a VOTable: its root element is <{name}>")
        self.elements += 1
        if name == "TR":
            self.rows += 1
        elif name == "INFO":
            self.infos.append(Info(attributes.get("name", ""), attributes.get("value", "").strip()))
            self._text = []
        elif name in ("RESOURCE", "TABLE"):
            (self.resources if name == "RESOURCE" else self.tables).append(attributes.get("name") or attributes.get("ID", ""))

    def text(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def end(self, tag: str) -> None:
        if self._text is not None and tag.rpartition(":")[2] == "INFO":
            self.infos[-1] = dataclasses.replace(self.infos[-1], text="".join(self._text).strip())
            self._text = None

    def refuse_doctype(self, *_: object) -> None:
        raise BadReply("an XML document with a DOCTYPE, which no VOTable has and which may hide entity bombs; refused", transient=False)


def scan(path: Path) -> Scan:
    """Look through a VOTable.

    Raises
    ------
    BadReply
        Not XML, not whole, or not a VOTable (transient); or with a DOCTYPE (not transient).
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
    except (votable.exceptions.VOTableSpecError, ValueError, TypeError, IndexError, KeyError) as error:
        raise BadReply(f"a VOTable that cannot be read ({error})", transient=False) from error


def _plain(table: Table) -> Table:
    plain = Table()
    for name in table.colnames:
        column = table[name]
        values, mask = np.ma.getdata(column), np.ma.getmaskarray(column)
        if values.dtype.kind in "OS":
            values = np.array([v.decode() if isinstance(v, bytes) else "" if v is None else str(v) for v in values], dtype=str)
        if values.dtype.kind in "fc":
            mask = mask | np.isnan(values)
        plain[name] = MaskedColumn(values, mask=mask if values.dtype.kind != "U" else False)
        plain[name].unit = column.unit
        plain[name].info.description = column.info.description
        with contextlib.suppress(KeyError):
            plain[name].info.meta = {"ucd": column.meta["ucd"]}
    return plain
