"""Bad input end to end: folders of real pictures with faults of every kind among them. Each fault costs its own object, and the run says which."""

import csv
import re
import shutil

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from tuningfork import tables

SMALL = {"name": "deepshadows", "options": {"width": 0.1}}
SHORT = {"epochs": 1, "precision": "fp32"}
SPLIT = {"by": "galaxy", "seed": 1, "validation": 0.2, "test": 0.2}


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def pictures(shared_data, folder):
    """Forty real SDSS pictures and their metallicities, then the faults: (rows of labels, expected status and words of the reason by id)."""
    (folder / "deep").mkdir(parents=True)
    with open(shared_data / "sdss_metallicity/labels.csv", newline="") as file:
        good = [{"name": row["objID"], "oh": row["oh_p50"], "file": row["file"]} for row in csv.DictReader(file)][:40]
    for row in good:
        shutil.copyfile(shared_data / "sdss_metallicity" / row.pop("file"), folder / f"{row['name']}.jpg")
    whole = (folder / f"{good[0]['name']}.jpg").read_bytes()
    faults = {
        "truncated": ("failed", "truncated"),
        "text": ("failed", "not a readable image"),
        "empty": ("failed", "not a readable image"),
        "constant": ("blank", "same value"),
        "tiny": ("too_small", "2 x 2"),
        "../../outside": ("failed", "leaves the sample's folder"),
        "/etc/hostname": ("failed", "leaves the sample's folder"),
        "label_alone": ("absent", "no image 'label_alone'"),
        "picture_alone": ("ok", ""),
        "no_number": ("ok", ""),
        "infinite": ("ok", ""),
        "ünïcode $1": ("ok", ""),
    }
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("<html>404 not found</html>")
    (folder / "empty.jpg").write_bytes(b"")
    Image.new("RGB", (64, 64), (9, 9, 9)).save(folder / "constant.jpg")
    Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3)).save(folder / "tiny.jpg")
    for name in ("deep/picture_alone", "no_number", "infinite", "ünïcode $1"):
        (folder / f"{name}.jpg").write_bytes(whole)
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(folder.parent.parent / "outside.jpg")  # where ../../outside leads
    labels = [*good, *({"name": name, "oh": "8.7"} for name in faults if name not in ("picture_alone", "no_number", "infinite"))]
    labels += [{"name": "no_number", "oh": "n/a"}, {"name": "infinite", "oh": "inf"}]
    return labels, {**{row["name"]: ("ok", "") for row in good}, **faults}


def stamps(shared_data, folder):
    """Tiles of a real cluster field (F105W) as FITS stamps with made-up votes, then the faults."""
    folder.mkdir()
    field = fits.getdata(shared_data / "candels_clash_hst/abell2744_hff/abell_2744_cd_galaxy_f105w.fits.gz").astype(np.float32)
    votes = np.random.default_rng(1).multinomial(5, (0.5, 0.3, 0.2), 64) / 5
    tiles = {f"tile{i}": field[50 * (i // 8) :, 50 * (i % 8) :][:50, :50] for i in range(64)}
    labels = [dict(zip(("ID", "p_a", "p_b", "p_c"), (name, *p), strict=True)) for name, p in zip(tiles, votes.tolist(), strict=True)]
    for name, tile in tiles.items():
        fits.writeto(folder / f"{name}.fits", tile)
    one = tiles["tile27"].copy()
    holes, half, infinite = one.copy(), one.copy(), one.copy()
    holes[:] = np.nan
    half[:, :20] = np.nan
    infinite[3, 3] = np.inf
    for name, image in {"all_nan": holes, "half_nan": half, "infinite": infinite, "zeros": 0 * one, "constant": 0 * one + 3}.items():
        fits.writeto(folder / f"{name}.fits", image)
    fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1.0])]).writeto(folder / "table_only.fits")
    fits.writeto(folder / "cube.fits", np.stack([one, one]))
    whole = (folder / "tile0.fits").read_bytes()
    (folder / "cut_off.fits").write_bytes(whole[:4000])
    for name in ("sum_is_not_1", "negative", "unlabelled"):
        fits.writeto(folder / f"{name}.fits", one)
    faults = {
        "all_nan": ("blank", "no pixel"),
        "half_nan": ("partial", "60.0%"),
        "infinite": ("nonfinite", "infinite"),
        "zeros": ("blank", "no pixel"),
        "constant": ("blank", "same value"),
        "table_only": ("failed", "no image in the file"),
        "cube": ("failed", "2 planes"),
        "cut_off": ("failed", "truncated"),
        "sum_is_not_1": ("ok", ""),
        "negative": ("ok", ""),
        "unlabelled": ("ok", ""),
    }
    odd = {"sum_is_not_1": (0.5, 0.3, 0.3), "negative": (1.2, -0.2, 0)}
    labels += [dict(zip(("ID", "p_a", "p_b", "p_c"), (name, *odd.get(name, (1, 0, 0))), strict=True)) for name in faults if name != "unlabelled"]
    return labels, {**{name: ("ok", "") for name in tiles}, **faults}


