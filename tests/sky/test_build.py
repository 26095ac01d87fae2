"""The rendered tree: complete, reproducible, laid out and labelled as the archives' own."""

import csv
import dataclasses
import re
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from tuningfork import tables
from tuningfork.files import read_json, sha256_of
from tuningfork.sky.bands import BANDS
from tuningfork.sky.build import render_sky
from tuningfork.sky.parameters import CLASSES, SkyParameters

IMAGES = "mast/missions/hlsp/clash/{0}/data/hst/scale_65mas/hlsp_clash_hst_{1}_{0}_{2}_v1_{3}.fits"
CATALOGUE = "mast/missions/hlsp/clash/{0}/catalogs/molino/hlsp_clash_hst_ir_{0}_cat-molino.txt"
SMALL = {"goodss_side_px": 250, "clusters": ("SIM-A",), "cluster_side_px": 220, "absent": (), "clash_labels": 12, "bands": ("f606w", "f140w", "f160w")}


def read_molino(path) -> Table:
    lines = path.read_text().splitlines()
    names = next(line for line in lines if line.startswith("# CLASHID")).lstrip("# ").split()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return Table(
        {
            name: values if name in ("CLASHID", "clusterName", "SpeczRefer") else np.array(values, float)
            for name, values in zip(names, zip(*rows, strict=True), strict=True)
        }
    )


def open_wcs(header) -> WCS:
    """The projection without the distortion that a drizzled mosaic no longer has (see the next test)."""
    return WCS(fits.Header([card for card in header.cards if not re.match(r"[AB]_(ORDER|\d_\d)$", card.keyword)]))


def test_the_manifest_lists_every_file_with_its_digest(tiny_sky, tiny_parameters):
    manifest = read_json(tiny_sky / "sky.json")
    on_disk = {path.relative_to(tiny_sky).as_posix() for path in tiny_sky.rglob("*") if path.is_file()} - {"sky.json"}
    assert set(manifest["files"]) == on_disk
    assert manifest["simulated"] is True and manifest["key"] == tiny_parameters.key()
    some = sorted(on_disk)[::7]
    assert {name: manifest["files"][name] for name in some} == {name: sha256_of(tiny_sky / name) for name in some}


def test_the_absent_filter_is_absent_and_all_others_stand_there(tiny_sky, tiny_parameters):
    for cluster in tiny_parameters.clusters:
        for band in tiny_parameters.bands:
            for kind in ("drz", "wht"):
                path = tiny_sky / IMAGES.format(cluster, BANDS[band].instrument, band, kind)
                assert path.is_file() == ((cluster, band) not in tiny_parameters.absent), path
        assert (tiny_sky / IMAGES.format(cluster, "wfc3ir", "total", "drz")).is_file()
    assert (tiny_sky / "mast/missions/hlsp/hlf/goods-s/hlsp_hlf_hst_wfc3-60mas_goodss_f160w_v1.5_sci.fits").is_file()


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    digests = [
        read_json(render_sky(SkyParameters(seed=seed, **SMALL), tmp_path / name, progress=False))["files"] for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    ]
    assert digests[0] == digests[1]
    assert set(digests[0]) == set(digests[2])
    same = {name for name, digest in digests[0].items() if digests[2][name] == digest}
    assert all("goodss" in name and name.endswith("_wht.fits") for name in same)  # its depth is laid out, not drawn


def test_rendering_over_an_older_sky_leaves_none_of_it(tmp_path):
    first = SkyParameters(seed=1, **SMALL)
    render_sky(first, tmp_path, progress=False)
    (tmp_path / "notes.txt").write_text("mine")
    second = dataclasses.replace(first, clusters=("SIM-Z",))
    manifest = read_json(render_sky(second, tmp_path, progress=False))
    assert not (tmp_path / "mast/missions/hlsp/clash/SIM-A").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine" and "notes.txt" not in manifest["files"]


def test_every_product_says_that_it_is_simulated(tiny_sky):
    for path in tiny_sky.rglob("*.fits"):
        header = fits.getheader(path)
        assert header["SIMULATE"] is True and "DATE" not in header and "DATE-OBS" not in header
        assert "simulated" in header["ORIGIN"].lower()
    assert "SIMULATED" in (tiny_sky / CATALOGUE.format("SIM-A")).read_text()[:400]


