import struct
import zlib

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from tuningfork.errors import StampError
from tuningfork.stamps.pictures import import_pictures
from tuningfork.stamps.store import write_shard

RNG = np.random.default_rng(0)


def save(path, array):
    Image.fromarray(array).save(path)
    return path


def one(path, **options):
    shard = import_pictures([path], ["a"], **{"channels": 3, "pixels": 16} | options)
    return shard.status[0], shard.reason[0], shard.pixels[0]


def test_shrinking_is_the_mean_over_area(tmp_path):
    array = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    status, _, pixels = one(save(tmp_path / "a.png", array))
    assert status == "ok" and pixels.dtype == np.uint8 and pixels.shape == (3, 16, 16)
    np.testing.assert_array_equal(pixels, np.rint(array.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))).astype(np.uint8).transpose(2, 0, 1))


def test_the_own_size_is_left_alone_and_the_central_square_is_taken(tmp_path):
    array = RNG.integers(0, 256, (16, 30, 3), dtype=np.uint8)
    _, _, pixels = one(save(tmp_path / "a.png", array))
    np.testing.assert_array_equal(pixels, array[:, 7:23].transpose(2, 0, 1))


def test_channels_decide_about_grey_and_colour(tmp_path):
    grey = RNG.integers(0, 256, (16, 16), dtype=np.uint8)
    colour = np.stack([grey, grey // 2, grey // 3], axis=2)
    assert np.array_equal(one(save(tmp_path / "g.png", grey))[2], np.stack([grey] * 3))
    luma = one(save(tmp_path / "c.png", colour), channels=1)[2][0].astype(float)
    np.testing.assert_allclose(luma, colour @ [0.299, 0.587, 0.114], atol=1)
    with_alpha = np.dstack([colour, np.full_like(grey, 255)])
    assert np.array_equal(one(save(tmp_path / "a.png", with_alpha))[2], colour.transpose(2, 0, 1))
    assert one(tmp_path / "c.png", channels=4)[0] == "failed"


def test_each_bad_picture_has_its_status_and_costs_nothing_else(tmp_path):
    array = RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    good = save(tmp_path / "good.jpg", array)
    content = good.read_bytes()
    header = struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    deep = Image.fromarray(RNG.integers(0, 60000, (20, 20)).astype(np.uint16))
    files = {
        "truncated.jpg": content[: len(content) // 2],
        "empty.jpg": b"",
        "text.png": b"this is no image",
        "bomb.png": bomb,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    deep.save(tmp_path / "deep.png")
    save(tmp_path / "flat.png", np.full((20, 20, 3), 9, np.uint8))
    save(tmp_path / "tiny.png", array[:2, :2])
    names = ["good.jpg", *files, "deep.png", "flat.png", "tiny.png", "missing.png", None]
    ids = [str(name) for name in names]
    shard = import_pictures([tmp_path / name if name else None for name in names], ids, channels=3, pixels=16)
    assert shard.object_id.tolist() == ids
    assert shard.status.tolist() == ["ok", "failed", "failed", "failed", "failed", "failed", "blank", "too_small", "absent", "absent"]
    assert all(bool(reason) == (status != "ok") for status, reason in zip(shard.status, shard.reason, strict=True))
    assert str(tmp_path) not in "".join(shard.reason)
    write_shard(tmp_path / "s.arrow", shard)


def test_fits_keeps_its_values_and_finds_its_holes(tmp_path):
    cube = RNG.normal(5, 1, (3, 32, 32)).astype(np.float32)
    holes, infinite = cube.copy(), cube.copy()
    holes[1, :8] = 0
    infinite[0, 3, 3] = np.inf
    for name, data in (("good", cube), ("holes", holes), ("infinite", infinite), ("dark", cube * 0), ("flat", cube[0])):
        fits.PrimaryHDU(data).writeto(tmp_path / f"{name}.fits")
    content = (tmp_path / "good.fits").read_bytes()
    (tmp_path / "truncated.fits").write_bytes(content[: len(content) // 2])
    (tmp_path / "huge.fits").write_bytes(content.replace(b"NAXIS1  =                   32", b"NAXIS1  =         900000000000"))
    (tmp_path / "fake.fits").write_bytes(b"no")
    names = ["good", "holes", "infinite", "dark", "flat", "truncated", "huge", "fake"]
    shard = import_pictures([tmp_path / f"{name}.fits" for name in names], names, channels=3, pixels=16)
    assert shard.status.tolist() == ["ok", "partial", "nonfinite", "blank", "failed", "failed", "failed", "failed"]
    assert shard.pixels.dtype == np.float32
    np.testing.assert_allclose(shard.pixels[0], cube.reshape(3, 16, 2, 16, 2).mean(axis=(2, 4)), rtol=1e-5)
    assert shard.scalars["coverage"][1] == pytest.approx(0.75) and np.isfinite(shard.pixels).all()
    write_shard(tmp_path / "s.arrow", shard)


def test_wrong_calls_are_refused(tmp_path):
    png, fit = save(tmp_path / "a.png", np.eye(20, dtype=np.uint8)), tmp_path / "a.fits"
    with pytest.raises(StampError, match="FITS files and pictures"):
        import_pictures([png, fit], ["a", "b"], channels=1, pixels=8)
    with pytest.raises(StampError, match="'a' stands 2 times"):
        import_pictures([png, png], ["a", "a"], channels=1, pixels=8)
    with pytest.raises(StampError, match="2 images for 1"):
        import_pictures([png, png], ["a"], channels=1, pixels=8)
    assert import_pictures([None], ["a"], channels=1, pixels=8, as_fits=True).pixels.dtype == np.float32
    with pytest.raises(StampError, match="pictures in a sample of FITS"):
        import_pictures([png], ["a"], channels=1, pixels=8, as_fits=True)


@pytest.mark.parametrize(("folder", "count"), [("sdss_metallicity", 40), ("gz1_sdss_objid", 10), ("des_lsbg", 40)])
def test_real_pictures(shared_data, folder, count):
    paths = sorted(p for p in (shared_data / folder).rglob("*") if p.suffix in (".jpg", ".jpeg", ".png"))[:count]
    shard = import_pictures(paths, [p.stem for p in paths], channels=3, pixels=64)
    assert len(shard) == count and set(shard.status) == {"ok"} and shard.pixels.dtype == np.uint8
    with Image.open(paths[0]) as image:
        expected = np.asarray(image.convert("RGB"), dtype=float).mean()
    assert shard.pixels[0].mean() == pytest.approx(expected, abs=0.5)
