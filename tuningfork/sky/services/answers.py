"""Answers of SQL written as VOTable, CSV, JSON and FITS; what SkyServer and TAP services have in common and where they differ."""

import json
import math
import re
from collections.abc import Sequence
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from astropy.io import fits

from tuningfork.sky.sql import Answer, Column

_VOTABLE_TYPES = {
    "BOOLEAN": "boolean",
    "TINYINT": "short",
    "SMALLINT": "short",
    "UTINYINT": "unsignedByte",
    "INTEGER": "int",
    "BIGINT": "long",
    "HUGEINT": "long",
    "UINTEGER": "long",
    "UBIGINT": "long",
    "FLOAT": "float",
    "DOUBLE": "double",
}
_FITS_TYPES = {"BOOLEAN": "L", "TINYINT": "I", "SMALLINT": "I", "INTEGER": "J", "BIGINT": "K", "HUGEINT": "K", "UINTEGER": "K", "UBIGINT": "K", "FLOAT": "E"}
_NULL = {"I": -(2**15), "J": -(2**31), "K": -(2**63)}
"""What stands for null in whole-number columns of FITS tables (TNULL)."""

SIMULATED = '<INFO name="SIMULATED" value="T">No row of this reply describes a real object</INFO>'
_NAMESPACE = (
    ' xmlns="http://www.ivoa.net/xml/VOTable/v1.3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    ' xsi:schemaLocation="http://www.ivoa.net/xml/VOTable/v1.3 http://www.ivoa.net/xml/VOTable/VOTable-1.4.xsd"'
)


def number_text(value: Any, kind: str) -> str:
    """A value as text; shortest text that reads back as the same number, of single precision for FLOAT."""
    if value is None:
        return ""
    if isinstance(value, float):
        return str(np.float32(value)) if kind == "FLOAT" and math.isfinite(value) else repr(value)
    return str(value)


def votable(answer: Answer, *, version: str = "1.4", namespace: bool = True) -> bytes:
    """An answer as VOTable: RESOURCE of type results, QUERY_STATUS before the table, OVERFLOW behind it (DALI 1.1, section 4.4)."""
    lines = _opening(version, namespace)
    lines += ['  <INFO name="QUERY_STATUS" value="OK">OK</INFO>', f"  {SIMULATED}", "  <TABLE>"]
    lines += [_field(column) for column in answer.columns]
    lines += ["   <DATA>", "    <TABLEDATA>"]
    cells = [[escape(_cell(value, column.type)) for value in values] for column, values in zip(answer.columns, answer.values, strict=True)]
    for row in zip(*cells, strict=True):
        lines += ["     <TR>", *(f"      <TD>{cell}</TD>" for cell in row), "     </TR>"]
    lines += ["    </TABLEDATA>", "   </DATA>", "  </TABLE>"]
    if answer.overflow:
        lines.append('  <INFO name="QUERY_STATUS" value="OVERFLOW"/>')
    return _closed(lines)


def error_votable(message: str, *, version: str = "1.4", namespace: bool = True) -> bytes:
    """A refusal as VOTable: QUERY_STATUS is ERROR and its text the reason."""
    return _closed([*_opening(version, namespace), f'  <INFO name="QUERY_STATUS" value="ERROR">{escape(message)}</INFO>', f"  {SIMULATED}"])


def csv_lines(answer: Answer, texts: Sequence[Sequence[str]], *, escape_quotes: bool) -> list[str]:
    """Header and rows of comma-separated values.

    Parameters
    ----------
    answer : Answer
    texts : sequence of sequences of str
        The cells, by column.
    escape_quotes : bool
        RFC 4180 doubles quotes within a quoted value; SkyServer wraps a value that holds a comma and leaves the quotes in it as they are.
    """

    def wrapped(cell: str) -> str:
        if escape_quotes and any(sign in cell for sign in ',"\n'):
            return '"' + cell.replace('"', '""') + '"'
        return f'"{cell}"' if "," in cell else cell

    return [",".join(wrapped(column.name) for column in answer.columns), *(",".join(map(wrapped, row)) for row in zip(*texts, strict=True))]