def test_catalogue_pixels_and_sky_agree_to_the_four_decimals_of_the_catalogue(tiny_sky):
    for band, instrument in (("f160w", "wfc3ir"), ("f606w", "acs")):
        wcs = open_wcs(fits.getheader(tiny_sky / IMAGES.format("SIM-A", instrument, band, "drz")))
        table = read_molino(tiny_sky / CATALOGUE.format("SIM-A"))
        ra, dec = wcs.all_pix2world(table["x"], table["y"], 1)
        apart = np.hypot((ra - table["RA"]) * np.cos(np.radians(dec)), dec - table["Dec"]) * 3600
        assert apart.max() < 0.3
        assert 0.05 < np.sqrt(np.mean(apart**2)) < 0.25  # rounding to 1e-4 deg: 0.1 arcsec rms an axis
        x, y = wcs.all_world2pix(ra, dec, 1)
        np.testing.assert_allclose([x, y], [table["x"], table["y"]], atol=1e-6)


def test_acs_headers_keep_distortion_that_the_mosaic_no_longer_has(tiny_sky):
    header = fits.getheader(tiny_sky / IMAGES.format("SIM-A", "acs", "f606w", "drz"))
    assert "A_ORDER" in header and "-SIP" not in header["CTYPE1"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        naive = WCS(header)
    corner = naive.all_pix2world([[1, 1]], 1) - open_wcs(header).all_pix2world([[1, 1]], 1)
    assert np.abs(corner).max() * 3600 > 0.02


def test_stars_are_where_the_catalogue_says(tiny_sky):
    """Centroids on the F160W image, where the truth has bright point sources."""
    truth = tables.read(tiny_sky / "truth.parquet")
    stars = truth[(np.asarray(truth["kind"]) == "point source") & (np.asarray(truth["band"]) == "f160w") & (np.asarray(truth["magnitude"]) < 23)]
    found = 0
    for row in stars:
        name = (
            "mast/missions/hlsp/hlf/goods-s/hlsp_hlf_hst_wfc3-60mas_goodss_f160w_v1.5_sci.fits"
            if row["field"] == "goodss"
            else IMAGES.format(row["field"], "wfc3ir", "f160w", "drz")
        )
        image = fits.getdata(tiny_sky / name)
        column, line = round(row["x"]) - 1, round(row["y"]) - 1
        cut = image[line - 3 : line + 4, column - 3 : column + 4]
        if cut.shape != (7, 7) or not np.isfinite(cut).all() or cut.min() <= -1:
            continue
        peak = np.unravel_index(cut.argmax(), cut.shape)
        found += np.hypot(peak[0] - 3, peak[1] - 3) <= 1.5
    assert found >= 0.8 * len(stars) and len(stars) >= 3


def test_the_text_file_has_the_columns_of_the_real_one(tiny_sky, shared_data):
    real = next((shared_data / "responses" / "mast").glob("*macs2129*cat-molino.txt")).read_text().splitlines()
    names = next(line for line in real if line.lstrip("# ").startswith("CLASHID  clusterName")).lstrip("# ").split()
    table = read_molino(tiny_sky / CATALOGUE.format("SIM-A"))
    assert table.colnames == names
    row = next(line for line in real if line.startswith("clash_"))
    mine = next(line for line in (tiny_sky / CATALOGUE.format("SIM-A")).read_text().splitlines() if line.startswith("clash_"))
    for theirs, ours in list(zip(row.split(), mine.split(), strict=True))[2:100]:
        assert len(theirs.partition(".")[2]) == len(ours.partition(".")[2]), (theirs, ours)
    assert mine.count(" ") >= 2 * 101 - 1 and mine.endswith("   ")


def test_missing_values_are_99_on_mast_and_blank_on_vizier_but_for_the_limits(tiny_sky):
    text = read_molino(tiny_sky / CATALOGUE.format("SIM-B"))
    vizier = tables.read(tiny_sky / "vizier/J/MNRAS/470/95/SIM-B.parquet")
    assert len(vizier.colnames) == 103
    undetected = text["F275W_WFC3_PHOTOZ"] == 99
    assert undetected.any()
    np.testing.assert_array_equal(np.ma.getmaskarray(vizier["F275WPZ"]), undetected | (text["F275W_WFC3_PHOTOZ"] == -99))
    np.testing.assert_array_equal(np.ma.getmaskarray(vizier["e_F275WPZ"]), False)
    assert len(np.unique(text["dF275W_WFC3_PHOTOZ"][undetected])) == 1
    assert (text["F475W_ACS_PHOTOZ"] == -99).all() and np.ma.getmaskarray(vizier["F475WPZ"]).all()
    assert vizier["RABdeg"].unit == "deg" and vizier["RABdeg"][0] < 400 and vizier["RABdeg"][0] == text["BCG_pos_RA"][0]


def test_rp_is_in_steps_with_a_floor_and_a_cap(tiny_sky):
    rp = np.concatenate([np.asarray(read_molino(tiny_sky / CATALOGUE.format(name))["rp"]) for name in ("SIM-A", "SIM-B")])
    assert set(np.unique(rp)) <= {0.0, 3.5, *np.round(np.arange(6, 17) * 0.66, 2)}
    assert (rp == 3.5).any()


def test_labels_belong_to_stamps_bright_enough_in_their_own_filter(tiny_sky, tiny_parameters):
    with open(tiny_sky / "github/mperezcarrasco/CLASH/master/CLASH/CLASH_labels.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["ID", *CLASSES] and len(rows) == tiny_parameters.clash_labels
    assert len({row["ID"] for row in rows}) == len(rows)
    catalogues = {name: read_molino(tiny_sky / CATALOGUE.format(name)) for name in tiny_parameters.clusters}
    for row in rows:
        cluster, band, number = row["ID"].split("_")
        assert (cluster, band) not in tiny_parameters.absent
        catalogue = catalogues[cluster]
        at = list(catalogue["CLASHID"]).index(f"clash_{cluster}_nir_{int(number):04d}")
        assert 0 < catalogue[f"{BANDS[band].column}_PHOTOZ"][at] <= 24.5
        assert sum(float(row[name]) for name in CLASSES) == pytest.approx(1, abs=1e-8)


def test_guo_joins_kartaltepe_by_position_though_not_by_number_and_both_are_off_the_mosaic(tiny_sky, tiny_parameters):
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    visual = tables.read(tiny_sky / "vizier/J/ApJS/221/11/table3.parquet")
    visual = visual[visual["Depth"] == 2]
    guo = tables.read(tiny_sky / "vizier/J/ApJS/207/24/catalog.parquet")
    left = SkyCoord(visual["RAdeg"], visual["DEdeg"], unit="deg")
    right = SkyCoord(guo["RAJ2000"], guo["DEJ2000"], unit=("hourangle", "deg"))
    index, distance, _ = left.match_to_catalog_sky(right)
    matched = distance < 0.4 * u.arcsec
    assert matched.mean() > 0.9
    assert np.median(np.abs(visual["Hmag"][matched] - guo["Hmag"][index][matched])) < 0.1
    number = np.array([int(name.rpartition("_")[2]) for name in visual["ID"]])
    assert (number != np.asarray(guo["ID"][index])).mean() > 0.9
    assert (np.ma.asarray(visual["Seq"]) == np.asarray(guo["ID"][index]))[matched].filled(False).mean() > 0.95
    truth = tables.read(tiny_sky / "truth.parquet")
    truth = truth[np.asarray(truth["field"]) == "goodss"]
    assert len(truth) == len(visual)
    east = (visual["RAdeg"] - truth["ra"]) * np.cos(np.radians(truth["dec"])) * 3600
    assert np.median(east) == pytest.approx(tiny_parameters.candels_offset_arcsec[0], abs=0.03)
    assert np.median((visual["DEdeg"] - truth["dec"]) * 3600) == pytest.approx(tiny_parameters.candels_offset_arcsec[1], abs=0.03)


def test_unobserved_areas_are_nan_in_some_mosaics_and_zero_in_others(tiny_sky):
    for band, instrument, blank in (("f160w", "wfc3ir", 0.0), ("f606w", "acs", np.nan)):
        science = fits.getdata(tiny_sky / IMAGES.format("SIM-A", instrument, band, "drz"))
        weight = fits.getdata(tiny_sky / IMAGES.format("SIM-A", instrument, band, "wht"))
        unseen = weight == 0
        assert unseen.any()
        np.testing.assert_array_equal(science[unseen], np.float32(blank))
        assert np.isfinite(science[~unseen]).all()
