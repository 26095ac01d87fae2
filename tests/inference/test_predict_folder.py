"""From a folder of files to a table: a row for every file, whatever is wrong with it."""

import csv
import shutil

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from tuningfork import tables
from tuningfork.errors import ModelError, StampError
from tuningfork.inference.folder import _with_sky, find_pictures, picture_ids, predict_folder
from tuningfork.stamps.pictures import import_pictures
from tuningfork.training.arrays import ArrayStamps
from tuningfork.training.loop import train


def picture(path, brightness, rng):
    y, x = np.indices((60, 60)) - 29.5
    light = brightness * np.exp(-(x**2 + y**2) / 200)[:, :, None] + rng.uniform(0, 20, (60, 60, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(light, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def pictures_model(tmp_path_factory):
    """A regression of the brightness, trained on pictures."""
    return learned(tmp_path_factory.mktemp("pictures"), "rmse")


def learned(folder, loss):
    rng = np.random.default_rng(1)
    brightness = rng.uniform(50, 230, 18)
    paths = [folder / f"g{i}.png" for i in range(18)]
    for path, value in zip(paths, brightness, strict=True):
        picture(path, value, rng)
    ids = np.array([path.stem for path in paths])
    shard = import_pictures(paths, ids, channels=3, pixels=48)
    objects = {"object_id": ids, "split": np.where(np.arange(18) < 12, "train", "validation"), "brightness": brightness}
    train(
        network={"name": "deep-clash", "options": {"width": 0.05}},
        stamps=ArrayStamps(shard.object_id, shard.pixels, shard.status, shard.scalars),
        objects=objects,
        targets=["brightness"],
        task="regression",
        recipe={"loss": loss, "epochs": 1, "batch_size": 6, "normalisation": {"name": "unit"}, "precision": "fp32"},
        seed=1,
        out_dir=folder / "model",
        resume_dir=folder / "resume",
        threads=1,
    )
    return folder / "model"


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(2)
    for name in ("a.png", "deep/b.jpg", "c.jpg", "c.png"):
        picture(tmp_path / "new" / name, 150, rng)
    (tmp_path / "new/broken.jpg").write_bytes((tmp_path / "new/c.jpg").read_bytes()[:200])
    Image.fromarray(np.full((60, 60, 3), 7, np.uint8)).save(tmp_path / "new/grey.png")
    (tmp_path / "new/notes.txt").write_text("not a picture")
    fits.writeto(tmp_path / "new/image.fits", rng.normal(size=(3, 60, 60)).astype(np.float32))
    return tmp_path / "new"


def test_every_file_has_its_row(pictures_model, folder, tmp_path):
    counts = predict_folder(pictures_model, folder, tmp_path / "p.csv", batch_size=3, threads=1)
    with open(tmp_path / "p.csv", newline="") as file:
        rows = {row["object_id"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"a", "deep/b", "c.jpg", "c.png", "broken", "grey", "image"}
    assert sum(counts.values()) == 7 and counts["ok"] == 4
    for name in ("a", "deep/b", "c.jpg", "c.png"):
        assert rows[name]["status"] == "ok" and 0 < float(rows[name]["brightness"]) < 400 and float(rows[name]["brightness_std"]) >= 0
    for name in ("broken", "grey", "image"):
        assert rows[name]["status"] != "ok" and rows[name]["reason"] and rows[name]["brightness"] == ""
    assert "trained on pictures" in rows["image"]["reason"]


def test_parquet_has_the_same_numbers_whatever_the_batches(pictures_model, folder, tmp_path):
    predict_folder(pictures_model, folder, tmp_path / "p.csv", batch_size=1, threads=1)
    predict_folder(pictures_model, folder, tmp_path / "p.parquet", batch_size=64, threads=1)
    table = tables.read(tmp_path / "p.parquet")
    with open(tmp_path / "p.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["object_id"] for row in rows] == table["object_id"].tolist()
    for row, value in zip(rows, table["brightness"].filled(np.nan), strict=True):
        assert (row["brightness"] == "" and np.isnan(value)) or float(row["brightness"]) == pytest.approx(value, rel=1e-5)


def test_what_the_network_says_of_its_errors_is_in_the_table(folder, tmp_path):
    model = learned(tmp_path, "quantile")
    predict_folder(model, folder, tmp_path / "p.csv", threads=1)
    with open(tmp_path / "p.csv", newline="") as file:
        rows = {row["object_id"]: row for row in csv.DictReader(file)}
    names = [f"brightness{end}" for end in ("", "_q025", "_q16", "_q50", "_q84", "_q975", "_std")]
    assert [name for name in rows["a"] if name.startswith("brightness")] == names
    assert float(rows["a"]["brightness_q84"]) > float(rows["a"]["brightness_q16"]) and rows["grey"]["brightness_q16"] == ""


def test_what_cannot_be_predicted_at_all_says_so(pictures_model, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StampError, match="no picture in it"):
        predict_folder(pictures_model, tmp_path / "empty", tmp_path / "p.csv")
    with pytest.raises(StampError, match="no such folder"):
        predict_folder(pictures_model, tmp_path / "nowhere", tmp_path / "p.csv")
    with pytest.raises(StampError, match=r"\.csv or a \.parquet"):
        predict_folder(pictures_model, folder, tmp_path / "p.xlsx")
    only_fits = tmp_path / "fits"
    only_fits.mkdir()
    (folder / "image.fits").rename(only_fits / "image.fits")
    with pytest.raises(ModelError, match="trained on pictures"):
        predict_folder(pictures_model, only_fits, tmp_path / "p.csv", threads=1)


def test_a_fits_stamp_through_a_model_trained_on_stamps(trained, tmp_path):
    """Another unit and another size than the training stamps: the sky's own sigma is the scale."""
    model, stamps, _ = trained
    (tmp_path / "new").mkdir()
    image = stamps.take([0])[0, 0] * 1e-3
    fits.writeto(tmp_path / "new/galaxy.fits", np.kron(image, np.ones((2, 2))).astype(np.float32))
    assert predict_folder(model, tmp_path / "new", tmp_path / "p.csv", threads=1) == {"ok": 1}
    with open(tmp_path / "p.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert sum(float(row[name]) for name in ("p_small", "p_middle", "p_large")) == pytest.approx(1, abs=1e-4)


def test_ids_and_order_come_from_the_paths(folder):
    paths = find_pictures(folder)
    assert [path.name for path in paths] == ["a.png", "broken.jpg", "c.jpg", "c.png", "b.jpg", "grey.png", "image.fits"]
    assert picture_ids(paths, folder) == ["a", "broken", "c.jpg", "c.png", "deep/b", "grey", "image"]


def test_the_real_clash_stamp(trained, shared_data, tmp_path):
    """The one published FITS stamp (48 x 48, electrons): read, scaled by its own sky, predicted."""
    (tmp_path / "new").mkdir()
    shutil.copy(shared_data / "candels_clash_hst/a611_f475w_860.fits", tmp_path / "new")
    assert predict_folder(trained[0], tmp_path / "new", tmp_path / "p.csv", threads=1) == {"ok": 1}
    with open(tmp_path / "p.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["object_id"] == "a611_f475w_860"
    assert sum(float(row[name]) for name in ("p_small", "p_middle", "p_large")) == pytest.approx(1, abs=1e-4)


def test_the_sky_of_a_file_is_that_of_its_own_pixels(tmp_path):
    """Noise of sigma 2 on a sky of 50, averaged down three times: the noise of a native pixel comes back."""
    image = np.random.default_rng(4).normal(50, 2, (144, 144)).astype(np.float32)
    image[60:84, 60:84] += 500
    fits.writeto(tmp_path / "a.fits", image)
    scalars = _with_sky(import_pictures([tmp_path / "a.fits"], ["a"], channels=1, pixels=48))
    assert scalars["sky"][0] == pytest.approx(50, abs=0.15) and scalars["sky_sigma"][0] == pytest.approx(2, rel=0.15)
