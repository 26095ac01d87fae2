"""The ReadMe describes the bytes: astropy's reader of CDS files is the judge."""

from itertools import pairwise

import numpy as np
import pytest
from astropy.io import ascii as astropy_ascii
from astropy.table import Table

from tuningfork.publishing import columns
from tuningfork.publishing.catalogue import assemble
from tuningfork.publishing.columns import Spec
from tuningfork.publishing.readme import layout, readme_text, write_fixed_width
from tuningfork.publishing.references import bibtex
from tuningfork.publishing.wide import widen


def written(table, folder, name="deep-clash.dat", **options):
    write_fixed_width(table, folder / name)
    text = readme_text([(name, table, "The catalogue")], title="Deep-CLASH", description="Morphologies.", **options)
    (folder / "ReadMe").write_text(text, encoding="ascii")
    return astropy_ascii.read(str(folder / name), readme=str(folder / "ReadMe"), format="cds")


@pytest.mark.parametrize("form", ["long", "wide"])
def test_astropy_reads_the_file_by_its_readme(parts, tmp_path, form):
    table = assemble(**parts)
    table = widen(table) if form == "wide" else table
    found = written(table, tmp_path, bibtex=bibtex(["Molino2017"]))
    assert found.colnames == table.colnames
    for name in table.colnames:
        ours, theirs = columns.masked(table, name), columns.masked(found, name)
        if ours.dtype.kind == "U":
            assert np.ma.filled(theirs.astype(str), "").tolist() == ours.tolist()
        elif np.ma.getmaskarray(ours).all():
            assert np.ma.getmaskarray(theirs).all()
        else:
            np.testing.assert_array_equal(np.ma.getmaskarray(theirs), np.ma.getmaskarray(ours))
            np.testing.assert_array_equal(np.ma.filled(theirs.astype(float), -1), np.ma.filled(ours.astype(float), -1))
    assert str(found["ra"].unit) == "deg"


def test_numbers_of_every_size_survive(tmp_path):
    table = Table(meta={"simulated": False})
    columns.add(table, "tiny", np.ma.MaskedArray([1e-30, -2.5, 0.1 + 0.2], mask=[0, 1, 0]), Spec("mag", "meta", "many digits"))
    columns.add(table, "count", np.ma.MaskedArray([-3, 2**40, 0], mask=[0, 0, 1]), Spec(None, "meta", "integers"))
    found = written(table, tmp_path)
    assert [None if m else v for v, m in zip(found["tiny"].data, found["tiny"].mask, strict=True)] == [1e-30, None, 0.1 + 0.2]
    assert list(found["count"][:2]) == [-3, 2**40]


def test_lines_are_ascii_of_at_most_80_bytes(parts, tmp_path):
    text = readme_text([("a.dat", assemble(**parts), "é" * 100)], title="T" * 100, description="words " * 60, notes=["note " * 40])
    assert text.isascii()
    before_references = text.split("References")[0].splitlines()
    assert max(map(len, before_references)) <= 80


def test_flag_bits_and_references_are_in(parts):
    text = readme_text([("a.dat", assemble(**parts), "x")], title="t", description="d", bibtex=bibtex(["Postman2012"]))
    assert "1 no_stamp: no usable stamp" in text and "@article{Postman2012," in text
    assert "SIMULATED" not in text


def test_simulated_is_in_the_head(simulated_parts):
    text = readme_text([("a.dat", assemble(**simulated_parts), "x")], title="t", description="d")
    assert "SIMULATED: no row of these files is a galaxy" in "\n".join(text.splitlines()[:4])


def test_bytes_do_not_overlap(parts):
    fields, cells = layout(assemble(**parts))
    for before, after in pairwise(fields):
        assert after.start == before.end + 2
    assert all(len({len(c) for c in column}) == 1 for column in cells)
