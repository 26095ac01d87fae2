"""Four formats, one content: each read back by a reader that is not ours."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
from astropy.io import fits, votable
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuningfork import tables
from tuningfork.errors import TuningforkError
from tuningfork.publishing import columns, formats
from tuningfork.publishing.catalogue import assemble
from tuningfork.publishing.columns import Spec
from tuningfork.publishing.wide import widen


def as_lists(table):
    """Columns as plain lists, None where masked; unknown text is ''."""
    result = {}
    for name in table.colnames:
        column = columns.masked(table, name)
        values = [None if m else v for v, m in zip(column.data.tolist(), np.ma.getmaskarray(column).tolist(), strict=True)]
        result[name] = ["" if v is None else v for v in values] if column.dtype.kind == "U" else values
    return result


def read_csv(path, like):
    kinds = {n: like[n].dtype.kind for n in like.colnames}
    types = {"f": pyarrow.float64(), "i": pyarrow.int64(), "b": pyarrow.bool_(), "U": pyarrow.string()}
    options = pyarrow.csv.ConvertOptions(column_types={n: types[k] for n, k in kinds.items()}, strings_can_be_null=False, null_values=[""])
    arrow = pyarrow.csv.read_csv(path, convert_options=options, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True))
    return {n: arrow[n].to_pylist() for n in arrow.column_names}


def read_fits(path):
    result = {}
    with fits.open(path) as hdus:
        header, data = hdus[1].header, hdus[1].data
        for i, name in enumerate(data.names, start=1):
            values = data[name].tolist()
            null = header.get(f"TNULL{i}")
            if header[f"TFORM{i}"] == "D":
                values = [None if np.isnan(v) else v for v in values]
            result[name] = [None if null is not None and v == null else v for v in values]
    return result


def read_votable(path):
    table = votable.parse_single_table(path)
    return as_lists(table.to_table(use_names_over_ids=True))


def everything(table, folder):
    for suffix in formats.SUFFIXES:
        formats.write(table, Path(folder) / f"t{suffix}", "a table")
    return {
        "csv": read_csv(Path(folder) / "t.csv", table),
        "parquet": as_lists(tables.read(Path(folder) / "t.parquet")),
        "fits": read_fits(Path(folder) / "t.fits"),
        "vot": read_votable(Path(folder) / "t.vot"),
    }


@pytest.fixture
def table(parts):
    return assemble(**parts, names={"catalogue_id": "clashid", "field": "cluster"}, meta={"name": "Deep-CLASH", "doi": "10.1088/1538-3873/aaeeb4"})


@pytest.mark.parametrize("form", ["long", "wide"])
def test_all_formats_hold_the_same(table, tmp_path, form):
    table = widen(table, {"catalogue_id": "clashid", "field": "cluster"}) if form == "wide" else table
    expected = as_lists(table)
    for name, found in everything(table, tmp_path).items():
        assert found == expected, name


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(columns.printable)
FLOATS = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=64))
INTEGERS = st.one_of(st.none(), st.integers(-(2**53), 2**53))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXT, FLOATS, INTEGERS, st.booleans()), max_size=6))
def test_round_trip_of_any_content(tmp_path, rows):
    table = Table(meta={"simulated": False})
    for name, values, kind in zip(("text", "number", "count", "yes"), zip(*rows, strict=True) if rows else [()] * 4, (str, float, int, bool), strict=True):
        mask = [v is None for v in values]
        data = np.ma.MaskedArray(np.array([kind() if v is None else v for v in values], dtype=kind), mask=mask)
        columns.add(table, name, data, Spec(None, "meta", name))
    expected = as_lists(table)
    for name, found in everything(table, tmp_path).items():
        assert found == expected, name


def test_text_beyond_ascii(tmp_path):
    table = Table(meta={"simulated": False})
    columns.add(table, "object_id", np.array(["galaxie-é", "<a&b>", 'quote",comma', "bell\x07"]), Spec(None, "meta.id", "an id <with> marks"))
    found = everything(table, tmp_path)
    assert found["csv"] == found["vot"] == found["parquet"] == as_lists(table)
    assert found["csv"]["object_id"] == ["galaxie-é", "<a&b>", 'quote",comma', "bell\\x07"]
    assert found["fits"]["object_id"][0] == "galaxie-\\xe9"


def test_the_same_content_gives_the_same_bytes(parts, tmp_path):
    digests = []
    for attempt in ("a", "b"):
        (tmp_path / attempt).mkdir()
        paths = [tmp_path / attempt / f"t{suffix}" for suffix in formats.SUFFIXES]
        for path in paths:
            formats.write(assemble(**parts), path, "a table")
        digests.append([hashlib.sha256(p.read_bytes()).hexdigest() for p in paths])
    assert digests[0] == digests[1]


def test_no_format_holds_the_time_of_retrieval(table, tmp_path):
    everything(table, tmp_path)
    assert not any(b"2024-01-01" in path.read_bytes() for path in tmp_path.iterdir())


def test_votable_is_valid(table, tmp_path):
    for name, content in (("long", table), ("wide", widen(table, {"catalogue_id": "clashid", "field": "cluster"}))):
        path = tmp_path / f"{name}.vot"
        formats.write(content, path, "Morphology of <galaxies> & more")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parsed = votable.parse(path, verify="exception")
        with open(tmp_path / "log", "w") as log:
            assert votable.validate(path, output=log), (tmp_path / "log").read_text()
        assert parsed.version == "1.4"
        assert parsed.resources[0].coordinate_systems[0].system == "ICRS"


def test_votable_fields_say_what_they_are(table, tmp_path):
    formats.write(table, tmp_path / "t.vot")
    parsed = votable.parse(tmp_path / "t.vot")
    fields = {f.name: f for f in parsed.get_first_table().fields}
    assert (fields["ra"].ucd, str(fields["ra"].unit), fields["ra"].ref) == ("pos.eq.ra;meta.main", "deg", "icrs")
    assert fields["object_id"].ucd == "meta.id;meta.main"
    assert fields["p_smooth"].ucd == "stat.probability;src.morph.type"
    infos = {i.name: i.value for i in parsed.resources[0].infos}
    assert infos["SIMULATED"] == "false" and infos["DOI"] == "10.1088/1538-3873/aaeeb4"
    assert infos["FLAG_BITS_1"].startswith("1 no_stamp")


def test_simulated_products_say_so_in_every_format(simulated_parts, tmp_path):
    table = assemble(**simulated_parts)
    found = everything(table, tmp_path)
    assert all(set(content["origin"]) == {"simulated"} for content in found.values())
    assert fits.getheader(tmp_path / "t.fits", 0)["SIMULATE"] is True
    assert fits.getheader(tmp_path / "t.fits", 1)["SIMULATE"] is True
    infos = {i.name: i.value for i in votable.parse(tmp_path / "t.vot").resources[0].infos}
    assert infos["SIMULATED"] == "true"
    assert tables.read_meta(tmp_path / "t.parquet")["simulated"] is True


def test_fits_header_describes_the_columns(table, tmp_path):
    formats.write(table, tmp_path / "t.fits", "a table")
    header = fits.getheader(tmp_path / "t.fits", 1)
    index = table.colnames.index("ra") + 1
    assert (header[f"TUNIT{index}"], header[f"TUCD{index}"]) == ("deg", "pos.eq.ra;meta.main")
    assert header[f"TCOMM{index}"].startswith("Right ascension")
    assert header["SIMULATE"] is False and header["RADESYS"] == "ICRS"
    assert "FLAG_BITS_1 = 1 no_stamp" in str(header["COMMENT"])
    with fits.open(tmp_path / "t.fits") as hdus:
        hdus.verify("exception")


def test_csv_is_plain(table, tmp_path):
    formats.write(table, tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0].startswith("object_id,galaxy_id,clashid,cluster,filter,ra,dec,mag,")
    assert lines[1].startswith("macs2129_f160w_656,macs2129_656,clash_macs2129_nir_0656,macs2129,F160W,322.35,-7.69,20.0,")
    assert len(lines) == 9 and not any(line.startswith("#") for line in lines)


def test_unknown_suffix(table, tmp_path):
    with pytest.raises(TuningforkError, match=r"unknown format '\.xls'"):
        formats.write(table, tmp_path / "t.xls")
