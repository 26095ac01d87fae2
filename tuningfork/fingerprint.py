"""What a rule's result depends on in our own code: a digest over the syntax trees of its script and of every module that this imports.

Snakemake sees that a script file was touched, but not that a library module changed. So each rule carries this digest as a parameter: comments,
docstrings and formatting do not change it, an edit in a module that the rule uses, however indirectly, does. Nothing is imported to find out.
"""

import ast
import atexit
import contextlib
import functools
import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from tuningfork.files import write_text

PACKAGE = Path(__file__).parent
MEMORY = Path(".snakemake/tuningfork-code.json")  # in the working directory, beside Snakemake's own bookkeeping
MOST_REMEMBERED = 1000
LIBRARIES = ("torch", "numpy")  # their major.minor version is part of the digest where they are used


@functools.cache
def code_of(script: Path | str, modules: tuple[str, ...] = ()) -> str:
    """Digest of a script and of the modules it needs, direct, indirect, and named.

    Parameters
    ----------
    script
        The rule's script.
    modules
        Modules that the script loads by name at run time (a network, a catalogue), which no import statement shows.
    """
    names, libraries, digest = _facts(Path(script))
    todo, used, digests = {*names, *modules}, set(libraries), {"": digest}
    while todo:
        name = todo.pop()
        path = _path_of(name)
        if name in digests or path is None:
            continue
        names, libraries, digests[name] = _facts(path)
        todo |= names
        used |= libraries
    lines = [f"{name} {digest}" for name, digest in sorted(digests.items())] + [f"{library} {_version(library)}" for library in sorted(used)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@functools.cache
def _path_of(name: str) -> Path | None:
    base = PACKAGE.joinpath(*name.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file() and path.parent.is_relative_to(PACKAGE):
            return path
    return None


@functools.cache
def _facts(path: Path) -> tuple[frozenset[str], frozenset[str], str]:
    """Modules of this package that a file imports, which of `LIBRARIES`, and the digest of its syntax tree."""
    stat = path.stat()
    key = f"{path}:{stat.st_size}:{stat.st_mtime_ns}"
    known = _remembered().get(key)
    if known is None:
        names, libraries, digest = _read(path)
        known = _remembered()[key] = [sorted(names), sorted(libraries), digest]
    return frozenset(known[0]), frozenset(known[1]), known[2]


@functools.cache
def _remembered() -> dict[str, list[Any]]:
    """What an earlier run found in files of the same size and time: parsing costs half a second, reading this nothing."""
    memory = MEMORY.resolve()  # Snakemake leaves the working directory before it ends
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    atexit.register(_remember, memory, len(found))
    return found


def _remember(memory: Path, before: int) -> None:
    found = _remembered()
    if len(found) > before and memory.parent.is_dir():
        keep = dict(list(found.items())[-MOST_REMEMBERED:])
        with contextlib.suppress(OSError):  # a read-only directory only costs the half second again
            write_text(memory, json.dumps(keep))


def _read(path: Path) -> tuple[set[str], set[str], str]:
    names: set[str] = set()
    words: list[str] = []
    _spell(ast.parse(path.read_text(encoding="utf-8"), str(path)), words, names)
    tops = {name.split(".")[0] for name in names}
    own = {name for name in names if name.startswith("tuningfork.")}
    return own, tops & set(LIBRARIES), hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()


def _spell(node: ast.AST, words: list[str], names: set[str]) -> None:
    """Append a tree's canonical words, without docstrings and without what is empty, and note what it imports.

    Unlike `ast.dump` this reads the same under every Python version that we support (3.13 dumps empty fields otherwise than 3.11), and in half
    the time: whether a name is loaded or stored follows from where it stands.
    """
    words.append(type(node).__name__)
    for name in node._fields:
        if name in ("ctx", "type_comment", "kind"):
            continue
        value = getattr(node, name, None)
        if value is None or value == []:
            continue
        words.append(name)
        if isinstance(value, list):
            if name == "body" and isinstance(node, _DOCUMENTED) and _is_docstring(value[0]):
                value = value[1:]
            for item in value:
                if isinstance(item, ast.AST):
                    _spell(item, words, names)
                else:
                    words.append(repr(item))
            words.append("]")
        elif isinstance(value, ast.AST):
            _spell(value, words, names)
        else:
            words.append(repr(value))
    if isinstance(node, ast.Import):
        names.update(alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        # "from tuningfork.stamps import store" names a module or a thing in one: both are tried
        names.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _version(library: str) -> str:
    try:
        return ".".join(metadata.version(library).split(".")[:2])
    except metadata.PackageNotFoundError:
        return "absent"
