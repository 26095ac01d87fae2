import numpy as np
import pytest
from astropy.io import fits
from stamp_scenes import SCALE, wcs_of, write_mosaic

from tuningfork.errors import StampError
from tuningfork.stamps.mosaic import Mosaic, microjansky_factor

F160W = -2.5 * np.log10(1.9106045e-20) - 5 * np.log10(15369.172) - 2.408  # the AB zero point by the formula of STScI
IMAGE = np.random.default_rng(1).normal(size=(60, 70)).astype(np.float32)


def test_a_mosaic_is_mapped_and_calibrated(tmp_path):
    mosaic = Mosaic(write_mosaic(tmp_path / "m.fits", IMAGE))
    assert mosaic.shape == (60, 70) and mosaic.to_microjansky == pytest.approx(1)
    assert mosaic.pixel_scale_arcsec == pytest.approx(SCALE, rel=1e-6) and mosaic.rotation_deg == pytest.approx(0, abs=1e-9)
    assert mosaic.pixels.array.dtype == np.dtype(">f4")
    out = mosaic.pixels.windows(np.array([-2, 10, 58]), np.array([5, 66, 20]), np.empty((3, 6, 6), np.float32))
    assert np.isnan(out[0, :2]).all() and np.array_equal(out[0, 2:], IMAGE[:4, 5:11])
    assert np.array_equal(out[1, :, :4], IMAGE[10:16, 66:]) and np.isnan(out[1, :, 4:]).all()
    assert np.array_equal(out[2, :2], IMAGE[58:, 20:26]) and np.isnan(out[2, 2:]).all()


@pytest.mark.parametrize(
    ("cards", "zero_point", "expected"),
    [
        ({"PHOTFLAM": 1.9106045e-20, "PHOTPLAM": 15369.172, "PHOTZPT": -21.1}, None, 10 ** ((23.9 - F160W) / 2.5)),
        ({"ABMAGZP": 25.0}, None, 10**-0.44),
        ({"ABMAGZP": 25.0}, 23.9, 1.0),
        ({"BUNIT": "nanomaggy"}, None, 3.631),
    ],
)
def test_the_calibration_is_that_of_the_header(cards, zero_point, expected):
    assert microjansky_factor(fits.Header(cards), zero_point) == pytest.approx(expected, rel=5e-4)


def test_sip_is_left_out(tmp_path):
    path = write_mosaic(tmp_path / "m.fits", IMAGE)
    with fits.open(path, mode="update") as hdus:
        hdus[0].header.update({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-3, "B_0_2": 1e-3})
    plain = wcs_of(60).wcs_pix2world(1, 2, 0)
    assert np.allclose(Mosaic(path).wcs.all_pix2world(1, 2, 0), plain, atol=1e-10)


def test_scaled_integers_and_blank_are_understood(tmp_path):
    header = wcs_of(8).to_header() + fits.Header({"ABMAGZP": 25.0})
    hdu = fits.PrimaryHDU(np.arange(64, dtype=np.int16).reshape(8, 8), header)
    hdu.header["BSCALE"], hdu.header["BZERO"], hdu.header["BLANK"] = 0.5, 10.0, 63
    raw = tmp_path / "i.fits"
    hdu.writeto(raw)
    with fits.open(raw, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header.update({"BSCALE": 0.5, "BZERO": 10.0, "BLANK": 63})
    stored = fits.getdata(raw).astype(float)
    found = Mosaic(raw).pixels.windows(np.array([0]), np.array([0]), np.empty((1, 8, 8), np.float32))[0]
    np.testing.assert_allclose(found, stored)


def bad_files(folder):
    good = write_mosaic(folder / "good.fits", IMAGE)
    content = good.read_bytes()
    yield "truncated", content[:-5000], "truncated"
    yield "only_header", content[:2880], "truncated|cannot be read"
    yield "half_a_header", content[:700], "cannot be read|truncated|no image"
    yield "empty", b"", "not a FITS"
    yield "html", b"<html>503 Service Unavailable</html>", "not a FITS"
    yield "gzipped", b"\x1f\x8b" + content, "gunzip"
    yield "terabytes", content.replace(b"NAXIS2  =                   60", b"NAXIS2  =           6000000000"), "truncated"
    yield "no_wcs", fits_bytes(folder, IMAGE, fits.Header({"ABMAGZP": 25.0})), "no celestial WCS"
    yield "no_calibration", fits_bytes(folder, IMAGE, wcs_of(60).to_header()), "zero point"
    stretched = wcs_of(60)
    stretched.wcs.cd = stretched.wcs.cd * [[1], [2]]
    yield "not_square", fits_bytes(folder, IMAGE, stretched.to_header() + fits.Header({"ABMAGZP": 25.0})), "square"
    yield "cube", fits_bytes(folder, np.stack([IMAGE] * 3), wcs_of(60).to_header() + fits.Header({"ABMAGZP": 25.0})), "plane"
    yield "table", fits_bytes(folder, None, fits.Header()), "no image"


def fits_bytes(folder, data, header):
    fits.PrimaryHDU(data, header).writeto(folder / "tmp.fits", overwrite=True)
    return (folder / "tmp.fits").read_bytes()


def test_each_bad_file_is_named_with_its_cure(tmp_path):
    seen = 0
    for name, content, message in bad_files(tmp_path):
        path = tmp_path / f"{name}.bad"
        path.write_bytes(content)
        with pytest.raises(StampError, match=message) as caught:
            Mosaic(path)
        assert f"{name}.bad" in str(caught.value)
        seen += 1
    assert seen == 12
    with pytest.raises(StampError, match="cannot be read"):
        Mosaic(tmp_path / "nowhere.fits")
    compressed = tmp_path / "c.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(IMAGE, wcs_of(60).to_header())]).writeto(compressed)
    with pytest.raises(StampError, match="funpack"):
        Mosaic(compressed)


def test_a_weight_of_another_shape_is_refused(tmp_path):
    image, weight = write_mosaic(tmp_path / "m.fits", IMAGE), write_mosaic(tmp_path / "w.fits", IMAGE[:50])
    with pytest.raises(StampError, match=r"w\.fits"):
        Mosaic(image, weight)
