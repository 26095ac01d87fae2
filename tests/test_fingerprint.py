"""The code fingerprint changes with what a rule uses, and with nothing else."""

from pathlib import Path

import pytest

from tuningfork import fingerprint


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tuningfork"
    (folder / "stamps").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "stamps" / "__init__.py").write_text("")
    (folder / "stamps" / "cut.py").write_text('"""Doc."""\nfrom tuningfork.stamps import store\n\ndef cut():\n    """Doc."""\n    return store.SIDE\n')
    (folder / "stamps" / "store.py").write_text("SIDE = 80\n")
    (folder / "other.py").write_text("import numpy\nX = 1\n")
    (tmp_path / "script.py").write_text("from tuningfork.stamps.cut import cut\ncut()\n")
    monkeypatch.setattr(fingerprint, "PACKAGE", folder)
    monkeypatch.setattr(fingerprint, "_remembered", dict)  # nothing is remembered from one look to the next
    return tmp_path


def _code(package: Path, *modules: str) -> str:
    for cached in (fingerprint.code_of, fingerprint._facts, fingerprint._path_of):
        cached.cache_clear()
    return fingerprint.code_of(package / "script.py", modules)


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "changes"),
    [
        ("tuningfork/stamps/store.py", "80", "64", True),
        ("tuningfork/stamps/cut.py", "store.SIDE", "store.SIDE + 1", True),
        ("script.py", "cut()", "cut(); cut()", True),
        ("tuningfork/other.py", "X = 1", "X = 2", False),
        ("tuningfork/stamps/cut.py", '"""Doc."""\nfrom', '"""Another."""\n# a comment\nfrom', False),
        ("tuningfork/stamps/cut.py", '    """Doc."""', '    """Said otherwise."""', False),
        ("tuningfork/stamps/store.py", "SIDE = 80", "SIDE  =  80  # pixels", False),
    ],
)
def test_only_code_that_is_used_counts(package: Path, file: str, old: str, new: str, changes: bool) -> None:
    before = _code(package)
    _edit(package / file, old, new)
    assert (_code(package) != before) is changes


def test_modules_loaded_by_name_count(package: Path) -> None:
    before = _code(package, "tuningfork.other")
    assert before != _code(package)
    _edit(package / "tuningfork" / "other.py", "X = 1", "X = 2")
    assert _code(package, "tuningfork.other") != before


def test_a_library_version_counts_where_the_library_is_used(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used, unused = _code(package, "tuningfork.other"), _code(package)
    monkeypatch.setattr(fingerprint, "_version", lambda library: "99.0")
    assert _code(package, "tuningfork.other") != used
    assert _code(package) == unused


def test_what_is_remembered_on_disk_is_what_would_be_read(package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    memory: dict[str, list] = {}
    monkeypatch.setattr(fingerprint, "_remembered", lambda: memory)
    first = _code(package)
    assert memory
    monkeypatch.setattr(fingerprint, "_read", lambda path: pytest.fail("read again"))
    assert _code(package) == first
    monkeypatch.undo()


def test_every_script_of_the_rules_has_a_fingerprint(repository: Path) -> None:
    scripts = sorted((repository / "workflow" / "scripts").glob("*.py"))
    digests = {fingerprint.code_of(script) for script in scripts}
    assert len(digests) == len(scripts) > 10
