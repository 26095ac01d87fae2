"""Files are whole or absent; names are safe."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuningfork.files import atomic_path, digest_of, read_json, safe_name, sha256_of, write_json


def test_a_failure_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), atomic_path(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "x.json", {"value": float("nan")})
    assert not list(tmp_path.iterdir())


def test_digests() -> None:
    assert digest_of({"b": 1, "a": [1, 2]}) == digest_of({"a": [1, 2], "b": 1}) != digest_of({"a": [2, 1], "b": 1})


def test_sha256_of_the_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_of(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("plain", ["macs2129_f160w_656", "1237648704043942146", "j0137-09.5"])
def test_plain_ids_stay_readable(plain: str) -> None:
    assert safe_name(plain) == plain


@given(st.text(min_size=1, max_size=400))
def test_no_id_escapes_its_folder(identifier: str) -> None:
    name = safe_name(identifier)
    assert 0 < len(name.encode()) <= 100
    assert not set(name) & set('/\\\0:*?"<>| ')
    assert name not in (".", "..")
    assert (Path("folder") / name).parent == Path("folder")


@given(st.text(min_size=1, max_size=50), st.text(min_size=1, max_size=50))
def test_two_ids_have_two_names_even_where_case_is_ignored(one: str, other: str) -> None:
    assert (safe_name(one).lower() == safe_name(other).lower()) is (one == other)
