"""The code fingerprint changes with what a rule uses, and with nothing else."""

import json
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
    (folder / "stamps" / "store.py").write_text("SIDE = 80\nOTHER = 1\n\ndef unused():\n    return SIDE\n")
    (folder / "other.py").write_text("import numpy\nX = numpy.pi\nY = 1\n")
    (folder / "registry.py").write_text("KNOWN = {}\n\ndef register(f):\n    KNOWN[f.__name__] = f\n    return f\n")
    (folder / "plugin.py").write_text("from tuningfork.registry import register\n\n@register\ndef mine():\n    return 1\n\ndef aside():\n    return 2\n")
    (tmp_path / "script.py").write_text("from tuningfork.stamps.cut import cut\ncut()\n")
    monkeypatch.setattr(fingerprint, "PACKAGE", folder)
    monkeypatch.setattr(fingerprint, "_remembered", dict)  # nothing is remembered from one look to the next
    return tmp_path


def _code(package: Path, *modules: str) -> str:
    for cached in (fingerprint.code_of, fingerprint._module_at, fingerprint._module, fingerprint._path_of, fingerprint._needs, fingerprint._resolve):
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
        ("tuningfork/other.py", "Y = 1", "Y = 2", False),
        ("tuningfork/stamps/store.py", "OTHER = 1", "OTHER = 2", False),
        ("tuningfork/stamps/store.py", "SIDE = 80\n", 'SIDE = 80\n"""Pixels."""\n', False),
        ("tuningfork/stamps/store.py", "return SIDE", "return SIDE + 1", False),
        ("tuningfork/stamps/store.py", "SIDE = 80\n", "SIDE = 80\nprint(SIDE)\n", True),
        ("tuningfork/stamps/store.py", "SIDE = 80\n", "SIDE = 80\nif SIDE:\n    SIDE = 64\n", True),
        ("tuningfork/stamps/store.py", "SIDE = 80\n", "from tuningfork.other import Y as SIDE\n", True),
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
    before = _code(package, "tuningfork.other")
    _edit(package / "tuningfork" / "other.py", "Y = 1", "Y = 2")
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
    memory |= json.loads(json.dumps(memory))
    monkeypatch.setattr(fingerprint, "read_module", lambda source, where: pytest.fail("read again"))
    assert _code(package) == first
    monkeypatch.undo()


@pytest.mark.parametrize("kept", ["{", "[]", '{"a.py:1:1": [[], [], "digest"]}', '{"reader": "of another version", "modules": {"a.py:1:1": []}}'])
def test_what_another_version_remembered_is_not_believed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kept: str) -> None:
    (tmp_path / "memory.json").write_text(kept)
    monkeypatch.setattr(fingerprint, "MEMORY", tmp_path / "memory.json")
    monkeypatch.setattr(fingerprint.atexit, "register", lambda *_: None)
    assert fingerprint._remembered.__wrapped__() == {}


def test_what_this_version_remembered_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "memory.json").write_text(json.dumps({"reader": fingerprint._reader(), "modules": {"a.py:1:1": [{}, {}, []]}}))
    monkeypatch.setattr(fingerprint, "MEMORY", tmp_path / "memory.json")
    monkeypatch.setattr(fingerprint.atexit, "register", lambda *_: None)
    assert fingerprint._remembered.__wrapped__() == {"a.py:1:1": [{}, {}, []]}


def test_every_script_of_the_rules_has_a_fingerprint(repository: Path) -> None:
    scripts = sorted((repository / "workflow" / "scripts").glob("*.py"))
    digests = {fingerprint.code_of(script) for script in scripts}
    assert len(digests) == len(scripts) > 10


SCRIPTS = {
    "a name used in a function": ("from tuningfork.stamps.store import SIDE\ndef f():\n    return SIDE\nf()\n", {"stamps.store.SIDE"}),
    "a variable of the same name": ("from tuningfork.stamps import store\ndef f(store):\n    return store.OTHER\n", set()),
    "a variable of a comprehension hides nothing outside": (
        "from tuningfork.stamps import store\ndef f(x):\n    return [store for store in x], store.OTHER\n",
        {"stamps.store.OTHER"},
    ),
    "an import inside a function": (
        "def f():\n    from tuningfork.stamps.store import unused as g\n    return g()\n",
        {"stamps.store.unused", "stamps.store.SIDE"},
    ),
    "a module that is handed on": (
        "from tuningfork.stamps import store\nprint(vars(store))\n",
        {"stamps.store.unused", "stamps.store.SIDE", "stamps.store.OTHER"},
    ),
    "a thing that another module imports": ("from tuningfork.stamps import cut\ncut.store.unused()\n", {"stamps.store.unused", "stamps.store.SIDE"}),
    "a name made at run time": ("from tuningfork.stamps.store import nowhere\nnowhere()\n", {"stamps.store.unused", "stamps.store.SIDE", "stamps.store.OTHER"}),
    "what registers itself": ("import tuningfork.plugin\n", {"plugin.mine", "registry.register", "registry.KNOWN"}),
    "an annotation is no use": ("from tuningfork.stamps import store\ndef f(x: store.unused) -> store.OTHER:\n    y: store.SIDE = x\n    return y\n", set()),
    "for types alone": ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tuningfork.plugin import aside\n", set()),
}


@pytest.mark.parametrize(("text", "wanted"), SCRIPTS.values(), ids=SCRIPTS)
def test_what_a_script_reaches(package: Path, text: str, wanted: set[str]) -> None:
    _code(package)
    (package / "other_script.py").write_text(text)
    known = fingerprint.parts_of(package / "other_script.py")
    found = {name.removeprefix("tuningfork.") for name in known if name.startswith("tuningfork.")}
    assert wanted <= found
    assert {name for name in found if not (package / "tuningfork" / f"{name.replace('.', '/')}.py").exists()} - {"other_script"} <= wanted
