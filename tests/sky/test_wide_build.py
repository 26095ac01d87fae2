"""The rendered directory of the wide sky: complete, the same every time, marked as simulated, with the columns and the quirks of the published files."""

import csv
import hashlib
import io
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits

from tuningfork import tables
from tuningfork.errors import ArchiveError, ConfigError
from tuningfork.files import read_json
from tuningfork.sky.wide.build import render_wide
from tuningfork.sky.wide.image import WideSky
from tuningfork.sky.wide.parameters import WideParameters

SMALL = {"sdss_galaxies": 120, "lsb_galaxies": 60, "hsc_galaxies": 40, "decals_galaxies": 60, "galaxy10_images": 24}
DES = "files/des/despublic/other_files/y3-lsbg"
GITHUB = "files/github/dtanoglidis/DeepShadows/main/Datasets"
ZENODO = "files/zenodo/records"


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_wide(WideParameters(seed=3, **SMALL), tmp_path_factory.mktemp("wide"), progress=False).parent


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(sky: Path, tmp_path: Path) -> None:
    again = read_json(render_wide(WideParameters(seed=3, **SMALL), tmp_path / "again", progress=False))
    other = read_json(render_wide(WideParameters(seed=4, **SMALL), tmp_path / "other", progress=False))
    first = read_json(sky / "sky.json")
    assert again == first
    assert set(other["files"]) == set(first["files"]) and not set(other["files"].values()) & set(first["files"].values())


def test_sky_json_names_every_file_with_its_digest(sky: Path) -> None:
    told = read_json(sky / "sky.json")
    assert told["kind"] == "wide" and told["simulated"] is True and told["key"] == WideParameters(seed=3, **SMALL).key()
    found = {path.relative_to(sky).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sky.rglob("*") if path.is_file()}
    assert {name: digest for name, digest in found.items() if name != "sky.json"} == told["files"]


def test_an_older_sky_is_replaced_and_an_incomplete_one_is_none(tmp_path: Path) -> None:
    tiny = dict.fromkeys(SMALL, 20)
    render_wide(WideParameters(seed=1, **tiny), tmp_path, progress=False)
    stale, foreign = tmp_path / "tables" / "stale.parquet", tmp_path / "mine.txt"
    stale.write_text("old"), foreign.write_text("mine")
    render_wide(WideParameters(seed=2, **tiny), tmp_path, progress=False)
    assert not stale.exists() and foreign.exists()
    assert WideSky.open(tmp_path).seed == 2
    (tmp_path / "sky.json").unlink()
    with pytest.raises(ArchiveError, match="no complete sky"):
        WideSky.open(tmp_path)


def test_too_small_samples_are_refused() -> None:
    with pytest.raises(ConfigError, match="hsc_galaxies"):
        WideParameters(hsc_galaxies=3)


def test_sdss_tables_join_and_some_rows_fail_each_cut(sky: Path) -> None:
    names = ("PhotoObj", "SpecObj", "galSpecInfo", "galSpecLine", "galSpecIndx", "galSpecExtra")
    photo, spec, info, line, indx, extra = (tables.read(sky / "tables" / f"{name}.parquet") for name in names)
    assert photo.meta["simulated"] and (np.asarray(photo["run"]) >= 65000).all()
    for table in (info, line, indx, extra):
        assert np.array_equal(table["specObjID"], spec["specObjID"])
    assert photo["objID"].dtype == np.int64 and spec["specObjID"].dtype == np.int64
    assert (np.asarray(photo["objID"]) > 2**53).all() and len(np.unique(photo["objID"])) == len(photo) == SMALL["sdss_galaxies"]
    assert len(np.unique(spec["specObjID"])) == len(spec) > len(photo)
    assert set(np.asarray(spec["bestObjID"])) == set(np.asarray(photo["objID"]))
    primary = np.asarray(spec["sciencePrimary"])
    assert primary.sum() == len(photo) and len(np.unique(np.asarray(spec["bestObjID"])[primary == 1])) == len(photo)
    assert (np.asarray(extra["oh_p50"]) == -9999).any() and (np.asarray(info["reliable"]) == 0).any()
    assert (np.diff(np.stack([extra[f"oh_{p}"] for p in ("p2p5", "p16", "p50", "p84", "p97p5")]), axis=0)[:, np.asarray(extra["oh_p50"]) > 0] >= 0).all()
    for name in ("nii_6584", "h_alpha", "oiii_5007", "h_beta", "h_delta"):
        assert f"{name}_flux" in line.colnames and f"{name}_flux_err" in line.colnames


