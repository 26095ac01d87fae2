"""Bad objects and bad mosaics on the way from a catalogue to the ledger: each gets its status and its reason, and costs no other object anything.

What one mosaic does with each kind of window is in `stamps/test_cut.py`; here the functions that the rules call are joined as the rules join them.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork import tables
from tuningfork.errors import SampleError, StampError
from tuningfork.files import write_json
from tuningfork.samples.build import finish_sample, select_mosaic_sample
from tuningfork.samples.ledger import assert_conserved
from tuningfork.samples.select import stamp_id
from tuningfork.stamps.rows import ledger_of, rows_of_shard
from tuningfork.stamps.shard import cut_objects
from tuningfork.stamps.sizes import measure_sample
from tuningfork.stamps.store import StampShard, read_shard, usable, write_shard

SIZE, SCALE, FIELD = 240, 0.065, "SIM-X"
TARGETS = ("p_a", "p_b")
SPEC = {
    "kind": "mosaic",
    "bands": ["f606w", "f160w"],
    "select": {"magnitude_limit": 24.5, "magnitude": "own_filter"},
    "size": {"source": "catalogue"},
    "stamp": {"petrosian_radii": 4.0},
    "match": None,
    "labels": None,
    "targets": list(TARGETS),
    "task": "fractions",
    "split": {"by": "galaxy", "column": None, "seed": 1, "validation": 0.2, "test": 0.2, "healpix_nside": 4096},
    "shards": {"healpix_nside": 32768},
}

# name -> x, y (FITS pixels), Petrosian radius in pixels, status, words of the reason
OBJECTS = {
    "whole": (60.3, 60.7, 8.0, "ok", ""),
    "another": (120.0, 45.0, 6.0, "ok", ""),
    "off_image": (-300.0, 50.0, 8.0, "outside_footprint", "does not touch"),
    "far_off": (9000.0, 9000.0, 8.0, "outside_footprint", "does not touch"),
    "half_off": (2.0, 120.0, 8.0, "partial", "off the image"),
    "nan_beside": (44.0, 170.0, 8.0, "partial", "was observed"),
    "nan_all": (22.0, 170.0, 3.0, "blank", "0.0% of the window was observed"),
    "infinite": (200.0, 30.0, 5.0, "nonfinite", "infinite pixels"),
    "zeros": (200.0, 120.0, 4.0, "blank", "0.0% of the window was observed"),
    "constant": (200.0, 200.0, 4.0, "blank", "the same value"),
    "zero_radius": (100.0, 100.0, 0.0, "failed", "no size"),
    "negative_radius": (101.0, 101.0, -4.0, "failed", "no size"),
    "nan_radius": (102.0, 102.0, np.nan, "failed", "no size"),
    "masked_radius": (103.0, 103.0, None, "failed", "no size"),
    "tiny_radius": (104.0, 104.0, 0.1, "too_small", "0.40 native pixels"),
    "huge_radius": (105.0, 105.0, 1e7, "failed", "more than 8192 native pixels"),
    "wrong_sky": (110.0, 60.0, 6.0, "failed", "arcsec from (ra, dec)"),
    "sky_only": (140.0, 140.0, 6.0, "ok", ""),
    "pixels_only": (150.0, 60.0, 6.0, "ok", ""),
    "no_position": (160.0, 60.0, 6.0, "failed", "no position"),
}


def wcs() -> WCS:
    made = WCS(naxis=2)
    made.wcs.ctype, made.wcs.crval, made.wcs.crpix = ["RA---TAN", "DEC--TAN"], [322.36, -7.69], [SIZE / 2, SIZE / 2]
    made.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    return made


def image(seed: int = 0) -> np.ndarray:
    """Noise, a galaxy at every object, and a patch of each evil."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(0.01, 0.002, (SIZE, SIZE))
    y, x = np.mgrid[1 : SIZE + 1, 1 : SIZE + 1]
    for x0, y0, *_ in OBJECTS.values():
        pixels += 0.4 * np.exp(-np.hypot(x - x0, y - y0) / 2.5)
    pixels[140:200, :32] = np.nan
    pixels[28, 201] = np.inf
    pixels[100:140, 180:220] = 0
    pixels[180:220, 180:220] = 3.25
    return pixels.astype(np.float32)


