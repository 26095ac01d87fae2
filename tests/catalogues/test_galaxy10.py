"""Galaxy10 DECaLS: coordinates without pictures, pictures without the others, near objects as one galaxy."""

import hashlib
import json

import h5py
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

from tuningfork import tables
from tuningfork.catalogues import galaxy10
from tuningfork.catalogues.image_labels import numbers, read_csv
from tuningfork.catalogues.positions import groups_within
from tuningfork.errors import ArchiveError, CatalogueError

N = 12


@pytest.fixture
def hdf5(tmp_path):
    path = tmp_path / galaxy10.FILE
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        images = file.create_dataset("images", (N, 256, 256, 3), dtype="u1", chunks=(1, 256, 256, 3))
        for i in range(N):
            images[i] = rng.integers(0, 256, (256, 256, 3))
        file["ans"] = (np.arange(N) % 10).astype("u1")
        file["ra"], file["dec"] = 10.0 + np.arange(N) / 10, np.where(np.arange(N) < 8, 20.0, 40.0)
        file["ra"][3] = file["ra"][2] + 5 / 3600
        file["redshift"], file["pxscale"] = np.where(np.arange(N) == 4, np.nan, 0.05), np.full(N, 0.262)
    return path


@pytest.fixture
def served(archive, hdf5):
    body = hdf5.read_bytes()
    files = [{"key": galaxy10.FILE, "size": len(body), "checksum": f"md5:{hashlib.md5(body).hexdigest()}"}]
    archive.files["/api/records/10845026"] = json.dumps({"id": 10845026, "files": files}).encode()
    archive.files[f"/records/10845026/files/{galaxy10.FILE}"] = body
    return archive


def test_a_simulated_file_has_its_own_digest(served, open_transport, tmp_path):
    found = galaxy10.fetch(open_transport("simulated-1"))
    assert found["object_id"][0] == "SIM-galaxy10_0" and found.meta["origin"]["doi"] is None
    with pytest.raises(ArchiveError, match="not the published 19aefc477c41"):
        galaxy10.fetch(open_transport("live"))


def test_the_common_columns(hdf5, tmp_path):
    found = galaxy10.standardise(galaxy10.read_coordinates(hdf5))
    assert found["object_id"].tolist() == [f"galaxy10_{i}" for i in range(N)] and found["row"].tolist() == list(range(N))
    assert found["galaxy_id"].tolist() == [f"galaxy10_{2 if i == 3 else i}" for i in range(N)]
    assert found["label"][5] == "barred_spiral" and found["label"][2] == "round_smooth" and found["north"].tolist() == [False] * 8 + [True] * 4
    assert np.ma.getmaskarray(found["redshift"]).tolist() == [i == 4 for i in range(N)]
    assert str(found["pxscale"].unit) == "arcsec / pix" and all(found[name].info.description for name in found.colnames)
    tables.write(found, tmp_path / "t.parquet")


def test_pictures_in_the_order_asked(hdf5, monkeypatch):
    with h5py.File(hdf5) as file:
        every = file["images"][:]
    monkeypatch.setattr(galaxy10, "ROWS_AT_ONCE", 3)
    for rows in ([4], [0, 1, 2, 3, 4, 5, 6], [7, 2, 2, 11, 0], []):
        found = galaxy10.read_images(hdf5, rows)
        assert found.dtype == np.uint8 and np.array_equal(found, every[np.array(rows, int)])
    for rows in ([12], [-1]):
        with pytest.raises(CatalogueError, match="it has rows 0 to 11"):
            galaxy10.read_images(hdf5, rows)


def test_the_ten_classes_are_those_of_the_pictures(shared_data):
    labels = read_csv(shared_data / "galaxy10_decals" / "labels.csv")
    published = dict(zip((int(i) for i in labels["class_id"]), labels["class_name"].tolist(), strict=True))
    assert sorted(published) == list(range(10))
    for number, name in published.items():
        words = name.lower().replace("-", " ").split()
        assert sum(word in galaxy10.CLASSES[number].split("_") for word in words) >= min(2, len(words)), name


def test_real_coordinates_north_and_near(shared_data):
    copy = read_csv(shared_data / "catalogs" / "Galaxy10_coord.csv")
    ra, dec, redshift = (np.asarray(numbers(copy, name)[0]) for name in ("RA", "DEC", "redshift"))
    raw = Table({"ra": ra, "dec": dec, "redshift": redshift, "ans": np.zeros(len(ra), int), "pxscale": np.full(len(ra), 0.262)})
    with pytest.raises(CatalogueError, match="'redshift' is the declination in every row"):
        galaxy10.standardise(raw)
    raw["redshift"] = 0.1
    found = galaxy10.standardise(raw)
    assert len(found) == 17736 and found["north"].sum() == 6462
    sky = SkyCoord(ra * u.deg, dec * u.deg)
    for radius, pairs in ((0.5, 59), (5, 77)):
        first, second, _, _ = sky.search_around_sky(sky, radius * u.arcsec)
        groups = groups_within(ra, dec, radius)
        assert (first < second).sum() == pairs and (groups[first] == groups[second]).all()
    first, second, _, _ = sky.search_around_sky(sky, 10 * u.arcsec)
    galaxy = np.asarray(found["galaxy_id"])
    assert (galaxy[first] == galaxy[second]).all() and len(found) - len(set(galaxy)) == len({j for i, j in zip(first, second, strict=True) if i < j})


@pytest.mark.parametrize("name", ["images", "ans", "pxscale"])
def test_a_file_that_lacks_a_data_set(hdf5, name):
    with h5py.File(hdf5, "a") as file:
        del file[name]
    with pytest.raises(CatalogueError, match=f"no data set {name}"):
        galaxy10.read_coordinates(hdf5)


def test_a_damaged_file(hdf5, tmp_path):
    with h5py.File(hdf5, "a") as file:
        del file["ans"]
        file["ans"] = np.zeros(N - 1)
    with pytest.raises(CatalogueError, match="differ in length: ans 11"):
        galaxy10.read_coordinates(hdf5)
    (tmp_path / "x.h5").write_bytes(b"no")
    with pytest.raises(CatalogueError, match="not a readable HDF5"):
        galaxy10.read_images(tmp_path / "x.h5", [0])


def test_an_unknown_class_is_refused(hdf5):
    raw = galaxy10.read_coordinates(hdf5)
    raw["ans"][3] = 10
    with pytest.raises(CatalogueError, match="row 3 has no class"):
        galaxy10.standardise(raw)