def test_galspec_fits_files_are_row_matched_and_marked(sky: Path) -> None:
    folder = sky / "files/sas/sas/dr8/common/sdss-spectro/redux"
    opened = {}
    for part in ("Info", "Extra", "Line", "Indx"):
        with fits.open(folder / f"galSpec{part}-dr8.fits") as hdus:
            assert hdus[0].header["SIMULATE"] is True and hdus[1].header["SIMULATE"] is True
            opened[part] = hdus[1].data.copy()
    ids = [np.char.strip(data["SPECOBJID"].astype(str)).tolist() for data in opened.values()]
    assert all(one == ids[0] for one in ids)
    sql = tables.read(sky / "tables" / "galSpecExtra.parquet")
    assert ids[0][: len(sql)] == [str(value) for value in sql["specObjID"]]
    assert opened["Extra"]["OH_P50"][: len(sql)] == pytest.approx(np.asarray(sql["oh_p50"]), abs=1e-3)
    assert (opened["Info"]["PLATEID"][len(sql) :] == -1).all() and len(opened["Info"]) > len(sql)


def test_des_lists_have_the_published_shape_and_duplicates(sky: Path) -> None:
    catalogue = rows_of(sky / DES / "LSBG_catalog_v2.csv")
    assert len(catalogue) == SMALL["lsb_galaxies"] and len(catalogue[0]) == 45
    assert {
        "coadd_object_id",
        "ra_se",
        "dec_se",
        "mu_mean_g_se",
        "flux_radius_g_asec",
        "ell_se",
        "n",
        "r_eff_g",
        "mu_mean_g",
        "mu_0_g",
        "mag_auto_g_corr",
    } <= set(catalogue[0])
    assert all(float(row["r_eff_g"]) > 2.5 and float(row["mu_mean_g"]) > 24.2 for row in catalogue)
    ids = {row["coadd_object_id"] for row in catalogue}
    assert min(map(int, ids)) >= 9_900_000_000
    for kind in (1, 2):
        rows = rows_of(sky / DES / f"random_negative_all_{kind}.txt")
        assert len(rows[0]) == 24 and len(rows) > len({row["coadd_object_id"] for row in rows}) == SMALL["lsb_galaxies"]
        assert not ids & {row["coadd_object_id"] for row in rows}


def test_split_lists_hold_listed_positions_without_labels_and_some_twice(sky: Path) -> None:
    known = {(row["ra_se"], row["dec_se"]) for row in rows_of(sky / DES / "LSBG_catalog_v2.csv")}
    known |= {(row["ra"], row["dec"]) for row in rows_of(sky / DES / "random_negative_all_2.txt")}
    listed = [(row["ra"], row["dec"]) for name in ("training", "validation", "test") for row in rows_of(sky / GITHUB / f"Baseline_{name}.csv")]
    assert set(listed) == known and len(listed) > len(known)
    assert next(csv.reader(io.StringIO((sky / GITHUB / "Baseline_test.csv").read_text()))) == ["", "ra", "dec"]


