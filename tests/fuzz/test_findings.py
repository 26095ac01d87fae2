"""What made-up input has found: one case each, so that it stays mended."""

import numpy as np
import pytest
from fuzz_targets import TARGETS, card, cutout_seeds, fits_table_seeds, molino_text, mosaic_seeds, survives

from tuningfork.archives.download import _length
from tuningfork.config import load, read_yaml
from tuningfork.errors import CatalogueError, ConfigError
from tuningfork.tables import text_array

VOTABLE = '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>{}<DATA><TABLEDATA/></DATA></TABLE></RESOURCE></VOTABLE>'


def with_card(body: bytes, text: str) -> bytes:
    """A FITS file whose card of the same keyword reads otherwise."""
    at = body.index(card(text)[:9])
    return body[:at] + card(text) + body[at + 80 :]


def molino(*, twice: bool = False) -> bytes:
    comment, names, *rows = molino_text().decode().splitlines()
    if twice:
        return "\n".join([comment, names + " CLASHID", *(row + " x" for row in rows)]).encode()
    return "\n".join([comment, names, rows[0], names + " another", rows[1] + " 1"]).encode()


@pytest.mark.parametrize(
    ("target", "body", "error"),
    [
        ("multipart", b"image/fits\nbytes 0-3/" + b"9" * 5000 + b"\nabcd", "BadReply"),
        ("multipart", "image/fits\nbytes ²-3/9\nabcd".encode("latin-1"), "BadReply"),
        ("votable", VOTABLE.format('<FIELD datatype="int"/>').encode(), "BadReply"),
        ("skyserver_csv", b"#Table1\nobjid,text\n1,\xff\xfe\n", ""),
        ("molino_text", molino(twice=True), "CatalogueError"),
        ("molino_text", molino(), "CatalogueError"),
        ("mosaic", with_card(mosaic_seeds()[0], "CTYPE1  = 'RA---TAN"), "StampError"),
        ("mosaic", with_card(mosaic_seeds()[1], "BLANK   = 'x'"), "StampError"),
        ("fits_table", with_card(fits_table_seeds()[0], "TFORM1  = 'Q?'"), "CatalogueError"),
        ("fits_table", with_card(fits_table_seeds()[0], "TFORM2  = ''J'"), "CatalogueError"),
        ("fits_cutout", with_card(cutout_seeds()[0], "SURVEY  = 'x'").replace(card("VERSION = '9       '"), card("BSCALE  = 'x'")), "BadReply"),
    ],
)
def test_a_finding_stays_mended(target, body, error, tmp_path):
    assert survives(TARGETS[target], body, tmp_path) == error


@pytest.mark.parametrize("length", ["9" * 5000, "²", "-1", "1.5", ""])
def test_a_length_that_is_none(length):
    assert _length({"content-length": length}) is None


@pytest.mark.parametrize(
    "text",
    [
        b"a: !!python/object/apply:os.system [id]",
        b"\xff\xfe",
        b"a: [",
        b"- 1",
        b"just words",
        b"? [a]\n: b",
        b"a: " + b"9" * 5000,
        b"[" * 5000,
        b"2001-99-99: 1",
        b"a: *b",
    ],
)
def test_yaml_that_is_no_configuration(text, tmp_path, repository):
    path = tmp_path / "c.yaml"
    path.write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        load(read_yaml(path), [path], repository / "config" / "recipes")
    assert str(path) in str(caught.value)


def test_one_long_text_does_not_make_all_of_them_long():
    with pytest.raises(CatalogueError, match="a text of 100000 characters among 100001"):
        text_array([*["x"] * 100_000, "y" * 100_000], "ids")
    assert np.array_equal(text_array(["x", "y" * 100_000], "ids"), ["x", "y" * 100_000])
    assert text_array([], "ids").dtype == "U1"


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"archives": {"token": "hush-hush-hush"}}, "archives.token"),
        ({"archives": {"mast_api_token": "hush-hush-hush"}}, "archives.mast_api_token"),
        ({"archives": {"Password": "hush-hush-hush"}}, "archives.Password"),
        ({"samples": {"s": {"catalogue": {"options": {"api-key": "hush-hush-hush"}}}}}, "samples.s.catalogue.options.api-key"),
        ({"samples": {"s": {"labels": {"url": "https://me:hush-hush-hush@example.org/x.csv"}}}}, "samples.s.labels.url"),
        ({"samples": {"s": {"labels": {"url": "https://example.org/x.csv?a=1&access_token=hush-hush-hush"}}}}, "samples.s.labels.url"),
    ],
)
def test_secrets_in_the_configuration_are_refused_unsaid(section, key, tmp_path):
    with pytest.raises(ConfigError, match="TUNINGFORK_TOKEN_MAST") as caught:
        load(section, recipes=tmp_path)
    assert f"{key}: " in str(caught.value) and "hush-hush-hush" not in str(caught.value)


def test_what_only_sounds_like_a_secret_is_none(repository):
    raw = read_yaml(repository / "config" / "config.yaml")
    name = next(iter(raw["models"]))
    raw["models"][name]["network"] = {"name": "timm:vit_tiny", "options": {"class_token": True}}
    load(raw, recipes=repository / "config" / "recipes")
