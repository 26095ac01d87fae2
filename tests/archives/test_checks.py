"""Checks of content: FITS structure against files that astropy wrote, and the marks of the simulated sky."""

import hashlib
import io

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from misbehaving_server import fits_bytes

from tuningfork.archives.checks import BadReply, check_fits, check_fits_image, check_not_html, check_realm, expect_digest, simulated_mark
from tuningfork.errors import ArchiveError


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("checks") / "body"


def written(*hdus) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(buffer)
    return buffer.getvalue()


def table_hdu():
    return fits.BinTableHDU.from_columns([fits.Column("a", "PJ()", array=np.array([np.arange(3), np.arange(5)], dtype=object))])


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    dtype=st.sampled_from(["u1", ">i2", ">i4", ">f4", ">f8"]),
    comments=st.integers(0, 80),
    cut=st.floats(0, 1, exclude_max=True),
)
def test_images_of_astropy_pass_whole_and_fail_cut_or_longer(file, shape, dtype, comments, cut):
    hdu = fits.PrimaryHDU(np.zeros(shape, dtype))
    hdu.header["OBJECT"] = "it's / here"
    for i in range(comments):
        hdu.header.add_history(f"drizzled {i}")
    body = written(hdu)
    file.write_bytes(body)
    check_fits_image(file)
    assert check_fits(file)["OBJECT"] == "'it''s / here'"
    for bad in (body[: int(cut * len(body))], body + b"\0", body + bytes(2880)):
        file.write_bytes(bad)
        with pytest.raises(BadReply) as caught:
            check_fits_image(file)
        assert caught.value.transient


def test_extensions_with_heaps_are_measured(file):
    body = written(fits.PrimaryHDU(), fits.ImageHDU(np.zeros((3, 4, 5))), table_hdu())
    file.write_bytes(body)
    check_fits(file)
    file.write_bytes(body[:-2880])
    with pytest.raises(BadReply, match=f"promise {len(body)} bytes or more, it has {len(body) - 2880}"):
        check_fits(file)


@pytest.mark.parametrize("shape", [(5,), (2, 5, 5)])
def test_an_image_has_two_axes(file, shape):
    file.write_bytes(written(fits.PrimaryHDU(np.zeros(shape))))
    with pytest.raises(BadReply, match=f"has {len(shape)} axes, not 2") as caught:
        check_fits_image(file)
    assert not caught.value.transient


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "nothing"),
        (b"<html>", "begins with '<html>'"),
        (b"SIMPLE  =".ljust(100), "within its header"),
        (b"SIMPLE  =".ljust(2880) * 2, "within its header"),
        (b"SIMPLE  =" + b"END".rjust(74).ljust(2871), "without a readable 'NAXIS'"),
        (fits_bytes().replace(b"BITPIX", b"BITPOX"), "without a readable 'BITPIX'"),
        (fits_bytes().replace(b"                  -32", b"                float"), "without a readable"),
        (fits_bytes().replace(b"NAXIS1  =                   40", b"NAXIS1  =                  -40"), "impossible axes"),
    ],
)
def test_other_things_are_no_fits(file, body, words):
    file.write_bytes(body)
    with pytest.raises(BadReply, match=words):
        check_fits(file)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=6000))
def test_noise_is_refused_and_nothing_else_happens(file, noise):
    file.write_bytes(b"SIMPLE  =" + noise)
    with pytest.raises(BadReply):
        check_fits(file)


VOTABLE = '<?xml version="1.0"?>\n<!-- made here -->\n<{p}VOTABLE version="1.4">{info}<{p}RESOURCE/></{p}VOTABLE>'