def test_hsc_lists_agree_and_share_galaxies_with_des(sky: Path) -> None:
    table = tables.read(sky / "vizier/J/ApJ/857/104/table1.parquet")
    lines = (sky / GITHUB / "hsc_LSBGs.dat").read_text().splitlines()
    assert len(lines) == len(table) == SMALL["hsc_galaxies"] and {len(line.split()) for line in lines} == {18}
    assert float(lines[3].split()[1]) == pytest.approx(table["RAJ2000"][3])
    des = rows_of(sky / DES / "LSBG_catalog_v2.csv")
    east, north = (np.array([float(row[name]) for row in des]) for name in ("ra", "dec"))
    near = np.hypot((east[:, None] - np.asarray(table["RAJ2000"])) * np.cos(np.radians(north))[:, None], north[:, None] - np.asarray(table["DEJ2000"])).min(
        axis=0
    )
    assert (near < 2 / 3600).sum() == read_json(sky / "sky.json")["counts"]["hsc"]["shared_with_des"] >= 2
    assert len(rows_of(sky / GITHUB / "hsc_artifacts.csv")[0]) == 12


def test_galaxy_zoo_tables_have_fractions_of_every_question(sky: Path) -> None:
    table = tables.read(sky / ZENODO / "4573248/files/gz_decals_auto_posteriors.parquet")
    assert len(table) == SMALL["decals_galaxies"] and all(name.startswith("SIM-J") for name in table["iauname"])
    assert len(np.unique(table["iauname"])) == len(table)
    fractions = [name for name in table.colnames if name.startswith("smooth-or-featured_") and name.endswith("_fraction")]
    assert len(fractions) == 3
    assert sum(np.asarray(table[name]) for name in fractions) == pytest.approx(1, abs=1e-5)
    asked = np.asarray(table["disk-edge-on_proportion_volunteers_asked"])
    assert asked == pytest.approx(np.asarray(table["smooth-or-featured_featured-or-disk_fraction"]), abs=0.02)
    people = tables.read(sky / ZENODO / "4573248/files/gz_decals_volunteers_5.parquet")
    assert 30 <= np.asarray(people["smooth-or-featured_total-votes"]).min() <= np.asarray(people["smooth-or-featured_total-votes"]).max() <= 50


def test_galaxy10_file_holds_pictures_of_all_classes_from_north_and_south(sky: Path) -> None:
    with h5py.File(sky / ZENODO / "10845026/files/Galaxy10_DECals.h5") as file:
        assert bool(file.attrs["simulated"]) is True
        assert file["images"].shape == (SMALL["galaxy10_images"], 256, 256, 3) and file["images"].dtype == np.uint8
        answer, ra, dec = (file[name][:] for name in ("ans", "ra", "dec"))
        pictures = file["images"][:]
        assert set(answer) == set(range(10)) and (file["pxscale"][:] == 0.262).all() and file["redshift"].shape == answer.shape
    assert 0 < (dec > 32.375).mean() < 1
    separation = 3600 * np.hypot((ra[:, None] - ra) * np.cos(np.radians(dec)), dec[:, None] - dec)
    assert ((separation < 0.7).sum() - len(ra)) >= 2
    assert (pictures[:, 118:138, 118:138].mean(axis=(1, 2, 3)) > pictures[:, :20, :20].mean(axis=(1, 2, 3)) + 10).all()


def test_every_sample_has_images_where_its_survey_looked(sky: Path) -> None:
    images = WideSky.open(sky)
    photo = tables.read(sky / "tables" / "PhotoObj.parquet")
    missing = [images.jpeg("sdss", ra, dec, width=8, height=8) is None for ra, dec in zip(photo["ra"], photo["dec"], strict=True)]
    assert 0 < np.mean(missing) < 0.05
    zoo = tables.read(sky / ZENODO / "4573248/files/gz_decals_auto_posteriors.parquet")
    seen = {
        layer: [images.image(layer, ra, dec, width=8, height=8) is not None for ra, dec in zip(zoo["ra"], zoo["dec"], strict=True)]
        for layer in ("ls-dr9-south", "ls-dr9-north")
    }
    south, north = np.array(seen["ls-dr9-south"]), np.array(seen["ls-dr9-north"])
    assert (south | north).all() and 0.3 < (south & north).mean() < 0.7 and (south & ~north).any() and (north & ~south).any()
    for row in rows_of(sky / DES / "random_negative_all_2.txt")[:20]:
        assert images.image("des-dr1", float(row["ra"]), float(row["dec"]), width=8, height=8) is not None
