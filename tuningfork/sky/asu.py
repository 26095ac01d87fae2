"""VizieR's ASU queries answered from the simulated tables: parsing of requests, constraints, and the VOTable and TSV replies with VizieR's habits.

Habits kept on purpose: an unknown column or constraint is a warning and the rows come unfiltered; an unknown catalogue is a reply without a table; 50 rows
unless asked for more; ``*`` gives the default columns only; a failing server answers HTTP 200.
"""

import operator
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote_plus
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from astropy.table import Table

from tuningfork import tables

DEFAULT_ROWS = 50
_CONTROL = ("-out", "-source", "-sort", "-oc", "-ref", "-words", "-c", "-meta", "-mime", "-from", "-order", "-nav", "-file", "-kw", "-corr", "-info", "-sky")
_COMPARE = {">=": operator.ge, "<=": operator.le, "!=": operator.ne, ">": operator.gt, "<": operator.lt, "=": operator.eq}


@dataclass
class Query:
    """One ASU request: wanted tables, columns (as given), row limit (None: unlimited), sort keys, constraints (column, text)."""

    sources: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    limit: int | None = DEFAULT_ROWS
    sort: list[str] = field(default_factory=list)
    constraints: list[tuple[str, str]] = field(default_factory=list)


def parse(text: str) -> Query:
    """Read a query string (``a=b&c=d``) or the newline-joined body that astroquery posts."""
    if "\n" in text or "&" not in text:
        lines = (line.strip().partition("=") for line in text.splitlines() if "=" in line)
        pairs = [(name, value) for name, _, value in lines]
        if "%" in text:
            pairs = [(unquote_plus(name), unquote_plus(value)) for name, value in pairs]
    else:
        pairs = parse_qsl(text, keep_blank_values=True)
    query = Query()
    for name, value in pairs:
        if name == "-source":
            query.sources += [item.strip() for item in re.split(r"[,\s]+", value) if item.strip()]
        elif name == "-out.max":
            query.limit = None if value.strip() in ("unlimited", "-1") else max(int(value), 0) if value.strip().isdigit() else DEFAULT_ROWS
        elif name in ("-out", "-out.all"):
            query.columns += ["**"] if name == "-out.all" else [item for item in re.split(r"[,\s]+", value.strip()) if item]
        elif name == "-sort":
            query.sort += [item for item in re.split(r"[,\s]+", value.strip()) if item]
        elif not name.startswith(_CONTROL):
            query.constraints.append((name, value.strip()))
    return query


def available(root: Path) -> dict[str, Path]:
    """Names of the tables under ``root`` and their files."""
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(root.rglob("*.parquet"))}


def select(root: Path, query: Query) -> tuple[list[Table], list[str], bool]:
    """Run a query: tables (one per matching table, with ``meta['matches']``), warnings, and whether rows were cut off by the limit."""
    known = available(root)
    wanted = [name for source in query.sources for name in known if name.lower() == source.lower() or name.lower().startswith(source.lower() + "/")]
    results, warnings, overflow = [], [], False
    for name in dict.fromkeys(wanted):
        table = tables.read(known[name])
        keep = np.ones(len(table), dtype=bool)
        for column, condition in query.constraints:
            passed = _passes(table, column, condition)
            if passed is None:
                warnings.append(f'Bad col/cst "{column}={condition}"')
            else:
                keep &= passed
        chosen, bad = _columns(table, query.columns)
        warnings += [f'Bad col/cst "-out={column}"' for column in bad]
        rows = np.flatnonzero(keep)
        for key in reversed(query.sort):
            if key.lstrip("-+") in table.colnames:
                order = np.argsort(np.asarray(table[key.lstrip("-+")])[rows], kind="stable")
                rows = rows[order[::-1] if key.startswith("-") else order]
        matches = len(rows)
        if query.limit is not None and matches > query.limit:
            rows, overflow = rows[: query.limit], True
        result = table[chosen][rows]
        result.meta = {"name": name, "title": f"Simulated table {name}", **table.meta, "matches": matches}
        results.append(result)
    return results, warnings, overflow