@pytest.fixture(scope="module")
def run(snakemake, shared_data, tmp_path_factory):
    """One run with both folders: (run, {sample: what is expected of each object})."""
    here = tmp_path_factory.mktemp("bad")
    data = here / "inside" / "data"
    data.mkdir(parents=True)
    expected = {}
    for sample, make in (("pictures", pictures), ("stamps", stamps)):
        labels, expected[sample] = make(shared_data, data / sample)
        write_csv(data / f"{sample}.csv", labels)
    configuration = {
        "samples": {
            "pictures": {
                "kind": "folder",
                "folder": str(data / "pictures"),
                "labels": {"file": str(data / "pictures.csv"), "id_column": "name"},
                "task": "regression",
                "targets": ["oh"],
                "stamp": {"pixels": 32, "channels": 3},
                "split": SPLIT,
            },
            "stamps": {
                "kind": "folder",
                "folder": str(data / "stamps"),
                "labels": {"file": str(data / "stamps.csv"), "id_column": "ID", "suffix": ".fits"},
                "targets": ["p_a", "p_b", "p_c"],
                "stamp": {"pixels": 32, "channels": 1},
                "split": SPLIT,
            },
        },
        "models": {
            "pictures": {"train": "pictures", "network": SMALL, "recipe": "pictures", "training": SHORT},
            "stamps": {"train": "stamps", "network": SMALL, "recipe": "pictures", "training": {**SHORT, "loss": "per_sample_rmse"}},
        },
        "catalogues": {name: {"model": name, "sample": name} for name in ("pictures", "stamps")},
    }
    return snakemake(here / "work", configuration), expected


@pytest.mark.slow
@pytest.mark.parametrize("sample", ["pictures", "stamps"])
def test_each_fault_has_its_status_and_no_other_object_is_touched(run, sample):
    run, expected = run
    ledger = tables.read_columns(run.results / f"samples/{sample}/ledger.parquet")
    found = dict(zip(ledger["object_id"].tolist(), zip(ledger["status"].tolist(), ledger["reason"].tolist(), strict=True), strict=True))
    assert found.keys() == expected[sample].keys()
    for name, (status, words) in expected[sample].items():
        assert found[name][0] == status and words in found[name][1], (name, found[name])


@pytest.mark.slow
@pytest.mark.parametrize(("sample", "target"), [("pictures", "oh"), ("stamps", "p_a")])
def test_the_catalogue_has_a_row_for_each(run, sample, target):
    run, expected = run
    with open(run.results / f"catalogues/{sample}.csv", newline="", encoding="utf-8") as file:
        rows = {row["object_id"]: row for row in csv.DictReader(file)}
    assert rows.keys() == expected[sample].keys()
    for name, (status, _) in expected[sample].items():
        assert rows[name]["status"] == status
        assert (rows[name][target] != "") == (status in ("ok", "partial")), name
        assert rows[name]["in_training"] == "false" or status in ("ok", "partial"), name
    for suffix in ("parquet", "fits", "vot"):
        assert (run.results / f"catalogues/{sample}.{suffix}").stat().st_size > 0


@pytest.mark.slow
def test_labels_that_mean_nothing_are_not_learned_from(run):
    run, _ = run
    for sample, reasons in (
        ("pictures", {"no_number": "not a finite number", "infinite": "not a finite number", "picture_alone": "no label"}),
        ("stamps", {"sum_is_not_1": "1.1", "negative": "outside 0 to 1", "unlabelled": "no label"}),
    ):
        objects = tables.read_columns(run.results / f"samples/{sample}/objects.parquet")
        row = {name: i for i, name in enumerate(objects["object_id"].tolist())}
        for name, words in reasons.items():
            assert words in str(objects["label_reason"][row[name]]), (name, objects["label_reason"][row[name]])
            assert not objects["labelled"][row[name]] and objects["split"][row[name]] == "unlabelled"
    # neither does a label whose picture cannot be used count as a test row
    assert all(run.metrics(name)["sections"]["test"]["n"] <= run.metrics(name)["rows"]["usable"] for name in ("pictures", "stamps"))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("twice", r"SampleError: .*labels\.csv: 1 identifier not unique: 1237\d{15}$"),
        ("no column", r"CatalogueError: .*labels\.csv: no column 'metallicity'; the nearest it has is '(name|oh)'"),
        ("no folder", "SampleError: .*no such folder of images"),
        ("both kinds", "StampError: FITS files and pictures in one sample"),
        ("no number", r"SampleError: .*labels\.csv: no usable label: 12 x a target is not a finite number"),
    ],
)
def test_a_sample_that_makes_no_sense_stops_with_one_line(snakemake, shared_data, tmp_path, fault, words):
    data = tmp_path / "data"
    labels, _ = pictures(shared_data, data / "pictures")
    labels = labels[:12]
    target = "oh"
    if fault == "twice":
        labels.append(dict(labels[3]))
    if fault == "no column":
        target = "metallicity"
    if fault == "no folder":
        shutil.rmtree(data / "pictures")
    if fault == "both kinds":
        fits.writeto(data / "pictures" / "stray.fits", np.ones((3, 20, 20), np.float32))
    if fault == "no number":
        for row in labels:
            row["oh"] = "?"
    write_csv(data / "labels.csv", labels)
    sample = {"kind": "folder", "folder": str(data / "pictures"), "labels": {"file": str(data / "labels.csv"), "id_column": "name"}, "task": "regression"}
    sample |= {"targets": [target], "stamp": {"pixels": 16}, "shards": {"buckets": 1}}
    configuration = {"samples": {"s": sample}, "models": {"m": {"train": "s", "network": SMALL, "recipe": "pictures", "training": SHORT}}}
    done = snakemake(tmp_path / "work", configuration, check=False)
    assert done.returncode != 0
    (line,) = {line for line in done.messages.splitlines() if line.startswith(("SampleError: ", "CatalogueError: ", "StampError: ", "ModelError: "))}
    assert re.search(words, line), line
    assert "Traceback" not in done.messages
