"""Real Hubble pixels through stamp code, network and command line: nine CANDELS stamps, one published CLASH stamp, and a Frontier Field.

The cuts themselves are tested in tests/stamps, the labels and the catalogue of MACS2129 in tests/samples.
"""

import csv
import gzip
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from scipy.ndimage import gaussian_filter, maximum_filter

from tuningfork.catalogues.columns import TARGETS
from tuningfork.catalogues.image_labels import read_csv
from tuningfork.inference.load import load_model
from tuningfork.inference.predict import predict
from tuningfork.samples import labels
from tuningfork.stamps.cut import cut_stamps
from tuningfork.stamps.mosaic import Mosaic
from tuningfork.stamps.store import StampSet, StampShard, write_shard
from tuningfork.training.loop import train

CLASH = "a611_f475w_860"
PIXELS = 80


def joined(shards):
    scalars = {name: np.concatenate([shard.scalars[name] for shard in shards]) for name in shards[0].scalars}
    return StampShard(*(np.concatenate([getattr(shard, name) for shard in shards]) for name in ("object_id", "status", "reason", "pixels")), scalars)


def cut_whole(path, name, hdu):
    """One published stamp, whole, resampled to the network's size."""
    header = fits.getheader(path, hdu)
    middle, side = (header["NAXIS1"] - 1) / 2, header["NAXIS1"]
    ra, dec = WCS(header).wcs_pix2world(middle, middle, 0)
    mosaic = Mosaic(path, hdu=hdu)
    objects = {"object_id": np.array([name]), "ra": np.array([ra]), "dec": np.array([dec]), "stamp_arcsec": np.array([side * mosaic.pixel_scale_arcsec])}
    return cut_stamps(objects, mosaic, pixels=PIXELS)


@pytest.fixture(scope="module")
def hst(shared_data, tmp_path_factory):
    """Stamps of real galaxies in one store: 9 of CANDELS, 1 of CLASH, and the brightest sources of a Frontier Field in F105W."""
    folder, here = shared_data / "candels_clash_hst", tmp_path_factory.mktemp("hst")
    shards = [cut_whole(path, path.stem, "H") for path in sorted((folder / "candels_gds_slim").glob("*.fits"))]
    shards.append(cut_whole(folder / f"{CLASH}.fits", CLASH, 0))
    image = here / "field.fits"
    image.write_bytes(gzip.decompress((folder / "abell2744_hff/abell_2744_dwarf_galaxy_f105w.fits.gz").read_bytes()))
    smooth = gaussian_filter(np.nan_to_num(fits.getdata(image).astype(float)), 2)
    y, x = np.nonzero((maximum_filter(smooth, 15) == smooth) & (smooth > np.median(smooth)))
    ids = np.array([f"abell2744_{i}" for i in range(len(x))])
    shards.append(cut_stamps({"object_id": ids, "x_pix": x + 1.0, "y_pix": y + 1.0, "stamp_arcsec": np.full(len(x), 2.4)}, Mosaic(image), pixels=PIXELS))
    write_shard(here / "0.arrow", joined(shards))
    return StampSet([here / "0.arrow"])


