"""Digests of large files are those of their contents, and remembered."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from tuningfork import digests
from tuningfork.digests import remembered_sha256


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    (tmp_path / ".snakemake").mkdir()
    return tmp_path / ".snakemake" / "files.json"


def test_a_touched_file_keeps_its_digest_and_a_changed_one_does_not(tmp_path: Path, memory: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"one")
    first = remembered_sha256(file, memory)
    assert first == hashlib.sha256(b"one").hexdigest()
    os.utime(file, ns=(1, 10**18))
    assert remembered_sha256(file, memory) == first
    file.write_bytes(b"two")
    assert remembered_sha256(file, memory) == hashlib.sha256(b"two").hexdigest()


def test_a_known_file_is_not_read_again(tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"one")
    first = remembered_sha256(file, memory)
    monkeypatch.setattr(digests, "sha256_of", lambda path: pytest.fail("it was read again"))
    assert remembered_sha256(file, memory) == first


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 5}'])
def test_a_broken_memory_only_costs_time(tmp_path: Path, memory: Path, content: str) -> None:
    memory.write_text(content)
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"one")
    assert remembered_sha256(file, memory) == hashlib.sha256(b"one").hexdigest()
    assert len(json.loads(memory.read_text())) == 1


def test_without_a_place_to_remember_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"one")
    assert remembered_sha256(file, tmp_path / "absent" / "files.json") == hashlib.sha256(b"one").hexdigest()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.safetensors"]