def write_fits(path: Path, pixels: np.ndarray, *, with_wcs: bool = True) -> Path:
    header = wcs().to_header() if with_wcs else fits.Header()
    header["ABMAGZP"] = 23.9
    fits.PrimaryHDU(pixels, header).writeto(path)
    return path


def entry(path: Path | None, weight: Path | None = None) -> dict:
    return {"status": "ok" if path else "absent", "image": str(path) if path else None, "weight": str(weight) if weight else None}


def write_manifest(folder: Path, bands: dict[str, dict]) -> Path:
    path = folder / f"{FIELD}.json"
    write_json(path, {"field": FIELD, "simulated": True, "bands": bands, "detection": bands["f160w"]})
    return path


def catalogue(objects: dict[str, tuple]) -> Table:
    """A published table in the common columns."""
    names = list(objects)
    x, y = (np.array([objects[name][axis] for name in names]) for axis in (0, 1))
    ra, dec = wcs().wcs_pix2world(x, y, 1)
    radius = [objects[name][2] for name in names]
    table = Table()
    table["galaxy_id"] = table["catalogue_id"] = [f"{FIELD}_{name}" for name in names]
    table["field"] = np.full(len(names), FIELD)
    table["ra"], table["dec"] = MaskedColumn(ra), MaskedColumn(dec)
    table["x_pix"], table["y_pix"] = MaskedColumn(x), MaskedColumn(y)
    table["petrosian_radius_arcsec"] = MaskedColumn([0.0 if r is None else r * SCALE for r in radius], mask=[r is None for r in radius])
    for band in SPEC["bands"]:
        table[f"mag_{band}"] = MaskedColumn(np.full(len(names), 22.0))
        table[f"mag_err_{band}"] = MaskedColumn(np.full(len(names), 0.1))
    table["p_a"], table["p_b"] = np.full(len(names), 0.25), np.full(len(names), 0.75)
    if "wrong_sky" in names:
        table["dec"][names.index("wrong_sky")] += 2 / 3600
    for columns, without in ((("x_pix", "y_pix"), ("sky_only", "no_position")), (("ra", "dec"), ("pixels_only", "no_position"))):
        for column in columns:
            table[column].mask |= np.isin(names, without)
    table.meta["origin"] = {"simulated": True}
    return table


def follow(folder: Path, selected: Table, manifest: Path, spec: dict = SPEC, sizes: Table | None = None) -> tuple[Table, dict[str, StampShard]]:
    """From the selected objects to the ledger as the rules go, through their files; also every stamp by its id."""
    tables.write(selected, folder / "selected.parquet")
    objects, index = finish_sample(tables.read(folder / "selected.parquet"), spec, sizes)
    tables.write(objects, folder / "objects.parquet")
    paths = []
    for name in index["shards"]:
        shard = cut_objects(rows_of_shard(folder / "objects.parquet", name), [str(manifest)], pixels=16, orientation="native")
        paths.append(folder / f"{name}.arrow")
        write_shard(paths[-1], shard)
    ledger = ledger_of(paths)
    assert_conserved(selected["object_id"], ledger)
    stamps = {}
    for path in paths:
        shard = read_shard(path)
        stamps |= {str(name): shard.pixels[i] for i, name in enumerate(shard.object_id)}
    return ledger, stamps


def by_name(ledger: Table, band: str) -> dict[str, tuple[str, str]]:
    """Status and reason of each object of a band, by the name it has above."""
    rows = zip(ledger["object_id"].tolist(), ledger["status"].tolist(), ledger["reason"].tolist(), strict=True)
    return {identifier.removeprefix(f"{FIELD}_").replace(f"{band}_", ""): (status, reason) for identifier, status, reason in rows if f"_{band}_" in identifier}


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fits(tmp_path_factory.mktemp("mosaic") / "good.fits", image())


@pytest.fixture(scope="module")
def clean(mosaic: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, dict]:
    """The ledger and stamps where both mosaics are whole."""
    folder = tmp_path_factory.mktemp("clean")
    manifest = write_manifest(folder, dict.fromkeys(SPEC["bands"], entry(mosaic)))
    return follow(folder, select_mosaic_sample(catalogue(OBJECTS), SPEC), manifest)