@pytest.mark.parametrize(
    ("body", "mark"),
    [
        (fits_bytes(simulated=True), True),
        (fits_bytes(), False),
        (VOTABLE.format(p="", info='<INFO ID="s" name="SIMULATED" value="T"/>').encode(), True),
        (VOTABLE.format(p="ns0:", info="<ns0:INFO value='true' name='SIMULATED'>a simulated sky</ns0:INFO>").encode(), True),
        (VOTABLE.format(p="", info='<INFO name="SIMULATED" value="F"/>').encode(), False),
        (VOTABLE.format(p="", info='<INFO name="note" value="not SIMULATED"/>').encode(), False),
        (b"# a catalogue\n# SIMULATED by tuningfork\n1 2 3\n", True),
        (b"## SIMULATE = T\n1 2 3\n", True),
        (b"# SIMULATED = F\n1 2 3\n", None),
        (b"# CLASHID RA Dec\n1 2 3\n", None),
        (b"id,p_smooth\nSIMULATED,1\n", None),
        (b"", None),
    ],
)
def test_the_mark_of_the_simulated_sky(file, body, mark):
    file.write_bytes(body)
    assert simulated_mark(file) is mark
    for realm, refused in (("live", mark is True), ("simulated-1", mark is False)):
        if refused:
            with pytest.raises(BadReply) as caught:
                check_realm(file, realm)
            assert not caught.value.transient
        else:
            check_realm(file, realm)


def test_html_in_place_of_a_text_file(file):
    file.write_bytes(b"\n <!doctype HTML><p>Sorry")
    with pytest.raises(BadReply, match="HTML page in place of data"):
        check_not_html(file)
    file.write_bytes(b"id,p\n<html>,1\n")
    check_not_html(file)


def test_real_files_are_real(shared_data):
    for name in ("responses/legacysurvey/example_a.fits", "responses/footprints/STMoc-DECaLS-g.fits"):
        check_fits(shared_data / name)
        check_realm(shared_data / name, "live")
    check_realm(shared_data / "responses/vizier/kang2010.xml", "live")
    check_realm(shared_data / "responses/mast/hlsp_clash_hst_ir_macs2129_cat-molino.txt", "live")
    stamp = next((shared_data / "candels_clash_hst").rglob("a611_f475w_860.fits"))
    check_fits_image(stamp)


@pytest.mark.parametrize(
    "body",
    [b"\xff\xd8\xff\xfe\x00\x10SIMULATED, no galaxy\xff\xd9", b'{"files": [], "simulated": true}', b'[{"TableName": "Table1"}, {"simulated" : true}]'],
)
def test_other_kinds_of_simulated_bodies_are_refused_live(file, body):
    file.write_bytes(body)
    assert simulated_mark(file) is True
    check_realm(file, "simulated-0")
    with pytest.raises(BadReply, match="marked as simulated"):
        check_realm(file, "live")


def test_a_header_marks_what_has_no_place_for_a_mark(file):
    file.write_bytes(b"#Table1\nobjID\n1\n")
    check_realm(file, "live", {"content-type": "text/plain"})
    check_realm(file, "simulated-0", {"x-simulated": "true"})
    with pytest.raises(BadReply, match="marked as simulated"):
        check_realm(file, "live", {"x-simulated": "true"})


def test_a_published_digest_is_compared(file):
    file.write_bytes(b"galaxies")
    md5, sha256 = hashlib.md5(b"galaxies").hexdigest(), hashlib.sha256(b"galaxies").hexdigest()
    for right in ({"md5": md5}, {"md5": f"md5:{md5.upper()}"}, {"sha256": sha256}, {"md5": md5, "sha256": sha256}, {}):
        expect_digest(**right)(file)
    file.write_bytes(b"galaxie5")
    for wrong in ({"md5": md5}, {"sha256": sha256}):
        with pytest.raises(BadReply, match=r"a body with the (MD5|SHA256) [0-9a-f]+, where the archive promises") as caught:
            expect_digest(**wrong)(file)
        assert caught.value.transient
    file.write_bytes(b"<html>down</html>")
    with pytest.raises(BadReply, match="an HTML page"):
        expect_digest(md5=md5, also=check_not_html)(file)


@pytest.mark.parametrize("text", ["", "xyz", "0" * 31, "sha256:" + "0" * 64])
def test_what_is_no_digest_is_refused_before_anything_is_asked(text):
    with pytest.raises(ArchiveError, match="is no MD5 in hex"):
        expect_digest(md5=text)
