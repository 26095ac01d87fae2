"""SkyServer's ways of writing an answer: csv, txt, json, xml, votable, fits and html, and its errors (reference/archives.md, 3.1)."""

import json
import math
from typing import Any
from xml.sax.saxutils import escape

from tuningfork.sky.services.answers import csv_lines, fits_table, json_rows, votable
from tuningfork.sky.services.messages import Reply
from tuningfork.sky.sql import Answer, Column

FORMATS = ("csv", "txt", "json", "xml", "votable", "fits", "html")
NULL_TEXT = ""
"""What stands in the text formats for null [M]."""
_DIGITS = {"FLOAT": ".7G", "DOUBLE": ".15G"}
"""Significant digits of .NET's default text of real and float [M: of the .NET Framework; the recorded reply has 7 for a real]."""
LOG_TIME = "2000-01-01T00:00:00"
"""LogTime of error replies: the simulated clock stands still."""


def answer_reply(answer: Answer, query: str, form: str) -> Reply:
    """An answer in one of `FORMATS`."""
    if form in ("csv", "txt"):
        return Reply(200, text_body(answer), "text/plain; charset=utf-8")
    if form == "xml":
        return Reply(200, _xml(answer), "text/xml; charset=utf-8")
    if form == "votable":
        return Reply(200, votable(answer, version="1.1", namespace=False), "application/x-votable+xml")
    if form == "fits":
        return Reply(200, fits_table(answer, "Table1"), "application/fits")
    if form == "html":
        return Reply(200, _html(answer), "text/html; charset=utf-8")
    tables = [
        {"TableName": "Table1", "Rows": json_rows(answer)},
        {"TableName": "SqlQuery", "Rows": [{"query": query}]},
        {"TableName": "Simulated", "Rows": [{"simulated": True}]},
    ]
    return Reply(200, json.dumps(tables, indent=2).encode(), "application/json; charset=utf-8")


def message_reply(message: str, query: str, form: str) -> Reply:
    """What the stored procedure answers when it refuses: status 200 and a table of the one column error_message."""
    return answer_reply(Answer([Column("error_message", "VARCHAR")], [[message]]), query, form)


def error_reply(status: int, kind: str, message: str, form: str | None = None) -> Reply:
    """An error as JSON; with ``format=html`` a page with status 200."""
    if form == "html":
        page = f"<html><head><title>Skyserver Error</title></head><body><h3>Skyserver Error</h3><p>{escape(message)}</p></body></html>\n"
        return Reply(200, page.encode(), "text/html; charset=utf-8")
    value = {"ErrorCode": status, "ErrorType": kind, "ErrorMessage": message, "LogMessageID": "simulated", "LogTime": LOG_TIME}
    return Reply(status, json.dumps(value, indent=2).encode(), "application/json; charset=utf-8")


def text_body(answer: Answer) -> bytes:
    """``#Table1``, the header, the rows; quotes within values are not escaped."""
    texts = [[_text(value, column.type) for value in values] for column, values in zip(answer.columns, answer.values, strict=True)]
    return ("\n".join(["#Table1", *csv_lines(answer, texts, escape_quotes=False)]) + "\n").encode()


def _text(value: Any, kind: str) -> str:
    if value is None:
        return NULL_TEXT
    if isinstance(value, float):
        return format(value, _DIGITS.get(kind, ".15G")) if math.isfinite(value) else "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value)


def _xml(answer: Answer) -> bytes:
    """Rows as elements named by their columns [M: the names of the outer elements]."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<!-- SIMULATED -->", "<root>", "<Answer>"]
    texts = [[escape(_text(value, column.type)) for value in values] for column, values in zip(answer.columns, answer.values, strict=True)]
    for row in zip(*texts, strict=True):
        cells = "".join(f"<{column.name}>{cell}</{column.name}>" for column, cell in zip(answer.columns, row, strict=True))
        lines.append(f"<Row>{cells}</Row>")
    return ("\n".join([*lines, "</Answer>", "</root>"]) + "\n").encode()


def _html(answer: Answer) -> bytes:
    texts = [[escape(_text(value, column.type)) for value in values] for column, values in zip(answer.columns, answer.values, strict=True)]
    rows = [[escape(column.name) for column in answer.columns], *zip(*texts, strict=True)]
    body = "\n".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in rows)
    return f"<html><head><title>SDSS Query Results (simulated)</title></head><body><table border='1'>\n{body}\n</table></body></html>\n".encode()
