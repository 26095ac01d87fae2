"""The whole path on a tiny sky, through the real rules: complete, idle when repeated, exact when changed, and the same after a crash."""

import csv
import hashlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.table import Table

from tuningfork.tables import read, read_columns

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent
HERE = Path(__file__).parent


def _command(repository: Path, folder: Path, *arguments: str) -> list[str]:
    where = ["-s", str(repository / "Snakefile"), "-d", str(folder), "--configfile", str(folder / "config.yaml")]
    return [str(BIN / "snakemake"), *where, "--cores", "2", *arguments]


def _run(repository: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(_command(repository, folder, *arguments), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def _ran(output: str) -> list[str]:
    """Messages of the jobs that ran, or would."""
    return sorted(re.findall(r"^Job \d+: (.*)$", output, re.MULTILINE))


@pytest.fixture(scope="module")
def finished(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.yaml").write_text((HERE / "tiny.yaml").read_text())
    _run(repository, folder, "--resources", "gpu=1")
    return folder


def test_every_product_is_there(finished: Path) -> None:
    catalogues = finished / "results" / "catalogues"
    for suffix in (".csv", ".parquet", ".fits", ".vot", "_wide.csv", ".dat", ".ReadMe", ".bib", ".provenance.json", ".html"):
        assert (catalogues / f"Deep-CLASH{suffix}").stat().st_size > 0
    for name in ("candels", "clash", "clash-scratch", "clash.fold0", "clash.fold1"):
        assert {"weights.safetensors", "model.json", "history.csv"} <= {path.name for path in (finished / "results" / "models" / name).iterdir()}
    assert not (finished / "resume").exists() or not list((finished / "resume").rglob("*.pt"))


def test_rows_in_are_rows_out(finished: Path) -> None:
    selected = read_columns(finished / "results/samples/clash/selected.parquet", ["object_id"])["object_id"]
    published = read_columns(finished / "results/catalogues/Deep-CLASH.parquet", ["object_id", "status", "p_smooth", "flag"])
    assert sorted(published["object_id"]) == sorted(selected)
    usable = np.isin(published["status"], ["ok", "partial"])
    assert np.array_equal(np.isfinite(published["p_smooth"]), usable)
    assert (published["flag"][~usable] > 0).all()


def _tool(folder: Path, *arguments: str) -> str:
    done = subprocess.run([str(BIN / "tuningfork"), *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_that_was_made_and_downloaded_is_whole(finished: Path) -> None:
    assert "are what they were when they were made" in _tool(finished, "verify")


def test_a_published_row_is_traced_to_the_bytes_of_the_archive(finished: Path) -> None:
    published = read_columns(finished / "results/catalogues/Deep-CLASH.parquet", ["object_id", "status", "p_smooth", "cluster"])
    row = int(np.flatnonzero(published["status"] == "ok")[0])
    told = _tool(finished, "trace", str(published["object_id"][row]), "--configfile", "config.yaml")
    assert f"results/catalogues/Deep-CLASH.parquet, row {row + 1}\n" in told
    assert f"p_smooth {published['p_smooth'][row]:.4g} " in told
    weights = finished / "results/models/clash/weights.safetensors"
    assert f"SHA-256 {hashlib.sha256(weights.read_bytes()).hexdigest()}" in told
    assert "results/models/candels/weights.safetensors" in told  # what the network started from
    mosaic = re.search(r"pixels +(resources/cache/\S+)\n +(http\S+)\n +retrieved \S+, [\d,]+ bytes, SHA-256 (\w+)", told)
    assert mosaic and published["cluster"][row] in mosaic[2]
    assert hashlib.sha256((finished / mosaic[1]).read_bytes()).hexdigest() == mosaic[3]
    assert re.search(r"source +resources/catalogues/clash/molino2017.parquet \(mast, SIMULATED\)\n +\S*SIM-A\S*, SHA-256 \w{64}", told)


def test_a_filter_that_the_archive_lacks_is_in_the_ledger_not_in_the_void(finished: Path) -> None:
    manifest = json.loads((finished / "resources/mosaics/clash/SIM-A.json").read_text())
    assert manifest["bands"]["f275w"]["status"] == "absent"  # asked for by the configuration, not rendered by the sky
    assert manifest["bands"]["f814w"]["status"] == "ok"


def test_the_four_formats_agree(finished: Path) -> None:
    stem = finished / "results/catalogues/Deep-CLASH"
    parquet = read(stem.with_suffix(".parquet"))
    with open(stem.with_suffix(".csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    table = Table.read(stem.with_suffix(".fits"))
    votable = parse_single_table(stem.with_suffix(".vot")).to_table()
    assert [row["object_id"] for row in rows] == list(parquet["object_id"]) == list(table["object_id"]) == list(votable["object_id"])
    expected = np.ma.filled(parquet["p_features"], np.nan)
    np.testing.assert_allclose([float(row["p_features"] or "nan") for row in rows], expected, atol=1e-6)
    for other in (table, votable):
        np.testing.assert_allclose(np.ma.filled(np.ma.asarray(other["p_features"], float), np.nan), expected, atol=1e-6)


def test_nothing_can_pass_as_real(finished: Path) -> None:
    stem = finished / "results/catalogues/Deep-CLASH"
    ids = read_columns(stem.with_suffix(".parquet"), ["object_id", "origin"])
    assert all(name.startswith("SIM-") for name in ids["object_id"]) and set(ids["origin"]) == {"simulated"}
    assert fits.getval(stem.with_suffix(".fits"), "SIMULATE", 1) is True
    assert "SIMULATED" in stem.with_suffix(".vot").read_text()
    candels = read_columns(finished / "results/samples/candels/objects.parquet", ["object_id"])["object_id"]
    assert all(name.startswith("SIM-GDS_") for name in candels)


def test_rows_that_were_trained_on_are_published_out_of_fold(finished: Path) -> None:
    predicted = read_columns(finished / "results/models/clash/predictions/clash.parquet")
    seen = np.isin(predicted["split"], ["train", "validation"]) & np.isfinite(predicted["p_smooth"])
    assert seen.sum() > 20
    assert set(np.unique(predicted["fold"][seen])) == {0, 1}
    assert not np.allclose(predicted["p_smooth"][seen], predicted["p_smooth_main"][seen])
    rest = ~seen & np.isfinite(predicted["p_smooth"])
    np.testing.assert_array_equal(predicted["p_smooth"][rest], predicted["p_smooth_main"][rest])


def test_no_galaxy_and_no_cluster_is_on_two_sides(finished: Path) -> None:
    objects = read_columns(finished / "results/samples/clash/objects.parquet")
    sides: dict[str, set[str]] = {}
    for galaxy, split in zip(objects["galaxy_id"], objects["split"], strict=True):
        if split in ("train", "validation", "test"):
            sides.setdefault(galaxy, set()).add(split)
    assert max(len(found) for found in sides.values()) == 1
    predicted = read_columns(finished / "results/models/clash/predictions/clash.parquet")
    fold = dict(zip(predicted["object_id"], predicted["fold"], strict=True))
    of_field: dict[str, set[int]] = {}
    for name, field in zip(objects["object_id"], objects["field"], strict=True):
        if fold[name] >= 0:
            of_field.setdefault(field, set()).add(int(fold[name]))
    assert all(len(folds) == 1 for folds in of_field.values())


def test_one_gpu_holds_two_trainings_apart(finished: Path) -> None:
    spans = []
    for log in sorted((finished / "logs/train_model").glob("*.log")):
        stamps = [datetime.fromisoformat(found) for found in re.findall(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", log.read_text(), re.MULTILINE)]
        spans.append((stamps[0], stamps[-1]))
    assert len(spans) == 5
    spans.sort()
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_the_second_run_has_nothing_to_do(repository: Path, finished: Path) -> None:
    assert "Nothing to be done" in _run(repository, finished)


def test_another_learning_rate_retrains_one_model_and_what_follows_from_it(repository: Path, finished: Path) -> None:
    original = (finished / "config.yaml").read_text()
    changed = yaml.safe_load(original)
    changed["models"]["clash"]["training"] = {"epochs": 3, "precision": "fp32", "optimizer": {"learning_rate": 0.0001}}
    (finished / "config.yaml").write_text(yaml.safe_dump(changed))
    try:
        output = _run(repository, finished, "-n")
    finally:
        (finished / "config.yaml").write_text(original)
    assert _ran(output) == sorted(
        [
            "Training clash on clash",
            "Training clash.fold0 on clash",
            "Training clash.fold1 on clash",
            "Predicting clash with clash",
            "Calibrating clash on its validation rows",
            "Evaluating clash",
            "Publishing Deep-CLASH",
        ]
    )


def test_a_run_killed_in_the_middle_ends_in_the_same_catalogue(repository: Path, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text((HERE / "tiny.yaml").read_text())
    process = subprocess.Popen(_command(repository, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    log = tmp_path / "logs/train_model/candels.log"
    for _ in range(3000):
        if log.exists() and "epoch 1 " in log.read_text():
            break
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run([BIN / "tuningfork", "unlock", tmp_path], check=True)
    _run(repository, tmp_path)
    for suffix in (".csv", ".parquet", ".fits", ".vot"):
        ours, theirs = ((folder / "results/catalogues/Deep-CLASH").with_suffix(suffix).read_bytes() for folder in (tmp_path, finished))
        assert ours == theirs, suffix


def test_one_command_predicts_a_folder_of_new_images(finished: Path, tmp_path: Path) -> None:
    from tuningfork.stamps.store import read_shard

    shard = read_shard(next((finished / "results/samples/candels/stamps").glob("*.arrow")))
    usable = np.flatnonzero(shard.status == "ok")[:5]
    pictures = tmp_path / "new"
    pictures.mkdir()
    for row in usable:
        fits.writeto(pictures / f"galaxy{row}.fits", shard.pixels[row, 0])
    (pictures / "broken.fits").write_bytes(b"SIMPLE  =                    T")
    subprocess.run([BIN / "tuningfork", "predict", finished / "results/models/candels", pictures, "--output", tmp_path / "new.csv"], check=True)
    with open(tmp_path / "new.csv", newline="") as file:
        rows = {row["object_id"]: row for row in csv.DictReader(file)}
    assert len(rows) == 6
    good = [row for name, row in rows.items() if name != "broken"]
    classes = ("p_smooth", "p_features", "p_irregular", "p_point_source", "p_unclassifiable")
    np.testing.assert_allclose([sum(float(row[name]) for name in classes) for row in good], 1, atol=1e-5)
    assert rows["broken"]["p_smooth"] == ""