@pytest.mark.parametrize("band", SPEC["bands"])
def test_each_bad_object_has_its_status_and_reason(clean, band):
    found = by_name(clean[0], band)
    assert set(found) == set(OBJECTS)
    for name, (*_, status, words) in OBJECTS.items():
        assert found[name][0] == status, (name, found[name])
        assert words in found[name][1] and bool(words) == bool(found[name][1]), (name, found[name])


def test_bad_objects_cost_the_others_nothing(clean, mosaic, tmp_path):
    good = {name: values for name, values in OBJECTS.items() if values[3] in ("ok", "partial")}
    manifest = write_manifest(tmp_path, dict.fromkeys(SPEC["bands"], entry(mosaic)))
    ledger, stamps = follow(tmp_path, select_mosaic_sample(catalogue(good), SPEC), manifest)
    assert len(ledger) == 2 * len(good)
    for name, pixels in stamps.items():
        np.testing.assert_array_equal(pixels, clean[1][name])
        assert pixels.any() and np.isfinite(pixels).all()


def truncated(folder: Path, good: Path) -> dict:
    (folder / "bad.fits").write_bytes(good.read_bytes()[:60_000])
    return entry(folder / "bad.fits")


def empty(folder: Path, good: Path) -> dict:
    (folder / "bad.fits").write_bytes(b"")
    return entry(folder / "bad.fits")


def page(folder: Path, good: Path) -> dict:
    (folder / "bad.fits").write_bytes(b"<!DOCTYPE html><html>Scheduled maintenance</html>")
    return entry(folder / "bad.fits")


def gone(folder: Path, good: Path) -> dict:
    return entry(folder / "bad.fits")


def without_wcs(folder: Path, good: Path) -> dict:
    return entry(write_fits(folder / "bad.fits", image(), with_wcs=False))


def weight_cut(folder: Path, good: Path) -> dict:
    (folder / "bad.fits").write_bytes(good.read_bytes()[:60_000])
    return entry(good, folder / "bad.fits")


def weight_of_another_shape(folder: Path, good: Path) -> dict:
    return entry(good, write_fits(folder / "bad.fits", image()[:100]))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (truncated, r"truncated, the header promises \d+ bytes and the file has 60000; delete it and download it again"),
        (empty, "not a FITS file .*delete it and download it again"),
        (page, "not a FITS file .*delete it and download it again"),
        (gone, "cannot be read .*download the mosaic again"),
        (without_wcs, r"no celestial WCS in the header .*take the drizzled mosaic"),
        (weight_cut, "truncated"),
        (weight_of_another_shape, r"weight of shape \(100, 240\) for an image of \(240, 240\).*same release"),
    ],
)
def test_a_bad_mosaic_fails_its_own_objects_alone(clean, mosaic, tmp_path, make, words):
    manifest = write_manifest(tmp_path, {"f606w": make(tmp_path, mosaic), "f160w": entry(mosaic)})
    ledger, stamps = follow(tmp_path, select_mosaic_sample(catalogue(OBJECTS), SPEC), manifest)
    lost = by_name(ledger, "f606w")
    assert {status for status, _ in lost.values()} == {"failed"} and len(lost) == len(OBJECTS)
    for _, reason in lost.values():
        assert "bad.fits" in reason
    assert by_name(ledger, "f160w") == by_name(clean[0], "f160w")
    assert all(re.search(words, reason) for _, reason in lost.values()), next(iter(lost.values()))
    for name, pixels in stamps.items():
        if "_f160w_" in name:
            np.testing.assert_array_equal(pixels, clean[1][name])
        else:
            assert not pixels.any()


def test_an_absent_band_is_absent_for_every_object_in_it(clean, mosaic, tmp_path):
    manifest = write_manifest(tmp_path, {"f606w": entry(None), "f160w": entry(mosaic)})
    ledger, _ = follow(tmp_path, select_mosaic_sample(catalogue(OBJECTS), SPEC), manifest)
    assert {status for status, _ in by_name(ledger, "f606w").values()} == {"absent"}
    assert by_name(ledger, "f160w") == by_name(clean[0], "f160w")


