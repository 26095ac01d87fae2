"""What was made and downloaded is read again: a flipped bit, a deleted file and a damaged download are named, and a run mends them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tuningfork.cli import main
from tuningfork.files import read_json, write_json
from tuningfork.seals import FOLDER, made_without_seal, seal, sealed, verify

SNAKEFILE = Path(__file__).parents[1] / "Snakefile"
STAMPS = "results/samples/mine/stamps.json"


def snakemake(directory: Path, *targets: str) -> subprocess.CompletedProcess:
    command = [Path(sys.executable).with_name("snakemake"), "-s", SNAKEFILE, "--configfile", "mine.yaml", "--cores", "2", "--", *targets]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six pictures, imported."""
    directory = tmp_path_factory.mktemp("made")
    (directory / "pictures").mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(directory / "pictures" / f"{number}.png")
    described = {"kind": "folder", "folder": "pictures", "task": "regression", "targets": ["y"], "stamp": {"pixels": 16}}
    (directory / "mine.yaml").write_text(yaml.safe_dump({"samples": {"mine": described}}))
    done = snakemake(directory, STAMPS)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture
def shard(made: Path) -> Path:
    return next(made.glob("results/samples/mine/stamps/*.arrow"))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_every_output_is_sealed_and_whole(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {path.as_posix() for _, path, _ in sealed(made)} >= {STAMPS, "results/samples/mine/objects.parquet", "results/samples/mine/ledger.parquet"}
    assert made_without_seal(made) == []
    assert main(["verify", str(made)]) == 0
    assert "are what they were" in capsys.readouterr().out


def test_a_flipped_bit_is_named_and_mended(made: Path, shard: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = shard.read_bytes()
    flip(shard, len(before) // 2)
    assert main(["verify", str(made)]) == 1
    told = capsys.readouterr().out
    name = shard.relative_to(made).as_posix()
    assert f"changed  {name}: other bytes than when it was made" in told
    assert f"tuningfork verify --remove; snakemake --cores all {name}" in told
    assert main(["verify", str(made), "--remove", "--list"]) == 1
    assert capsys.readouterr().out == f"{name}\n"
    assert not shard.exists()
    done = snakemake(made, name)
    assert done.returncode == 0, done.stderr
    assert shard.read_bytes() == before
    assert main(["verify", str(made)]) == 0


def test_a_deleted_file_is_named_until_it_is_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / "results/catalogues").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"results/catalogues/{name}").write_text(name)
    assert seal("publish/x", ["results/catalogues/a", "results/catalogues/b"], tmp_path)
    (tmp_path / "results/catalogues/a").unlink()
    assert main(["verify", str(tmp_path)]) == 1
    assert "deleted  results/catalogues/a: it is gone" in capsys.readouterr().out
    assert main(["verify", str(tmp_path), "--forget"]) == 0
    assert list(read_json(tmp_path / FOLDER / "publish/x.json")) == ["results/catalogues/b"]
    assert main(["verify", str(tmp_path)]) == 0


def test_a_failed_job_seals_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    assert not seal("rule/x", ["a", "never_made"], tmp_path)
    assert list(sealed(tmp_path)) == []


def test_files_laid_there_by_hand_are_counted(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stray = made / "results/samples/mine/notes.txt"
    stray.write_text("mine")
    try:
        assert main(["verify", str(made)]) == 0
        assert "1 file(s) were not made by a rule of this version: results/samples/mine/notes.txt" in capsys.readouterr().out
    finally:
        stray.unlink()


def test_a_damaged_download_takes_its_manifest_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = tmp_path / "resources/cache/ab/abc.fits"
    body.parent.mkdir(parents=True)
    body.write_bytes(b"pixels")
    write_json(body.with_name("abc.fits.json"), {"bytes": 6, "sha256": "0" * 64})
    manifest = tmp_path / "resources/mosaics/clash/a611.json"
    write_json(manifest, {"field": "a611", "bands": {"f160w": {"status": "ok", "image": "resources/cache/ab/abc.fits", "weight": None}}, "detection": None})
    assert seal("download_mosaics/clash.a611", [manifest.relative_to(tmp_path)], tmp_path)
    assert main(["verify", str(tmp_path), "--remove"]) == 1
    told = capsys.readouterr().out
    assert "download resources/cache/ab/abc.fits: its SHA-256 is not that of its sidecar" in told
    assert "resources/mosaics/clash/a611.json: it names abc.fits" in told
    assert not body.exists() and not manifest.exists()


def test_nothing_made_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path)]) == 1
    assert "nothing has been made here" in capsys.readouterr().err


def test_a_seal_that_is_no_json_seals_nothing(tmp_path: Path) -> None:
    (tmp_path / "results/groups").mkdir(parents=True)
    (tmp_path / "results/groups/a.json").write_text("{}")
    assert seal("freeze/a", ["results/groups/a.json"], tmp_path)
    (tmp_path / FOLDER / "freeze/a.json").write_text("{")
    assert verify(tmp_path) == []
    assert [path.as_posix() for path in made_without_seal(tmp_path)] == ["results/groups/a.json"]
