"""Everything that a catalogue publishes, in one call."""

from datetime import UTC, datetime

import pytest
from astropy.io import ascii as astropy_ascii
from astropy.table import Table

from tuningfork.errors import TuningforkError
from tuningfork.files import read_json, sha256_of
from tuningfork.publishing.product import publish

SPEC = {"name": "Deep-CLASH", "title": "Deep-CLASH", "model": "clash", "catalogues": ["molino2017"], "collection": "clash", "configuration": "abc"}
FILES = {
    "csv": "Deep-CLASH.csv",
    "parquet": "Deep-CLASH.parquet",
    "fits": "Deep-CLASH.fits",
    "votable": "Deep-CLASH.vot",
    "dat": "Deep-CLASH.dat",
    "wide": "Deep-CLASH_wide.csv",
    "readme": "Deep-CLASH.ReadMe",
    "bibtex": "Deep-CLASH.bib",
    "preview": "Deep-CLASH.html",
    "provenance": "Deep-CLASH.provenance.json",
}


def made(parts, folder, leave_out=(), simulated=False, **changes):
    folder.mkdir(exist_ok=True)
    outputs = {name: folder / file for name, file in FILES.items() if name not in leave_out}
    tables = {name: parts[name] for name in ("objects", "ledger", "predictions", "scalars")}
    spec = SPEC | {"targets": parts["targets"], "task": parts["task"], "simulated": simulated}
    table = publish(outputs, spec=spec, code="c0de", created=datetime(2024, 5, 1, tzinfo=UTC), **{**tables, **changes})
    return outputs, table


def test_every_file_is_written_and_in_the_provenance(parts, tmp_path):
    outputs, table = made(parts, tmp_path)
    assert all(path.stat().st_size for path in outputs.values())
    record = read_json(outputs["provenance"])
    assert record["outputs"]["Deep-CLASH.csv"]["sha256"] == sha256_of(outputs["csv"])
    assert record["inputs"][0]["doi"] == "10.1093/mnras/stx1243"
    assert "clashid" in table.colnames and "cluster" in table.colnames
    assert "Molino2017" in outputs["bibtex"].read_text() and "PerezCarrasco2019" in outputs["bibtex"].read_text()
    assert "Re-derived with tuningfork; not the" in outputs["readme"].read_text()


def test_only_the_provenance_depends_on_the_clock(parts, tmp_path):
    first, _ = made(parts, tmp_path / "a")
    parts["objects"].meta["origin"]["retrieved"] = "2025-01-01T00:00:00Z"
    second, _ = made(parts, tmp_path / "b")
    assert {n for n in FILES if first[n].read_bytes() != second[n].read_bytes()} == {"provenance"}


def test_readme_describes_the_fixed_width_file_or_else_the_csv(parts, tmp_path):
    outputs, table = made(parts, tmp_path)
    found = astropy_ascii.read(str(outputs["dat"]), readme=str(outputs["readme"]), format="cds")
    assert found.colnames == table.colnames and len(found) == len(table)
    outputs, _ = made(parts, tmp_path / "no-dat", leave_out=("dat",))
    assert "Column-by-column Description of file: Deep-CLASH.csv" in outputs["readme"].read_text()


def test_wide_csv_has_a_row_a_galaxy(parts, tmp_path):
    outputs, _ = made(parts, tmp_path)
    wide = Table.read(outputs["wide"], format="ascii.csv")
    assert len(wide) == 5 and "p_smooth_f850lp" in wide.colnames


@pytest.mark.parametrize("marked_by", ["table", "configuration"])
def test_simulated_says_so_everywhere(simulated_parts, tmp_path, marked_by):
    if marked_by == "configuration":
        simulated_parts["objects"].meta.clear()
    outputs, _ = made(simulated_parts, tmp_path, simulated=marked_by == "configuration")
    for name in ("readme", "preview", "provenance"):
        assert "SIMULATED" in outputs[name].read_text(), name
    assert b"10.1093/mnras/stx1243" not in b"".join(path.read_bytes() for path in outputs.values())
    assert "Molino2017" not in outputs["bibtex"].read_text()


def test_unknown_output(parts, tmp_path):
    with pytest.raises(TuningforkError, match="unknown output 'xls'"):
        publish({"xls": tmp_path / "a.xls"}, objects=parts["objects"], ledger=parts["ledger"], predictions=parts["predictions"], spec=SPEC, code="")