def test_a_constant_mosaic_is_blank_and_one_of_nan_too(tmp_path):
    flat = {"f606w": np.full((SIZE, SIZE), 7.5, np.float32), "f160w": np.full((SIZE, SIZE), np.nan, np.float32)}
    manifest = write_manifest(tmp_path, {band: entry(write_fits(tmp_path / f"{band}.fits", pixels)) for band, pixels in flat.items()})
    some = {name: OBJECTS[name] for name in ("whole", "another", "half_off", "off_image", "zero_radius")}
    ledger, stamps = follow(tmp_path, select_mosaic_sample(catalogue(some), SPEC), manifest)
    for band in flat:
        statuses = {name: status for name, (status, _) in by_name(ledger, band).items()}
        assert statuses == dict.fromkeys(("whole", "another", "half_off"), "blank") | {"off_image": "outside_footprint", "zero_radius": "failed"}
    assert not any(pixels.any() for pixels in stamps.values())


def test_objects_without_a_counterpart_fail_with_that_reason(clean, mosaic, tmp_path):
    """One row, one reason; the reason from before any pixel was read goes first."""
    table = catalogue(OBJECTS)
    partners = table["field", "ra", "dec", "mag_f160w"].copy()
    partners["flags"] = np.arange(len(partners))
    partners["dec"][np.isin(list(OBJECTS), ("another", "infinite"))] += 5 / 3600
    spec = SPEC | {"match": {"name": "other", "radius_arcsec": 0.4, "magnitude_difference": 0.5}}
    manifest = write_manifest(tmp_path, dict.fromkeys(SPEC["bands"], entry(mosaic)))
    selected = select_mosaic_sample(table, spec, matched=partners)
    ledger, stamps = follow(tmp_path, selected, manifest, spec)
    for band in SPEC["bands"]:
        found, before = by_name(ledger, band), by_name(clean[0], band)
        for name in ("another", "infinite", "pixels_only", "no_position"):  # the last two have no place on the sky
            assert found.pop(name) == ("failed", "no counterpart in other within 0.4 arcsec and 0.5 mag")
            assert not stamps[stamp_id(np.array([f"{FIELD}_{name}"]), band)[0]].any()
        assert found == {name: before[name] for name in found}


def test_measured_sizes_of_bad_objects_lose_none(mosaic, tmp_path):
    """Sizes from the image: what cannot be measured still ends in the ledger, with the status of its pixels."""
    spec = SPEC | {"size": {"source": "image"}}
    manifest = write_manifest(tmp_path, dict.fromkeys(SPEC["bands"], entry(mosaic)))
    some = {name: values for name, values in OBJECTS.items() if name not in ("wrong_sky", "sky_only", "pixels_only", "no_position")}
    selected = select_mosaic_sample(catalogue(some), spec)
    sizes = measure_sample(selected, [manifest])
    assert sizes["object_id"].tolist() == selected["object_id"].tolist()
    ledger, _ = follow(tmp_path, selected, manifest, spec, sizes)
    found = by_name(ledger, "f160w")
    assert set(found) == set(some) and found == by_name(ledger, "f606w")
    for name, (*_, status, _) in some.items():
        if status in ("ok", "partial") or name.endswith("radius"):  # the radius of the catalogue is not used here, so that a bad one does no harm
            assert found[name][0] in ("ok", "partial"), (name, found[name])
        if status == "outside_footprint" or name == "nan_all":
            assert found[name][0] == status and found[name][1], (name, found[name])


def test_sizes_of_another_selection_are_refused(mosaic, tmp_path):
    spec = SPEC | {"size": {"source": "image"}}
    manifest = write_manifest(tmp_path, dict.fromkeys(SPEC["bands"], entry(mosaic)))
    selected = select_mosaic_sample(catalogue({name: OBJECTS[name] for name in ("whole", "another")}), spec)
    sizes = measure_sample(selected, [manifest])
    with pytest.raises(SampleError, match="belong to other objects"):
        finish_sample(selected[:1], spec, sizes)


# what no sample can be made of


def test_duplicate_ids_are_named():
    table = catalogue({name: OBJECTS[name] for name in ("whole", "another", "half_off")})
    twice = table[[0, 1, 2, 1]]
    with pytest.raises(SampleError, match=f"{FIELD}_another"):
        select_mosaic_sample(twice, SPEC)
    single = twice.copy()
    single.remove_columns(["mag_f606w", "mag_err_f606w"])
    with pytest.raises(SampleError, match=f"{FIELD}_another"):
        select_mosaic_sample(single, SPEC | {"bands": ["f160w"]})
    labels = Table({"ID": [f"{FIELD}_f160w_whole"] * 2, "p_a": [0.5, 0.5], "p_b": [0.5, 0.5]})
    with pytest.raises(SampleError, match=f"{FIELD}_f160w_whole"):
        select_mosaic_sample(table, SPEC | {"labels": {"id_column": "ID"}}, label_table=labels)


