"""A ReadMe as CDS asks for it, and the fixed-width file that it describes byte by byte.

CDS standard: ASCII, 80 columns, "?" for columns that may be blank. Bytes can only be given for a file of fixed width, hence the ``.dat``; a CSV, which
has the same columns in the same order, is described column by column.
"""

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from tuningfork.files import write_text
from tuningfork.publishing.columns import description_with_unit, masked, standard_unit

RULE, DOUBLE = "-" * 80, "=" * 80
MOST_DECIMALS = 12


@dataclass(frozen=True)
class Field:
    """One column of the fixed-width file; bytes count from 1."""

    start: int
    end: int
    format: str
    unit: str
    label: str
    explanation: str


def layout(table: Table) -> tuple[list[Field], list[list[str]]]:
    """Fields of the fixed-width file and the padded text of every cell, column by column."""
    fields, cells, start = [], [], 1
    for name in table.colnames:
        form, texts = _texts(table, name)
        width = max(1, max(map(len, texts), default=1))
        kind, decimals = form[0], form[1:]
        fields.append(
            Field(
                start,
                start + width - 1,
                f"{kind}{width}{decimals}",
                (standard_unit(table[name], "cds") or "---").replace(" ", ""),
                name,
                ("? " if kind != "A" and np.ma.getmaskarray(masked(table, name)).any() else "") + _ascii(description_with_unit(table[name], "cds") or name),
            )
        )
        cells.append([t.ljust(width) if kind == "A" else t.rjust(width) for t in texts])
        start += width + 1
    return fields, cells


def _texts(table: Table, name: str) -> tuple[str, list[str]]:
    """CDS format without its width (``A``, ``I``, ``F.4``) and the text of each value, '' where unknown."""
    column = masked(table, name)
    mask = np.ma.getmaskarray(column)
    kind = column.dtype.kind
    if kind == "U":
        return "A", [_ascii(v) for v in column.data.tolist()]
    if kind in "biu":
        return "I", ["" if m else str(int(v)) for v, m in zip(column.data.tolist(), mask.tolist(), strict=True)]
    values = column.data.astype(float).tolist()
    known = [v for v, m in zip(values, mask.tolist(), strict=True) if not m]
    # The fewest decimals from which every value comes back; a column that needs more than a page has room for is written with exponents.
    decimals = max((len(np.format_float_positional(v, trim="0").partition(".")[2]) for v in known), default=1)
    if decimals > MOST_DECIMALS or any(abs(v) >= 1e15 for v in known):
        return "E.16", ["" if m else f"{v:.16e}" for v, m in zip(values, mask.tolist(), strict=True)]
    return f"F.{decimals}", ["" if m else f"{v:.{decimals}f}" for v, m in zip(values, mask.tolist(), strict=True)]


def write_fixed_width(table: Table, path: str | os.PathLike[str]) -> None:
    """Write the ``.dat``: columns side by side with one blank between, blank where unknown."""
    _, cells = layout(table)
    write_text(path, "".join(" ".join(row) + "\n" for row in zip(*cells, strict=True)))


def readme_text(files: Sequence[tuple[str, Table, str]], *, title: str, description: str, bibtex: str = "", notes: Sequence[str] = ()) -> str:
    """The ReadMe of one or more fixed-width files.

    Parameters
    ----------
    files : sequence of (name, table, explanation)
        As `write_fixed_width` wrote them.
    title, description : str
        Of the catalogue.
    bibtex : str
        References, given at the end.
    notes : sequence of str
        Further remarks; the bits of the flag are always there.
    """
    simulated = any(bool(table.meta.get("simulated", False)) for _, table, _ in files)
    lines = [_line(title), DOUBLE]
    if simulated:
        lines += ["SIMULATED: no row of these files is a galaxy. Not data.", DOUBLE]
    lines += ["", "Description:", *_wrap(description, "    "), "", "File Summary:", RULE]
    laid = [(name, table, text, layout(table)[0]) for name, table, text in files]
    width = max([8, *(len(name) for name, *_ in laid)])
    lines += [f" {'FileName':<{width}}  Lrecl  Records  Explanations", RULE, f" {'ReadMe':<{width}}     80        .  This file"]
    lines += [f" {name:<{width}}  {fields[-1].end if fields else 0:>5}  {len(table):>7}  {_line(text)}" for name, table, text, fields in laid]
    lines += [RULE, ""]
    for name, _, _, fields in laid:
        lines += _columns_of(name, fields)
    bits: list[str] = next((table.meta["flag_bits"] for _, table, _ in files if table.meta.get("flag_bits")), [])
    if bits:
        lines += ["Note on flag: the sum of", *(line for bit in bits for line in _wrap(bit, "        ", first="    ")), ""]
    for note in notes:
        lines += [*_wrap(note, ""), ""]
    if bibtex:
        lines += ["References (BibTeX):", *(_ascii(line) for line in bibtex.splitlines()), ""]
    return "\n".join([*lines, DOUBLE, "(End)", ""])


def _columns_of(name: str, fields: Sequence[Field]) -> list[str]:
    """Byte by byte for a fixed-width file; for a CSV, whose bytes have no fixed place, column by column."""
    by_column = name.endswith(".csv")
    label = min(20, max([5, *(len(field.label) for field in fields)]))
    unit = min(8, max([6, *(len(field.unit) for field in fields)]))
    first = f"Column-by-column Description of file: {name}" if by_column else f"Byte-by-byte Description of file: {name}"
    lines = [first, RULE, f"{'Column' if by_column else '   Bytes':<11} Format {'Units':<{unit}} {'Label':<{label}} Explanations", RULE]
    for number, field in enumerate(fields, start=1):
        byte = f"{field.start:>5}-{field.end:>5}" if field.end > field.start else f"{field.end:>11}"
        place = f"{number:>11}" if by_column else byte
        head, indent = f"{place} {field.format:<6} {field.unit:<{unit}} {field.label:<{label}} ", " " * (21 + unit + label)
        if len(head) > len(indent):  # a long name stands alone, its explanation in its own column below
            optional = field.explanation.startswith("? ")  # the sign for "may be blank" belongs to the line of the name
            lines += [head.rstrip() + " ?" * optional, *_wrap(field.explanation.removeprefix("? "), indent)]
        else:
            lines += _wrap(field.explanation, indent, first=head)
    return [*lines, RULE, ""]


def _wrap(text: str, indent: str, first: str | None = None) -> list[str]:
    return textwrap.wrap(_ascii(text), 80, initial_indent=indent if first is None else first, subsequent_indent=indent, break_on_hyphens=False) or [
        (first or "").rstrip()
    ]


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


def _line(text: str) -> str:
    return textwrap.shorten(_ascii(text), 80, placeholder="...")
