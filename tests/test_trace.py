"""An object of a folder is followed to its picture; who is unknown, and who was never made, is said."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tuningfork.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    described = {"kind": "folder", "folder": "pictures", "task": "regression", "targets": ["y"], "stamp": {"pixels": 16}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"samples": {"mine": described}}))
    return tmp_path


def test_a_sample_that_was_never_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "x", "--configfile", str(folder / "mine.yaml"), "--directory", str(folder)]) == 1
    assert "no sample has been made here" in capsys.readouterr().err
    assert main(["trace", "x", "--configfile", str(folder / "nowhere.yaml")]) == 1
    assert "there is no such file" in capsys.readouterr().err


def test_an_object_of_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{number}.png")
    monkeypatch.chdir(folder)
    assert main(["mirror", "copy", "--configfile", "mine.yaml"]) == 0  # runs the rules up to the stamps
    capsys.readouterr()
    assert main(["trace", "1", "--configfile", "mine.yaml"]) == 0
    told = capsys.readouterr().out
    picture = folder / "pictures/1.png"
    assert f"pictures/1.png\n             {picture.stat().st_size:,} bytes, SHA-256 {hashlib.sha256(picture.read_bytes()).hexdigest()}" in told
    assert "1 of sample mine" in told and "ok, 3x16x16 uint8" in told
    assert main(["trace", "4", "--configfile", "mine.yaml"]) == 1
    assert "'4' is neither an object_id nor a galaxy_id of mine" in capsys.readouterr().err