def test_duplicate_ids_in_a_shard_are_named(mosaic, tmp_path):
    manifest = write_manifest(tmp_path, {"f160w": entry(mosaic)})
    selected = select_mosaic_sample(catalogue({"whole": OBJECTS["whole"]}), SPEC | {"bands": ["f160w"]})
    rows = {name: np.repeat(np.ma.filled(np.ma.asarray(selected[name]), 0), 2) for name in ("object_id", "field", "band", "ra", "dec", "stamp_arcsec")}
    with pytest.raises(StampError, match=f"{FIELD}_f160w_whole' stands 2 times"):
        cut_objects(rows, [str(manifest)], pixels=16, orientation="native")


def test_an_empty_catalogue_or_selection_is_an_error():
    table = catalogue({name: OBJECTS[name] for name in ("whole", "another")})
    with pytest.raises(SampleError, match="no rows"):
        select_mosaic_sample(table[:0], SPEC)
    with pytest.raises(SampleError, match="no galaxy passes own_filter < 10"):
        select_mosaic_sample(table, SPEC | {"select": {"magnitude_limit": 10.0, "magnitude": "own_filter"}})
    with pytest.raises(SampleError, match="no column 'mag_f850lp'"):
        select_mosaic_sample(table, SPEC | {"bands": ["f850lp", "f160w"]})


def test_a_field_without_manifest_is_an_error_and_no_status(mosaic, tmp_path):
    selected = select_mosaic_sample(catalogue({"whole": OBJECTS["whole"]}), SPEC)
    rows = {name: np.ma.filled(np.ma.asarray(selected[name]), 0) for name in ("object_id", "field", "band", "ra", "dec", "stamp_arcsec")}
    with pytest.raises(StampError, match=f"no manifest of the mosaics of field '{FIELD}'"):
        cut_objects(rows, [], pixels=16, orientation="native")
    (tmp_path / f"{FIELD}.json").write_text('{"field": "SIM-X", "bands": {"f1')
    with pytest.raises(StampError, match=r"cannot be read .*delete it and run again"):
        cut_objects(rows, [str(tmp_path / f"{FIELD}.json")], pixels=16, orientation="native")


# anything at all

number = st.one_of(st.floats(-50, SIZE + 50), st.sampled_from([np.nan, 0.0, -1.0, 1.0, 0.5, float(SIZE), SIZE + 0.5, 1e-300, -1e5, 1e5]), st.floats(0.01, 40))


@given(rows=st.lists(st.tuples(number, number, number), min_size=1, max_size=12))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_whatever_stands_in_the_catalogue_every_object_has_one_status(mosaic, clean, tmp_path_factory, rows):
    """Positions and radii of any kind beside one good object: it comes out as ever, and the others each with a status and, if not whole, a reason."""
    folder = tmp_path_factory.mktemp("any")
    manifest = write_manifest(folder, dict.fromkeys(SPEC["bands"], entry(mosaic)))
    objects = {"whole": OBJECTS["whole"]} | {f"n{i}": row for i, row in enumerate(rows)}
    table = catalogue(objects)
    unknown = ~(np.isfinite(table["x_pix"]) & np.isfinite(table["y_pix"]))
    table["ra"][unknown], table["dec"][unknown] = 322.36, -7.69  # no pixels, but coordinates
    table["x_pix"].mask |= unknown
    table["y_pix"].mask |= unknown
    spec = SPEC | {"shards": {"healpix_nside": 64}}
    ledger, stamps = follow(folder, select_mosaic_sample(table, spec), manifest, spec)
    assert len(ledger) == 2 * len(objects)
    for identifier, status, reason in zip(ledger["object_id"].tolist(), ledger["status"].tolist(), ledger["reason"].tolist(), strict=True):
        good = bool(usable(np.array([status]))[0])
        assert stamps[identifier].any() == good and np.isfinite(stamps[identifier]).all()
        assert bool(reason) == (status != "ok")
    for band in SPEC["bands"]:
        np.testing.assert_array_equal(stamps[f"{FIELD}_{band}_whole"], clean[1][f"{FIELD}_{band}_whole"])