@pytest.fixture(scope="module")
def model(hst, shared_data, tmp_path_factory):
    """Deep-CLASH, narrow, a few epochs on the nine CANDELS galaxies with their published votes: it tells them apart, and no more is asked."""
    table = read_csv(shared_data / "candels_clash_hst/CANDELS_labels.csv")
    found = labels.attach(Table({"object_id": hst.object_id}), table, TARGETS).objects
    labelled = np.asarray(found["labelled"], bool)
    assert labelled.sum() == 9 and labelled.tolist() == np.char.startswith(hst.object_id, "GDS_").tolist()
    split = np.where(labelled, np.where(np.cumsum(labelled) <= 6, "train", "validation"), "unlabelled")
    objects = {"object_id": hst.object_id, "split": split, **{name: np.ma.filled(np.ma.asarray(found[name], float), np.nan) for name in TARGETS}}
    place = tmp_path_factory.mktemp("model")
    train(
        network={"name": "deep-clash", "options": {"width": 0.25, "batch_norm_momentum": 0.1}},
        stamps=hst,
        objects=objects,
        targets=list(TARGETS),
        task="fractions",
        recipe={
            "loss": "cross_entropy",
            "optimizer": {"learning_rate": 3e-4},
            "epochs": 8,
            "batch_size": 12,
            "draws_per_epoch": 30.0,
            "augmentation": {"rotation_deg": 360, "flips": True},
            "normalisation": {"name": "asinh_sky"},
            "precision": "fp32",
        },
        seed=1,
        out_dir=place / "model",
        resume_dir=place / "resume",
        threads=1,
    )
    return place / "model"


def test_real_stamps_are_stored_whole(hst):
    assert hst.shape == (1, PIXELS, PIXELS) and hst.dtype == np.float32 and len(hst) > 20
    good = np.isin(hst.status, ("ok", "partial"))
    assert good[:10].all() and set(hst.status[:10]) == {"ok"} and good.mean() > 0.8
    assert np.isfinite(hst.take(np.flatnonzero(good))).all()
    assert (hst.scalars["sky_sigma"][good] > 0).all() and (hst.scalars["snr"][:10] > 5).all()


def test_the_network_s_answers_are_fractions_and_each_stamp_stands_for_itself(hst, model):
    network = load_model(model, "cpu")
    everything = predict(network, hst, threads=1)
    good = np.isin(everything["status"], ("ok", "partial"))
    assert everything["mean"].shape == (len(hst), 5) and good[:10].all()
    np.testing.assert_allclose(everything["mean"][good].sum(axis=1), 1, atol=1e-5)
    assert (everything["mean"][good] >= 0).all() and np.isnan(everything["mean"][~good]).all() and np.isfinite(everything["std"][good]).all()
    for size in (1, 16):
        one = predict(network, hst, hst.object_id[[9, 3, 12]], batch_size=size, threads=1)
        np.testing.assert_allclose(one["mean"], everything["mean"][[9, 3, 12]], atol=5e-6)


def test_one_command_predicts_a_folder_of_real_stamps(hst, model, shared_data, tmp_path):
    folder = tmp_path / "new"
    (folder / "candels").mkdir(parents=True)
    for path in sorted((shared_data / "candels_clash_hst/candels_gds_slim").glob("*.fits")):
        shutil.copyfile(path, folder / "candels" / path.name)
    clash = shared_data / "candels_clash_hst" / f"{CLASH}.fits"
    shutil.copyfile(clash, folder / f"{CLASH}.fits")
    (folder / "half.fits").write_bytes(clash.read_bytes()[:5000])
    command = [Path(sys.executable).with_name("tuningfork"), "predict", model, folder, "--output", tmp_path / "x.csv"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "10 ok" in done.stderr and "1 failed" in done.stderr
    with open(tmp_path / "x.csv", newline="") as file:
        rows = {row["object_id"]: row for row in csv.DictReader(file)}
    assert len(rows) == 11 and rows["half"]["status"] == "failed" and "truncated" in rows["half"]["reason"] and rows["half"]["p_smooth"] == ""
    # the file's own unit and a sky from its border, against calibrated surface brightness and the sky of the stamp code: nearly the same input
    found = predict(load_model(model, "cpu"), hst, hst.object_id[:10], threads=1)
    got = np.array([[float(rows[name if name == CLASH else f"candels/{name}"][target]) for target in TARGETS] for name in found["object_id"].tolist()])
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(got, found["mean"], atol=0.15)
    assert np.ptp(got[:, 0]) > 0.05 and np.corrcoef(got[:, 0], found["mean"][:, 0])[0, 1] > 0.9
