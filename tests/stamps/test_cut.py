import gzip
import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_exact
from stamp_scenes import SCALE, wcs_of, write_mosaic

from tuningfork.errors import StampError
from tuningfork.stamps.cut import cut_shard, cut_stamps
from tuningfork.stamps.mosaic import Mosaic
from tuningfork.stamps.store import read_shard, write_shard
from tuningfork.stamps.windows import SCALARS

SIZE = 300


def scene(seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = rng.normal(0.01, 0.002, (SIZE, SIZE))
    grid_y, grid_x = np.mgrid[:SIZE, :SIZE]
    for x, y, re in ((100.3, 120.8, 4.0), (200.0, 80.5, 7.0), (122.0, 120.0, 2.0)):
        image += 0.5 * np.exp(-np.hypot(grid_x - x, grid_y - y) / re)
    return image.astype(np.float32)


def objects(x, y, side_pixels, **others) -> dict[str, np.ndarray]:
    x, y, side = (np.atleast_1d(np.asarray(v, dtype=float)) for v in (x, y, side_pixels))
    return {"object_id": np.array([f"o{i}" for i in range(len(x))]), "x_pix": x + 1, "y_pix": y + 1, "stamp_arcsec": side * SCALE, **others}


@pytest.fixture
def mosaic(tmp_path):
    return Mosaic(write_mosaic(tmp_path / "m.fits", scene()))


def test_flux_comes_back_from_surface_brightness_and_pixel_scale(mosaic):
    shard = cut_stamps(objects([100.3, 200.0], [120.8, 80.5], [41.7, 100.2]), mosaic, pixels=80)
    assert shard.status.tolist() == ["ok", "ok"] and shard.pixels.shape == (2, 1, 80, 80)
    for i, (x, y, side) in enumerate([(100.3, 120.8, 41.7), (200.0, 80.5, 100.2)]):
        along = [np.clip(np.minimum(c + side / 2, np.arange(SIZE) + 0.5) - np.maximum(c - side / 2, np.arange(SIZE) - 0.5), 0, None) for c in (y, x)]
        flux = shard.pixels[i].sum(dtype=float) * shard.scalars["pixel_scale_arcsec"][i] ** 2
        assert flux == pytest.approx(along[0] @ scene().astype(float) @ along[1], rel=1e-5)
        assert shard.scalars["zoom"][i] == pytest.approx(80 / side)


def test_scalars_say_what_is_in_the_stamp(mosaic):
    shard = cut_stamps(objects([100.3, 200.0], [120.8, 80.5], [60.0, 100.0]), mosaic)
    area = mosaic.pixel_scale_arcsec**2
    assert set(shard.scalars) == set(SCALARS)
    assert shard.scalars["sky"] * area == pytest.approx([0.01, 0.01], abs=0.0015)
    assert shard.scalars["sky_sigma"] * area == pytest.approx([0.002, 0.002], rel=0.25)
    assert shard.scalars["n_neighbours"].tolist() == [1, 0]
    assert (shard.scalars["snr"] > 100).all() and (shard.scalars["coverage"] == 1).all()
    ra, dec = wcs_of(SIZE).wcs_pix2world([100.3, 200.0], [120.8, 80.5], 0)
    np.testing.assert_allclose(shard.scalars["ra"], ra, atol=1e-7)
    np.testing.assert_allclose(shard.scalars["dec"], dec, atol=1e-7)


def test_sky_coordinates_do_as_well_as_pixels(mosaic):
    by_pixels = cut_stamps(objects([100.3], [120.8], [50.0]), mosaic)
    ra, dec = by_pixels.scalars["ra"], by_pixels.scalars["dec"]
    by_sky = cut_stamps({"object_id": np.array(["o0"]), "ra": ra, "dec": dec, "stamp_arcsec": np.array([50.0 * SCALE])}, mosaic)
    np.testing.assert_allclose(by_sky.pixels, by_pixels.pixels, rtol=1e-4)
    masked = objects([0.0], [0.0], [50.0], ra=ra, dec=dec) | {"x_pix": np.ma.masked_all(1), "y_pix": np.ma.masked_all(1)}
    assert cut_stamps(masked, mosaic).scalars["x_pix"][0] == pytest.approx(101.3, abs=1e-5)


def test_each_bad_object_has_its_status_and_costs_nothing_else(tmp_path):
    image = scene()
    image[20:60, 20:60] = np.nan
    image[150, 150] = np.inf
    image[200:290, 200:290] = 0
    image[200:290, 10:100] = 7.5
    mosaic = Mosaic(write_mosaic(tmp_path / "m.fits", image))
    cases = {
        "ok": (100.3, 120.8, 40),
        "outside_footprint": (-400, 100, 40),
        "partial_edge": (1.0, 120, 40),
        "partial_nan": (70, 40, 40),
        "nonfinite": (150, 150, 30),
        "blank_zero": (245, 245, 40),
        "blank_nan": (40, 40, 20),
        "blank_constant": (55, 245, 30),
        "too_small_zero": (100, 100, 0),
        "too_small_negative": (100, 100, -3),
        "too_small": (100, 100, 1.5),
        "failed_size": (100, 100, np.nan),
        "failed_position": (np.nan, 100, 40),
        "failed_huge": (100, 100, 1e9),
        "outside_footprint_corner": (299.5 + 19, 299.5 + 19, 40),
    }
    every = objects(*np.array(list(cases.values())).T) | {"object_id": np.array(list(cases))}
    shard = cut_stamps(every, mosaic)
    assert shard.object_id.tolist() == list(cases)
    for name, status, reason, pixels in zip(shard.object_id, shard.status, shard.reason, shard.pixels, strict=True):
        assert str(name).startswith(str(status)), (name, status, reason)
        assert np.isfinite(pixels).all() and pixels.any() == (status in ("ok", "partial"))
        assert bool(reason) == (status != "ok")
    alone = cut_stamps({name: values[:1] for name, values in every.items()}, mosaic)
    assert np.array_equal(alone.pixels[0], shard.pixels[0])
    assert read_after_write(tmp_path, shard).status.tolist() == shard.status.tolist()


def read_after_write(folder, shard):
    write_shard(folder / "s.arrow", shard)
    return read_shard(folder / "s.arrow")


def test_missing_pixels_take_the_local_sky(tmp_path):
    image = scene()
    image[:, 215:] = np.nan
    shard = cut_stamps(objects([200.0], [80.5], [60.0]), Mosaic(write_mosaic(tmp_path / "m.fits", image)), pixels=60)
    assert shard.status[0] == "partial" and shard.scalars["coverage"][0] == pytest.approx((214.5 - 170) / 60, abs=1e-6)
    np.testing.assert_allclose(shard.pixels[0, 0, :, -14:], shard.scalars["sky"][0], rtol=1e-5)


def test_a_weight_map_decides_what_was_observed(tmp_path):
    image, weight = scene(), np.ones((SIZE, SIZE), np.float32)
    image[118:124, 95:98] = 0  # exact zeros, but observed
    image[130:, :] = np.inf  # infinite, but never observed
    weight[130:, :] = 0
    mosaic = Mosaic(write_mosaic(tmp_path / "m.fits", image), write_mosaic(tmp_path / "w.fits", weight))
    shard = cut_stamps(objects([100.0, 100.0], [110.0, 120.0], [30.0, 40.0]), mosaic)
    assert shard.status.tolist() == ["ok", "partial"]
    assert shard.scalars["coverage"][1] == pytest.approx(29.5 / 40, abs=1e-6)


def test_little_coverage_is_not_usable(mosaic):
    shard = cut_stamps(objects([0.0, 0.0], [100.0, 100.0], [40.0, 40.0]) | {"object_id": np.array(["a", "b"])}, mosaic, min_coverage=0.6)
    assert shard.status.tolist() == ["outside_footprint"] * 2 and "observed" in shard.reason[0]


def test_positions_that_disagree_fail_and_a_foreign_grid_is_an_error(mosaic):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(60, 240, (2, 9))
    ra, dec = mosaic.wcs.wcs_pix2world(x, y, 0)
    dec[4] += 0.5 / 3600
    shard = cut_stamps(objects(x, y, np.full(9, 30.0), ra=np.round(ra, 4), dec=np.round(dec, 4)), mosaic)
    assert np.flatnonzero(shard.status != "ok").tolist() == [4] and "arcsec from (ra, dec)" in shard.reason[4]
    with pytest.raises(StampError, match="another grid"):
        cut_stamps(objects(x, y, np.full(9, 30.0), ra=ra, dec=dec + 1 / 3600), mosaic)


def test_a_stamp_does_not_depend_on_its_company_or_order(mosaic):
    rng = np.random.default_rng(4)
    x, y, side = rng.uniform(20, 280, 60), rng.uniform(20, 280, 60), rng.uniform(4, 90, 60)
    every = objects(x, y, side)
    whole = cut_stamps(every, mosaic, pixels=32)
    order = rng.permutation(60)[:37]
    part = cut_stamps({name: values[order] for name, values in every.items()}, mosaic, pixels=32)
    assert np.array_equal(part.pixels, whole.pixels[order]) and part.status.tolist() == whole.status[order].tolist()
    for name in SCALARS:
        assert np.array_equal(part.scalars[name], whole.scalars[name][order], equal_nan=True), name


def test_wrong_columns_and_duplicates_are_refused(mosaic):
    with pytest.raises(StampError, match="'o0' stands 2 times"):
        cut_stamps(objects([100.0, 100.0], [100.0, 100.0], [30.0, 30.0]) | {"object_id": np.array(["o0", "o0"])}, mosaic)
    with pytest.raises(StampError, match="need object_id"):
        cut_stamps({"object_id": np.array(["a"]), "x_pix": np.ones(1)}, mosaic)
    assert len(cut_stamps({k: v[:0] for k, v in objects([1.0], [1.0], [30.0]).items()}, mosaic)) == 0


def test_north_up_turns_what_is_turned_and_leaves_the_rest(tmp_path):
    mosaic = Mosaic(write_mosaic(tmp_path / "m.fits", scene(), rotation_deg=35.0))
    assert abs(mosaic.rotation_deg) == pytest.approx(35.0, abs=1e-6)
    chosen = objects([200.0], [80.5], [60.0])
    shard = cut_stamps(chosen, mosaic, pixels=30, orientation="north_up")
    target = WCS(naxis=2)
    target.wcs.ctype, target.wcs.crval, target.wcs.crpix = ["RA---TAN", "DEC--TAN"], [shard.scalars["ra"][0], shard.scalars["dec"][0]], [15.5, 15.5]
    target.wcs.cdelt = [-2 * SCALE / 3600, 2 * SCALE / 3600]
    expected = reproject_exact((scene().astype(float), wcs_of(SIZE, rotation_deg=35.0)), target, shape_out=(30, 30), parallel=False, return_footprint=False)
    np.testing.assert_allclose(shard.pixels[0, 0] * SCALE**2, expected, rtol=1e-4)
    straight = Mosaic(write_mosaic(tmp_path / "s.fits", scene(), rotation_deg=0.01))
    assert np.array_equal(cut_stamps(chosen, straight, orientation="north_up").pixels, cut_stamps(chosen, straight).pixels)


def test_a_shard_over_fields_and_bands_loses_no_row(tmp_path):
    good, truncated = write_mosaic(tmp_path / "good.fits", scene()), tmp_path / "truncated.fits"
    truncated.write_bytes(good.read_bytes()[:100_000])
    entry = {"status": "ok", "image": str(good), "weight": None}
    manifests = {
        "a": {"field": "a", "bands": {"f160w": entry, "f225w": {"status": "absent", "image": None, "weight": None}}},
        "b": {"field": "b", "bands": {"f160w": entry | {"image": str(truncated)}, "f606w": entry}},
    }
    (tmp_path / "b.json").write_text(json.dumps(manifests["b"]))
    fields, bands = np.array(["b", "a", "a", "b", "a"]), np.array(["f160w", "f160w", "f225w", "f606w", "f160w"])
    every = objects([100.0] * 5, [120.0] * 5, [40.0] * 4 + [0.0], field=fields, band=bands)
    shard = cut_shard(every, {"a": manifests["a"], "b": tmp_path / "b.json"}, pixels=40)
    assert shard.object_id.tolist() == every["object_id"].tolist()
    assert shard.status.tolist() == ["failed", "ok", "absent", "ok", "too_small"]
    assert "truncated" in shard.reason[0] and "f225w" in shard.reason[2]
    read_after_write(tmp_path, shard)
    with pytest.raises(StampError, match="'b'"):
        cut_shard(every, {"a": manifests["a"]})


# real pixels


def test_the_nine_candels_stamps(shared_data):
    paths = sorted((shared_data / "candels_clash_hst" / "candels_gds_slim").glob("*.fits"))
    assert len(paths) == 9
    for path in paths:
        mosaic = Mosaic(path, hdu="H")
        data = fits.getdata(path, "H").astype(float)
        assert mosaic.pixel_scale_arcsec == pytest.approx(0.06, rel=1e-4)
        # F160W of WFC3: AB zero point 25.96
        assert mosaic.to_microjansky == pytest.approx(10 ** ((23.9 - 25.956) / 2.5), rel=2e-3)
        ra, dec = WCS(fits.getheader(path, "H")).wcs_pix2world(41.5, 41.5, 0)
        shard = cut_stamps(
            {"object_id": np.array([path.stem]), "ra": np.array([ra]), "dec": np.array([dec]), "stamp_arcsec": np.array([84 * 0.06])}, mosaic, pixels=84
        )
        assert shard.status[0] == "ok" and shard.scalars["snr"][0] > 5 and shard.scalars["sky_sigma"][0] > 0
        flux = shard.pixels.sum(dtype=float) * shard.scalars["pixel_scale_arcsec"][0] ** 2 / mosaic.to_microjansky
        # the stamp is 84.0001 px wide (the header's 0.06 arcsec is rounded), so edges differ in the fifth digit
        assert flux == pytest.approx(data.sum(), rel=1e-3, abs=0.02)


def test_the_clash_stamp(shared_data):
    path = shared_data / "candels_clash_hst" / "a611_f475w_860.fits"
    mosaic = Mosaic(path)
    assert mosaic.pixel_scale_arcsec == pytest.approx(0.065, rel=1e-4) and not mosaic.wcs.has_distortion
    data = fits.getdata(path)
    shard = cut_stamps(objects([23.5], [23.5], [48.0]), mosaic, pixels=48)
    assert shard.status[0] == "ok"
    np.testing.assert_allclose(shard.pixels[0, 0] * mosaic.pixel_scale_arcsec**2 / mosaic.to_microjansky, data, rtol=2e-3)
    full = cut_stamps(objects([23.5, 40.0], [23.5, 40.0], [47.9, 47.9]), mosaic)
    assert full.status.tolist() == ["ok", "partial"] and full.pixels.shape == (2, 1, 80, 80)


def test_a_crowded_frontier_field(shared_data, tmp_path):
    for name in ("dwarf", "cd"):
        packed = shared_data / "candels_clash_hst" / "abell2744_hff" / f"abell_2744_{name}_galaxy_f105w.fits.gz"
        with pytest.raises(StampError, match="gunzip"):
            Mosaic(packed)
        path = tmp_path / f"{name}.fits"
        path.write_bytes(gzip.decompress(packed.read_bytes()))
        mosaic = Mosaic(path)
        assert mosaic.pixel_scale_arcsec == pytest.approx(0.06, rel=1e-3)
        n = mosaic.shape[0]
        grid = np.linspace(10, n - 10, 8)
        x, y = (v.ravel() for v in np.meshgrid(grid, grid))
        shard = cut_stamps({"object_id": np.arange(64).astype(str), "x_pix": x + 1, "y_pix": y + 1, "stamp_arcsec": np.full(64, 3.0)}, mosaic)
        assert set(shard.status) == {"ok", "partial"} and shard.scalars["n_neighbours"].sum() > 0


def test_exact_zeros_are_unobserved(shared_data):
    path = shared_data / "responses" / "legacysurvey" / "example_bad_pix.fits"
    statuses = []
    for plane in range(3):
        mosaic = Mosaic(path, plane=plane, zero_point=22.5)
        side = 424 * mosaic.pixel_scale_arcsec
        shard = cut_stamps(
            {"object_id": np.array(["x"]), "x_pix": np.array([212.5]), "y_pix": np.array([212.5]), "stamp_arcsec": np.array([side])}, mosaic, min_coverage=0.0
        )
        statuses.append(str(shard.status[0]))
        zeros = (fits.getdata(path)[plane] == 0).mean()
        assert shard.scalars["coverage"][0] == pytest.approx(1 - zeros, abs=1e-3)
    assert statuses[2] == "ok" and "ok" not in statuses[:2]