def votable(results: list[Table], warnings: list[str], overflow: bool, request: str) -> bytes:
    """The reply as VOTable 1.4 (TABLEDATA), stamped SIMULATED. It holds no clock time, so equal requests have equal bytes."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<VOTABLE version="1.4" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"'
        ' xsi:schemaLocation="http://www.ivoa.net/xml/VOTable/v1.3 http://www.ivoa.net/xml/VOTable/v1.3">',
        "<DESCRIPTION>Stand-in for the VizieR server: simulated tables</DESCRIPTION>",
        '<INFO name="SIMULATED" value="true">No row of this reply describes a real object</INFO>',
        '<INFO name="service_protocol" value="ASU">IVOID of the protocol through which the data was retrieved</INFO>',
        '<INFO name="request_date" value="2000-01-01T00:00:00">Query execution date (the simulated clock stands still)</INFO>',
        f'<INFO name="request" value={quoteattr(request)}>Full request URL</INFO>',
        '<INFO name="server_software" value="tuningfork.sky">Software version</INFO>',
        '<INFO name="publisher" value="tuningfork">Publisher</INFO>',
    ]
    for catalogue in dict.fromkeys(_catalogue(result) for result in results):
        lines.append(f'<RESOURCE ID="yCat_{_identifier(catalogue)}" name={quoteattr(catalogue)}>')
        lines.append('<COOSYS ID="H_2000.000" system="ICRS" equinox="2000.000"/>')
        lines += [line for result in results if _catalogue(result) == catalogue for line in _votable_table(result)]
        lines.append("</RESOURCE>")
    lines += [f'<INFO name="matches" value="{result.meta["matches"]}">matching records</INFO>' for result in results]
    lines += [f'<INFO name="Warning" value={quoteattr(text)}/>' for text in warnings]
    if overflow:
        lines.append('<INFO name="QUERY_STATUS" value="OVERFLOW">truncated result (maxtup)</INFO>')
    return ("\n".join([*lines, "</VOTABLE>"]) + "\n").encode()


def error_votable() -> bytes:
    """What VizieR sends, with HTTP 200, when its database is down."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">',
        '<INFO ID="Error" name="Error" value="The database is not currently reachable."/>',
        '<INFO name="Error" value=" -- no connection"/>',
        '<INFO name="QUERY_STATUS" value="ERROR">No server is available for connection</INFO>',
        "</VOTABLE>",
    ]
    return ("\n".join(lines) + "\n").encode()


def tsv(results: list[Table], warnings: list[str], overflow: bool, request: str) -> bytes:
    """The reply as VizieR's tab-separated text: names, units and dashes above the rows, trailing blanks of the last cell cut."""
    lines = ["#", "#   VizieR Astronomical Server (simulated stand-in)", f"#INFO\trequest={request}\t", "#INFO\tSIMULATED=true\t", ""]
    for result in results:
        name = result.meta["name"]
        lines += [f"#RESOURCE=yCat_{_identifier(_catalogue(result))}", f"#Table\t{_identifier(name)}:", f"#Name: {name}", f"#Title: {result.meta['title']}"]
        for column in result.colnames:
            info = result[column].info
            lines.append(f"#Column\t{column}\t()\t{info.description or ''}\t[ucd={(info.meta or {}).get('ucd', '')}]")
        cells = [_cells(result[column]) for column in result.colnames]
        units = [str(result[column].unit) if result[column].unit is not None else " " for column in result.colnames]
        widths = [max([len(name), len(unit), *map(len, values)]) for name, unit, values in zip(result.colnames, units, cells, strict=True)]
        lines += ["\t".join(result.colnames), "\t".join(units), "\t".join("-" * width for width in widths)]
        lines += ["\t".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip(" ") for row in zip(*cells, strict=True)]
        lines.append("")
    lines += [f"#INFO\tWarning={text}" for text in warnings] + (["#INFO\tQUERY_STATUS=OVERFLOW"] if overflow else [])
    return ("\n".join(lines) + "\n").encode()