def tap_csv(answer: Answer) -> bytes:
    """An answer as the CSV of a TAP service."""
    texts = [[number_text(value, column.type) for value in values] for column, values in zip(answer.columns, answer.values, strict=True)]
    return ("\n".join(csv_lines(answer, texts, escape_quotes=True)) + "\n").encode()


def tap_json(answer: Answer) -> bytes:
    """An answer as the JSON of TAPVizieR's software: metadata and rows [M: the names of the members], and the mark of the simulation."""
    metadata = [{"name": c.name, "description": c.description, "datatype": datatype(c.type), "unit": c.unit, "ucd": c.ucd} for c in answer.columns]
    rows = [[_plain(value, column.type) for value, column in zip(row, answer.columns, strict=True)] for row in zip(*answer.values, strict=True)]
    return json.dumps({"simulated": True, "metadata": metadata, "data": rows}).encode()


def json_rows(answer: Answer) -> list[dict[str, Any]]:
    """Rows as dictionaries; whole numbers keep all their digits."""
    names = [column.name for column in answer.columns]
    kinds = [column.type for column in answer.columns]
    return [{name: _plain(value, kind) for name, kind, value in zip(names, kinds, row, strict=True)} for row in zip(*answer.values, strict=True)]


def fits_table(answer: Answer, name: str) -> bytes:
    """An answer as a FITS file of one binary table, both headers marked SIMULATE."""
    columns = []
    for column, values in zip(answer.columns, answer.values, strict=True):
        code = _FITS_TYPES.get(column.type, "D" if column.type in ("DOUBLE",) or column.type.startswith("DECIMAL") else "A")
        if code == "A":
            texts = [_cell(value, column.type) for value in values]
            columns.append(fits.Column(column.name, f"{max([1, *(len(text.encode()) for text in texts)])}A", array=np.array(texts, dtype=str)))
        elif code in _NULL:
            array = np.array([_NULL[code] if value is None else value for value in values], dtype={"I": "i2", "J": "i4", "K": "i8"}[code])
            columns.append(fits.Column(column.name, code, unit=column.unit or None, null=_NULL[code], array=array))
        else:
            array = np.array([np.nan if value is None else value for value in values], dtype={"E": "f4", "D": "f8", "L": "?"}[code])
            columns.append(fits.Column(column.name, code, unit=column.unit or None, array=array))
    table = fits.BinTableHDU.from_columns(columns, name=name)
    hdus = fits.HDUList([fits.PrimaryHDU(), table])
    for hdu in hdus:
        hdu.header["SIMULATE"] = (True, "no real object")
    out = BytesIO()
    hdus.writeto(out)
    return out.getvalue()


def datatype(kind: str) -> str:
    """VOTable's name of a type of DuckDB; text for what has none."""
    return "double" if kind.startswith("DECIMAL") else _VOTABLE_TYPES.get(kind, "char")


def _opening(version: str, namespace: bool) -> list[str]:
    return ['<?xml version="1.0" encoding="utf-8"?>', f'<VOTABLE version="{version}"{_NAMESPACE if namespace else ""}>', ' <RESOURCE type="results">']


def _closed(lines: list[str]) -> bytes:
    return ("\n".join([*lines, " </RESOURCE>", "</VOTABLE>"]) + "\n").encode()


def _field(column: Column) -> str:
    kind = datatype(column.type)
    identifier = re.sub(r"\W", "_", column.name)
    identifier = identifier if re.match(r"[A-Za-z_]", identifier) else f"_{identifier}"
    text = f'   <FIELD ID="{identifier}"{" arraysize=" + quoteattr("*") if kind == "char" else ""} datatype="{kind}" name={quoteattr(column.name)}'
    text += f" unit={quoteattr(column.unit)}" if column.unit else ""
    text += f" ucd={quoteattr(column.ucd)}" if column.ucd else ""
    return f"{text}><DESCRIPTION>{escape(column.description)}</DESCRIPTION></FIELD>" if column.description else f"{text}/>"


def _cell(value: Any, kind: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return number_text(value, kind)


def _plain(value: Any, kind: str) -> Any:
    """A value that JSON has."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return (float(str(np.float32(value))) if kind == "FLOAT" else value) if math.isfinite(value) else None
    return float(value) if kind.startswith("DECIMAL") else str(value)
