"""The whole path of cutout samples on a tiny sky of the wide surveys, through the real rules; one is a survey that no paper used and no module knows."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits

from tuningfork import tables
from tuningfork.sky.wide.build import render_wide
from tuningfork.sky.wide.parameters import WideParameters
from tuningfork.stamps.store import read_shard
from tuningfork.tables import read_columns

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent
HERE = Path(__file__).parent
JUDGED = ["Calibrating unwise on its validation rows", "Evaluating unwise", "Publishing Infrared"]
SAMPLE_OF = {"Metallicity": "sdss", "South": "decals", "North": "bass-mzls", "Infrared": "unwise"}
VOTE = "t01_smooth_or_features_a01_smooth_fraction"


# What Python runs first in every job when this file's folder is in PYTHONPATH: the stand-in fails where the environment says, and keeps a journal.
UNRELIABLE = """
import importlib.machinery, os, sys
from urllib.parse import parse_qs, urlsplit

class Journal(list):
    def append(self, visit):
        with open(os.environ["TEST_JOURNAL"], "a") as file:
            print(visit[1], file=file)

def fault(path):
    ra = parse_qs(urlsplit(path).query).get("ra", ["nan"])[0]
    return "503" if any(abs(float(ra) - float(bad)) < 1e-6 for bad in os.environ["TEST_FAULTY_RA"].split()) else None

def patch(module):
    if module.__name__.endswith("server"):
        serve = module.serve
        module.serve = lambda root, **options: serve(root, faults=fault, journal=Journal(), **options)
    else:
        module.Transport.__init__.__kwdefaults__["attempts"] = 1

class Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        if name not in ("tuningfork.sky.server", "tuningfork.archives.transport"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (run(module), patch(module))
        return spec

sys.meta_path.insert(0, Finder)
"""


def _snakemake(repository: Path, folder: Path, *arguments: str, **environment: str) -> str:
    where = ["-s", str(repository / "Snakefile"), "-d", str(folder), "--configfile", str(folder / "config.yaml")]
    command = [str(BIN / "snakemake"), *where, "--cores", "2", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env={**os.environ, **environment})
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def _ran(output: str) -> list[str]:
    """Messages of the jobs that ran, or would."""
    return sorted(re.findall(r"^Job \d+: (.*)$", output, re.MULTILINE))


def _write_votes(configuration: dict, file: Path, sky: Path) -> None:
    """A table of positions and votes for the galaxies of SDSS, with the columns of Galaxy Zoo 2."""
    root = render_wide(WideParameters(**configuration["survey_sky"]), sky, progress=False).parent
    photo = tables.read_columns(root / "tables" / "PhotoObj.parquet", ["objID", "ra", "dec"])
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["dr7objid", "ra", "dec", "gz2_class", VOTE])
        for row, (name, ra, dec) in enumerate(zip(photo["objID"], photo["ra"], photo["dec"], strict=True)):
            rows.writerow([name, f"{ra:.7f}", f"{dec:.7f}", "Er", "" if row % 17 == 0 else f"{row % 10 / 9:.3f}"])


@pytest.fixture(scope="module")
def finished(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wide_run")
    text = (HERE / "tiny_wide.yaml").read_text()
    (folder / "config.yaml").write_text(text)
    _write_votes(yaml.safe_load(text), folder / "zoo2.csv", tmp_path_factory.mktemp("oracle"))
    _snakemake(repository, folder, "--resources", "gpu=1")
    return folder


@pytest.mark.parametrize("name", SAMPLE_OF)
def test_every_selected_object_is_published(finished: Path, name: str) -> None:
    sample = SAMPLE_OF[name]
    stem = finished / "results/catalogues" / name
    for suffix in (".csv", ".parquet", ".fits", ".vot", "_wide.csv", ".ReadMe", ".bib", ".provenance.json"):
        assert stem.with_name(name + suffix).stat().st_size > 0
    selected = read_columns(finished / f"results/samples/{sample}/selected.parquet", ["object_id"])["object_id"]
    published = read_columns(stem.with_suffix(".parquet"))
    assert sorted(published["object_id"]) == sorted(selected) and len(selected) >= 20
    with stem.with_suffix(".csv").open(newline="") as file:
        assert [row["object_id"] for row in csv.DictReader(file)] == list(published["object_id"])
    usable = np.isin(published["status"], ["ok", "partial"])
    assert usable.mean() > 0.8
    assert np.array_equal(np.isfinite(published["oh_p50" if sample == "sdss" else "smooth"].astype(float)), usable)


def test_rows_of_galaxies_are_those_of_the_archive(finished: Path) -> None:
    counts = {sample: len(read_columns(finished / f"results/samples/{sample}/selected.parquet", ["object_id"])["object_id"]) for sample in SAMPLE_OF.values()}
    with (finished / "zoo2.csv").open(newline="") as file:
        wanted = {f"SIM-{row['dr7objid']}" for row in csv.DictReader(file) if 150 <= float(row["ra"]) <= 165 and row[VOTE]}
    assert set(read_columns(finished / "results/samples/unwise/selected.parquet", ["object_id"])["object_id"]) == wanted
    south, north = (set(read_columns(finished / f"results/samples/{name}/objects.parquet", ["galaxy_id"])["galaxy_id"]) for name in ("decals", "bass-mzls"))
    assert north < south and counts["bass-mzls"] < counts["decals"]


def test_latent_features_are_published_beside_the_classes(finished: Path) -> None:
    for name in ("South", "North"):
        table = tables.read((finished / "results/catalogues" / name).with_suffix(".parquet"))
        latents = [column for column in table.colnames if re.fullmatch(r"z_\d\d", column)]
        assert latents == ["z_00", "z_01", "z_02", "z_03"]
        usable = np.isin(np.asarray(table["status"]).astype(str), ["ok", "partial"])
        for column in latents:
            values = np.ma.filled(np.ma.asarray(table[column], float), np.nan)
            assert np.array_equal(np.isfinite(values), usable) and np.std(values[usable]) > 0


def test_sets_and_intervals_are_published_and_judged(finished: Path) -> None:
    results = finished / "results"
    for name, model in (("Metallicity", "sdss"), ("South", "vae"), ("North", "vae"), ("Infrared", "unwise")):
        published = read_columns(results / f"catalogues/{name}.parquet")
        usable = np.isin(published["status"], ["ok", "partial"])
        calibration = json.loads((results / f"models/{model}/calibration.json").read_text())
        objects = read_columns(results / f"samples/{calibration['sample']}/objects.parquet")
        assert 0 < calibration["rows"]["n"] <= (objects["split"] == "validation").sum()
        readme = " ".join((results / f"catalogues/{name}.ReadMe").read_text().split())
        assert f"{calibration['rows']['n']} labelled validation rows of the sample {calibration['sample']}" in readme
        assert ("neither the probabilities nor the coverage are guaranteed" in readme) == (name == "North")
        if name == "Metallicity":
            assert (published["oh_p50_lo"][usable] < published["oh_p50"][usable]).all() and np.isnan(published["oh_p50_hi"][~usable]).all()
        else:
            sure = np.where(published["smooth"][usable] >= published["featured"][usable], "smooth", "featured")
            assert [text.split("|")[0] for text in published["set"][usable]] == sure.tolist() and set(published["set"][~usable]) <= {""}
        report = json.loads((results / f"models/{model}/metrics.json").read_text())["uncertainty"]
        assert report["calibrated_on"]["sample"] == calibration["sample"] and 0 <= report["coverage"]["value"] <= 1
        assert (results / f"models/{model}/figures/coverage.png").stat().st_size > 0


def test_the_stamps_are_what_the_configuration_asks(finished: Path) -> None:
    for sample, shape, dtype in (("sdss", (3, 48, 48), "uint8"), ("decals", (3, 64, 64), "float32"), ("unwise", (2, 32, 32), "float32")):
        for path in (finished / f"results/samples/{sample}/stamps").glob("*.arrow"):
            shard = read_shard(path)
            assert shard.pixels.shape[1:] == shape and shard.pixels.dtype == dtype
            assert json.loads(path.with_suffix(".retry.json").read_text()) == {"token": 0, "failed": 0}


def test_the_adaptation_saw_the_second_survey_and_not_its_labels(finished: Path) -> None:
    description = json.loads((finished / "results/models/vae/model.json").read_text())
    assert "bass-mzls" in json.dumps(description)
    domains = json.loads((finished / "results/models/vae/metrics.json").read_text())["domains"]
    assert domains["samples"] == ["decals", "bass-mzls"] and 0 <= domains["auc"]["vae"]["value"] <= 1 and min(domains["n"]) >= 5
    for sample in domains["samples"]:
        features = read_columns(finished / f"results/models/vae/features/{sample}.parquet")
        assert sorted(features["object_id"]) == sorted(read_columns(finished / f"results/samples/{sample}/selected.parquet", ["object_id"])["object_id"])
        assert np.array_equal(np.isfinite(features["f_003"]), np.isin(features["status"], ["ok", "partial"]))


def test_nothing_can_pass_as_real(finished: Path) -> None:
    for name, sample in SAMPLE_OF.items():
        stem = finished / "results/catalogues" / name
        published = read_columns(stem.with_suffix(".parquet"), ["object_id", "origin"])
        assert all(identifier.startswith("SIM-") for identifier in published["object_id"]) and set(published["origin"]) == {"simulated"}
        assert fits.getval(stem.with_suffix(".fits"), "SIMULATE", 1) is True
        assert "SIMULATED" in stem.with_suffix(".vot").read_text()
        ids = read_columns(finished / f"results/samples/{sample}/objects.parquet", ["object_id"])["object_id"]
        assert all(identifier.startswith("SIM-") for identifier in ids)


def test_no_galaxy_is_on_two_sides(finished: Path) -> None:
    for sample in SAMPLE_OF.values():
        objects = read_columns(finished / f"results/samples/{sample}/objects.parquet", ["galaxy_id", "split"])
        sides: dict[str, set[str]] = {}
        for galaxy, side in zip(objects["galaxy_id"], objects["split"], strict=True):
            sides.setdefault(galaxy, set()).add(side)
        assert all(len(found & {"train", "validation", "test"}) <= 1 for found in sides.values())


def test_the_second_run_has_nothing_to_do(repository: Path, finished: Path) -> None:
    assert "Nothing to be done" in _snakemake(repository, finished)


def _changed(finished: Path, folder: Path, section: str, name: str, **changes: object) -> Path:
    """A copy of the finished run with another configuration."""
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("log", "tmp*"))
    configuration = yaml.safe_load((folder / "config.yaml").read_text())
    for key, value in changes.items():
        configuration[section][name][key] = {**configuration[section][name].get(key, {}), **value}
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration, sort_keys=False))
    return folder


def test_another_learning_rate_fetches_nothing_again(repository: Path, finished: Path, tmp_path: Path) -> None:
    folder = _changed(finished, tmp_path / "run", "models", "unwise", training={"optimizer": {"learning_rate": 0.0001}})
    planned = _ran(_snakemake(repository, folder, "-n"))
    assert planned == sorted(["Training unwise on unwise", "Predicting unwise with unwise", *JUDGED])


def test_another_member_trains_itself_and_another_coverage_trains_nothing(repository: Path, finished: Path, tmp_path: Path) -> None:
    folder = _changed(finished, tmp_path / "member", "models", "unwise", ensemble={"seeds": 1})
    assert _ran(_snakemake(repository, folder, "-n")) == sorted(["Training unwise.seed1 on unwise", "Predicting unwise with unwise", *JUDGED])
    folder = _changed(finished, tmp_path / "coverage", "models", "unwise", calibration={"coverage": 0.8})
    assert _ran(_snakemake(repository, folder, "-n")) == JUDGED


def test_the_order_of_keys_means_nothing_and_another_table_does(repository: Path, finished: Path, tmp_path: Path) -> None:
    folder = _changed(finished, tmp_path / "run", "samples", "unwise")
    configuration = yaml.safe_load((folder / "config.yaml").read_text())
    options = configuration["samples"]["unwise"]["catalogue"]["options"]
    configuration["samples"]["unwise"]["catalogue"]["options"] = {key: options[key] for key in reversed(options)}
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration, sort_keys=False))
    assert "Nothing to be done" in _snakemake(repository, folder)
    table = folder / options["file"]
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]) + "\n")
    assert "Downloading the catalogue table for unwise" in _ran(_snakemake(repository, folder, "-n"))


def test_another_scale_fetches_that_sample_again_and_what_failed_is_asked_for_in_the_next_run(repository: Path, finished: Path, tmp_path: Path) -> None:
    folder = _changed(finished, tmp_path / "run", "samples", "unwise", images={"arcsec_per_pixel": 2.0})
    others = [path.relative_to(finished) for path in (finished / "results/samples").glob("*/stamps/*.arrow") if "unwise" not in str(path)]
    before = {path: (folder / path).read_bytes() for path in others}
    planned = _ran(_snakemake(repository, folder, "-n"))
    assert planned and all("unwise" in message or message == "Publishing Infrared" for message in planned), planned

    # The archive fails for two galaxies of one shard.
    objects = read_columns(folder / "results/samples/unwise/objects.parquet", ["object_id", "ra", "shard"])
    shards = sorted(set(objects["shard"]))
    bad = np.flatnonzero(objects["shard"] == shards[0])[1:3]
    (tmp_path / "unreliable").mkdir()
    (tmp_path / "unreliable" / "sitecustomize.py").write_text(UNRELIABLE)
    paths = os.pathsep.join(filter(None, [str(tmp_path / "unreliable"), os.environ.get("PYTHONPATH")]))
    faults = {"PYTHONPATH": paths, "TEST_JOURNAL": str(tmp_path / "journal"), "TEST_FAULTY_RA": " ".join(str(ra) for ra in objects["ra"][bad])}
    target = "results/samples/unwise/stamps.json"
    ran = _ran(_snakemake(repository, folder, target, **faults))
    expected = ["Selecting the objects of unwise", "Sharding unwise", *(f"Fetching the cutouts of unwise, shard {name}" for name in shards)]
    assert ran == sorted([*expected, "Collecting the ledger of unwise"])
    assert {path: (folder / path).read_bytes() for path in others} == before
    ledger = read_columns(folder / "results/samples/unwise/ledger.parquet")
    assert sorted(ledger["object_id"][ledger["status"] == "failed"]) == sorted(objects["object_id"][bad])
    assert "503" in ledger["reason"][ledger["status"] == "failed"][0]

    # It is mended: that shard alone is fetched again, and nothing is asked but what is missing.
    (tmp_path / "journal").unlink()
    ran = _ran(_snakemake(repository, folder, target, **{**faults, "TEST_FAULTY_RA": ""}))
    assert ran == ["Collecting the ledger of unwise", f"Fetching the cutouts of unwise, shard {shards[0]}"]
    assert len((tmp_path / "journal").read_text().splitlines()) == len(bad)
    for name in shards:
        shard = read_shard(folder / f"results/samples/unwise/stamps/{name}.arrow")
        assert set(shard.status) == {"ok"}
        np.testing.assert_allclose(shard.scalars["pixel_scale_arcsec"], 2.0)
    assert "Nothing to be done" in _snakemake(repository, folder, target)
