"""Ids, file names, columns and titles that are no plain words, from a folder of pictures with its labels to the published catalogue: escaped everywhere."""

import csv
import html.parser
import os

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

from tuningfork import tables
from tuningfork.archives.votable import read_tables
from tuningfork.errors import SampleError
from tuningfork.publishing.catalogue import check_complete
from tuningfork.publishing.columns import MAX_NAME, holdable, printable
from tuningfork.publishing.product import OUTPUTS, publish
from tuningfork.samples.folder import read_folder
from tuningfork.stamps.folder import import_objects

SCRIPT = "<script>alert(1)</script>"
WITH_PICTURE = [
    "plain", "CASE", "case", "e\u0301", "\u00e9", "\u202egnp.exe", "new\nline", "tab\tand\\", "<script>alert(2)", "&amp;<b>",
    '"quoted", x', "'; DROP TABLE x; --",
    "%s {0} {x} $y_2$", "-rf", "=1+1", "x\\textbf{x}%~#_^", "a" * 240, "\x7f\x1b[31m",
]  # fmt: skip
WITHOUT = ["../../etc/passwd", "/etc/passwd", "nul\0inside", "b" * 300, "C:\\x", SCRIPT, "..", "x/../../y"]
TITLE = f"{SCRIPT} {{wildcards.x}} % \n $ _ é"
OUTPUT_NAMES = {"bibtex": "c.bib", "readme": "c.ReadMe", "wide": "c_wide.csv", "votable": "c.vot", "preview": "c.html", "provenance": "c.provenance.json"}


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """(folder of the products, objects, published table)."""
    here = tmp_path_factory.mktemp("names")
    folder = here / "in" / "deep" / "data $x_1$ {product} <b>"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(1).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    for name in WITH_PICTURE:
        Image.fromarray(pixels).save(folder / f"{name}.png")
    Image.fromarray(pixels).save(here / "in" / "y.png")  # where x/../../y would lead
    odd = {SCRIPT: SCRIPT, "na me,2\nx": "x\ny", "c" * 300: "1", "../up": "../../x", "é%s": "{0}"}
    rows = [{"id": name, "kind": ("spiral", "el_lip")[i % 2], **odd} for i, name in enumerate([*WITH_PICTURE, *WITHOUT])]
    with open(here / "labels.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    objects = read_folder(folder, here / "labels.csv", targets=["spiral", "el_lip"], task="classes", id_column="id", class_column="kind", suffix=".png").objects
    objects["split"] = "train"
    tables.write(objects, here / "objects.parquet")
    columns = tables.read_columns(here / "objects.parquet")
    stamps = import_objects(columns, str(folder), channels=3, pixels=8, as_fits=False)
    ids = Table({"object_id": stamps.object_id})
    ledger = Table({"object_id": stamps.object_id, "status": stamps.status, "reason": stamps.reason})
    ids["in_training"] = stamps.status == "ok"
    for target in ("spiral", "el_lip"):
        ids[target], ids[f"{target}_std"] = 0.5, 0.1
    out = here / "out"
    out.mkdir()
    made = {name: out / OUTPUT_NAMES.get(name, f"c.{name}") for name in OUTPUTS}
    spec = {"name": "c", "title": TITLE, "targets": ["spiral", "el_lip"], "task": "classes", "model": "m", "sample": "s", "networks": []}
    table = publish(made, objects=tables.read(here / "objects.parquet"), ledger=ledger, predictions=ids, spec=spec, code="0" * 64)
    return here, stamps, table


def test_each_name_has_its_row_and_its_status(published):
    _, stamps, table = published
    status = dict(zip(stamps.object_id.tolist(), stamps.status.tolist(), strict=True))
    assert status.keys() == {*WITH_PICTURE, *WITHOUT}
    assert all(status[name] == "ok" for name in WITH_PICTURE), status
    assert {status[name] for name in WITHOUT} == {"failed", "absent"} and status["../../etc/passwd"] == status["x/../../y"] == status["nul\0inside"] == "failed"
    assert sorted(table["object_id"].tolist()) == sorted(map(printable, status))


def test_all_formats_hold_the_same_names(published):
    here, _, table = published
    ids, columns = table["object_id"].tolist(), table.colnames
    with open(here / "out/c.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == columns and [row[0] for row in rows] == ids
    ((_, votable),) = read_tables(here / "out/c.vot")
    assert votable.colnames == columns and votable["object_id"].tolist() == ids
    with fits.open(here / "out/c.fits") as hdus:
        assert [hdus[1].header[f"TTYPE{i + 1}"] for i in range(len(columns))] == columns
        assert hdus[1].data.field(0).tolist() == [name.encode("ascii", "backslashreplace").decode() for name in ids]
    assert tables.read_columns(here / "out/c.parquet")["object_id"].tolist() == ids
    assert len((here / "out/c.dat").read_text().splitlines()) == len(ids)
    assert (here / "out/c.ReadMe").read_bytes().isascii()


def test_html_escapes_all_of_it(published):
    here, _, _ = published
    text = (here / "out/c.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert "<script" not in text.lower() and SCRIPT in tags.text
    assert set(tags.seen) <= {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "table", "thead", "tbody", "tr", "th", "td"}


def test_nothing_is_written_outside(published):
    here, _, _ = published
    assert {path.name for path in here.iterdir()} == {"in", "labels.csv", "objects.parquet", "out"}
    assert {path.name for path in (here / "out").iterdir()} == {OUTPUT_NAMES.get(name, f"c.{name}") for name in OUTPUTS}


def test_a_file_name_that_is_no_text_is_refused_by_name(tmp_path):
    (tmp_path / os.fsdecode(b"bad\xff.png")).write_bytes(b"x")
    with pytest.raises(SampleError, match=r"1 file name\(s\) are not UTF-8, the first is b'bad\\xff\.png'; rename"):
        read_folder(tmp_path)


def test_names_of_columns_that_are_one_when_spelled_out_stay_two():
    first = holdable("a\n", [])
    assert first == "a\\n" and holdable("a\n", [first]) != first and holdable("a\\n", []) == "a\\n"
    assert len(holdable("x" * 300)) == MAX_NAME and holdable("x" * 300) != holdable("x" * 301)


def test_ids_that_would_print_alike_are_refused():
    with pytest.raises(SampleError, match="cannot be printed alone"):
        check_complete(Table({"object_id": ["a\\n", "a\\n"]}), ["a\n", "a\\n"])
