"""The survey catalogues through the whole wire: rendered sky, services on loopback, transport, parsers, common columns."""

import numpy as np
import pytest

from tuningfork import tables
from tuningfork.catalogues import deepshadows, des_lsbg, galaxy10, greco2018, gz_decals, mpa_jhu, sdss_galspec, table
from tuningfork.catalogues.expressions import first_class, rows_where
from tuningfork.sky.wide.build import render_wide
from tuningfork.sky.wide.parameters import WideParameters
from tuningfork.wire import open_archives


@pytest.fixture(scope="module")
def transport(tmp_path_factory):
    root = tmp_path_factory.mktemp("surveys")
    few = WideParameters(seed=5, sdss_galaxies=150, lsb_galaxies=30, hsc_galaxies=24, decals_galaxies=40, galaxy10_images=24)
    sky = render_wide(few, root / "sky", progress=False)
    with open_archives({"mode": "simulated"}, sky, cache=root / "cache") as opened:
        yield opened


def test_the_published_sample_holds_the_strict_one(transport, tmp_path):
    published, strict = sdss_galspec.fetch(transport), sdss_galspec.fetch(transport, strict=True)
    condition = "bptclass = 1 AND reliable = 1 AND sciencePrimary = 1 AND zWarning = 0"
    condition += "".join(f" AND {line}_flux_err > 0 AND {line}_flux / {line}_flux_err > 3" for line in sdss_galspec.STRICT_LINES)
    assert strict["object_id"].tolist() == published["object_id"][rows_where(published, condition)].tolist()
    assert 0.2 * len(published) < len(strict) < 0.9 * len(published) and 90 < len(published) < 155
    cuts = "mag > 10 AND mag < 18 AND modelMag_u - modelMag_r BETWEEN 0 AND 6 AND z > 0.02 AND oh_p50 IS NOT NULL AND zErr < 0.01"
    assert rows_where(published, cuts).all() and all(name.startswith("SIM-") for name in published["object_id"])
    assert sdss_galspec.fetch(transport, limit=7)["object_id"].tolist() == published["object_id"][:7].tolist()
    tables.write(published, tmp_path / "t.parquet")


def test_sql_and_files_tell_the_same_of_a_spectrum(transport):
    asked, read = sdss_galspec.fetch(transport), mpa_jhu.fetch(transport, indices=True, reliable=False)
    row = {name: i for i, name in enumerate(read["object_id"].tolist())}
    assert set(asked["object_id"]) <= set(row)
    rows = [row[name] for name in asked["object_id"].tolist()]
    for name in ("oh_p50", "h_alpha_flux", "nii_6584_flux_err", "d4000", "bptclass", "reliable"):
        np.testing.assert_allclose(np.ma.filled(read[name][rows].astype(float), -1), np.ma.filled(asked[name].astype(float), -1), rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(read["z"][rows], asked["z"], atol=1e-3)
    pairs = asked["galaxy_id"].tolist(), read["galaxy_id"][rows].tolist()
    assert len(set(pairs[0])) == len(set(pairs[1])) == len(set(zip(*pairs, strict=True)))


def test_any_table_of_the_archives(transport):
    query = "SELECT TOP 5 s.specObjID, s.ra, s.dec, e.oh_p50 FROM SpecObj AS s JOIN galSpecExtra AS e ON s.specObjID = e.specObjID ORDER BY s.specObjID"
    from tuningfork.archives import skyserver

    raw = skyserver.sql(transport, query, text=["specObjID"])
    found = table.standardise(raw, {"object_id": "specObjID", "ra": "ra", "dec": "dec"})
    assert len(found) == 5 and all(name.startswith("SIM-") for name in found["object_id"]) and "oh_p50" in found.colnames


def test_low_surface_brightness_galaxies_and_artifacts(transport, tmp_path):
    catalogue = des_lsbg.fetch(transport)
    assert len(catalogue) >= 25 and (np.asarray(catalogue["r_eff_g"]) > 2.5).all()
    found = deepshadows.fetch(transport, classes=3, given_split=True)
    count = dict(zip(*np.unique(found["label"], return_counts=True), strict=True))
    assert set(count) == {"lsbg", "artifact_1", "artifact_2"} and found.meta["origin"]["left_out"]["duplicates"] >= 1
    assert set(found["object_id"][found["label"] == "lsbg"]) == set(catalogue["object_id"])
    assert {"train", "validation", "test"} <= set(found["given_split"].tolist())
    for name in deepshadows.FEATURES:
        values = np.ma.asarray(found[name])
        assert values.count() == len(found), f"{name} is missing on one side, and gives the class away"
    tables.write(found, tmp_path / "t.parquet")


def test_hsc_is_the_same_from_vizier_and_from_the_repository(transport):
    vizier, repository = greco2018.fetch(transport), greco2018.fetch(transport, source="github")
    assert set(vizier["label"]) == {"lsbg", "artifact"} and vizier["object_id"].tolist() == repository["object_id"].tolist()
    for name in ("ra", "dec", "mag", "g_r", "r_eff", "sersic_n", "a_i"):
        np.testing.assert_allclose(np.ma.filled(vizier[name], -1), np.ma.filled(repository[name], -1), atol=1e-4, err_msg=name)


def test_galaxy_zoo_classes(transport):
    auto = gz_decals.fetch(transport)
    classes = first_class(auto, gz_decals.CLASS_RULES)
    assert len(set(classes.tolist()) - {""}) >= 4
    people = gz_decals.fetch(transport, source="volunteers_5", questions=["smooth_or_featured"])
    assert set(people["object_id"]) <= set(auto["object_id"]) and people["n_votes"].min() >= 30
    row = {name: i for i, name in enumerate(auto["object_id"].tolist())}
    same = auto["smooth_or_featured_smooth_fraction"][[row[name] for name in people["object_id"].tolist()]]
    assert np.corrcoef(same, people["smooth_or_featured_smooth_fraction"])[0, 1] > 0.8


def test_galaxy10_pictures(transport):
    found = galaxy10.fetch(transport)
    images = galaxy10.read_images(galaxy10.file_path(transport), found["row"][[3, 1]])
    assert images.shape == (2, 256, 256, 3) and images.max() > 0 and len(set(found["label"])) >= 5