def _columns(table: Table, wanted: list[str]) -> tuple[list[str], list[str]]:
    """Columns to send and names that do not exist; no list or ``*`` means the defaults (no errors, no record number)."""
    default = [name for name in table.colnames if name != "recno" and not name.startswith(("e_", "E_"))]
    chosen: list[str] = []
    bad: list[str] = []
    for name in wanted or ["*"]:
        if name == "**":
            chosen += table.colnames
        elif name == "*":
            chosen += default
        elif name in table.colnames and "*" not in name:
            chosen.append(name)
        else:
            bad.append(name)
    return list(dict.fromkeys(chosen)) or default, bad


def _passes(table: Table, column: str, condition: str) -> np.ndarray | None:
    """Rows that meet ``column=condition`` (``>5``, ``<=5``, ``1..5``, ``!=x``, ``x``, ``a|b``); None where it cannot be understood. Nulls never pass."""
    if column not in table.colnames:
        return None
    values = table[column]
    present = ~np.ma.getmaskarray(values) if hasattr(values, "mask") else np.ones(len(table), dtype=bool)
    plain = np.asarray(values)
    if "|" in condition:
        parts = [_passes(table, column, part) for part in condition.split("|")]
        return None if any(part is None for part in parts) else np.logical_or.reduce([part for part in parts if part is not None])
    if plain.dtype.kind in "US":
        match = re.match(r"(!=|=+)?\s*(.*)", condition)
        assert match is not None
        pattern = re.compile(".*".join(re.escape(piece) for piece in match[2].split("*")))
        same = np.array([pattern.fullmatch(str(value)) is not None for value in plain], dtype=bool)
        return present & (~same if match[1] == "!=" else same)
    number = r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
    if match := re.fullmatch(rf"{number}\.\.{number}", condition):
        return present & (plain >= float(match[1])) & (plain <= float(match[2]))
    if match := re.fullmatch(rf"(>=|<=|!=|>|<|=+)?{number}", condition):
        return present & _COMPARE[(match[1] or "=")[:2].replace("==", "=")](plain, float(match[2]))
    return None


def _votable_table(result: Table) -> list[str]:
    name = result.meta["name"]
    lines = [f'<TABLE ID="{_identifier(name)}" name={quoteattr(name)}>', f"<DESCRIPTION>{escape(result.meta['title'])}</DESCRIPTION>"]
    for column in result.colnames:
        values, info = result[column], result[column].info
        kind = np.asarray(values).dtype
        number = "double" if kind.kind == "f" else "int" if kind.itemsize <= 4 else "long"
        datatype = 'datatype="char" arraysize="*"' if kind.kind in "US" else f'datatype="{number}"'
        unit = f" unit={quoteattr(str(values.unit))}" if values.unit is not None else ""
        ucd = f" ucd={quoteattr((info.meta or {}).get('ucd', ''))}" if (info.meta or {}).get("ucd") else ""
        lines.append(f"<FIELD name={quoteattr(column)} {datatype}{unit}{ucd}><DESCRIPTION>{escape(info.description or column)}</DESCRIPTION></FIELD>")
    lines.append("<DATA><TABLEDATA>")
    cells = [[escape(cell) for cell in _cells(result[column])] for column in result.colnames]
    lines += [f"<TR><TD>{'</TD><TD>'.join(row)}</TD></TR>" for row in zip(*cells, strict=True)]
    return [*lines, "</TABLEDATA></DATA>", "</TABLE>"]


def _cells(column: np.ndarray) -> list[str]:
    mask = np.ma.getmaskarray(column)
    return ["" if masked else str(value) for value, masked in zip(np.asarray(column).tolist(), mask, strict=True)]


def _catalogue(result: Table) -> str:
    return result.meta["name"].rsplit("/", 1)[0]


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name)
