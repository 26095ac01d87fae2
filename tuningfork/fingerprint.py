"""What a rule's result depends on in our own code: a digest over its script and over every definition of this package that this can reach.

Snakemake sees that a script file was touched, but not that a library module changed. So each rule carries this digest as a parameter: comments,
docstrings, formatting and the neighbours of what it uses do not change it, an edit in a function, class or constant that it reaches, however
indirectly, does (`syntax` says how they are followed). Nothing is imported to find out.
"""

import atexit
import contextlib
import functools
import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from tuningfork import syntax
from tuningfork.files import write_text
from tuningfork.syntax import ALWAYS, OWN, Module, read_module

PACKAGE = Path(__file__).parent
MEMORY = Path(".snakemake/tuningfork-code.json")  # in the working directory, beside Snakemake's own bookkeeping
PARTS = Path(".snakemake/tuningfork-code")  # what each digest was made of, so that `tuningfork why` can name what changed
MOST_REMEMBERED = 1000
MOST_PARTS = 2000
LIBRARIES = ("torch", "numpy")  # their major.minor version is part of the digest where they are used

Node = tuple[str, str]  # a module, and a name in it


@functools.cache
def code_of(script: Path | str, modules: tuple[str, ...] = ()) -> str:
    """Digest of a script and of all it reaches.

    Parameters
    ----------
    script
        The rule's script.
    modules
        Modules that the script loads by name at run time (a network, a catalogue), which no import statement shows; they count whole.
    """
    parts = parts_of(script, modules)
    digest = hashlib.sha256("\n".join(f"{name} {value}" for name, value in parts.items()).encode()).hexdigest()[:16]
    _remembered()
    _made_of()[digest] = parts
    return digest


def parts_of(script: Path | str, modules: tuple[str, ...] = ()) -> dict[str, str]:
    """What a script reaches: definition -> digest, library -> version, in the order of their names. The script itself is called ``script``."""
    reached, libraries = _closure(Path(script), modules)
    parts = {"script": _whole(_module_at(Path(script)))}
    for module, name in reached:
        if digest := _unit(module, name):
            parts[f"{module}.{name}" if name else module] = digest
    return dict(sorted(parts.items())) | {library: _version(library) for library in sorted(libraries)}


def _closure(script: Path, modules: tuple[str, ...]) -> tuple[set[Node], set[str]]:
    described = _module_at(script)
    waiting, libraries = set[Node](), set[str]()
    for _, references in described.units.values():
        _add(references, described, "", waiting, libraries)
    for name in described.imports:
        waiting |= _executed(name)
    for name in modules:
        waiting |= _everything(name) | _executed(name)
    reached = set[Node]()
    while waiting:
        node = waiting.pop()
        if node not in reached:
            reached.add(node)
            nodes, used = _needs(node)
            waiting |= nodes - reached
            libraries |= used
    return reached, libraries


@functools.cache
def _needs(node: Node) -> tuple[frozenset[Node], frozenset[str]]:
    """What a definition refers to; and for the statements that run at import, what its module imports."""
    module, name = node
    described = _module(module)
    nodes, libraries = {(module, ALWAYS)}, set[str]()
    if described is None:
        return frozenset(), frozenset()
    if name in described.units:
        _add(described.units[name][1], described, module, nodes, libraries)
    if name == ALWAYS:
        for imported in described.imports:
            nodes |= _executed(imported)
    return frozenset(nodes), frozenset(libraries)


def _add(references: list[str], described: Module, module: str, nodes: set[Node], libraries: set[str]) -> None:
    for reference in references:
        if reference.startswith("!"):
            nodes |= _executed(reference[1:])
            continue
        if reference == ".*":
            nodes |= _everything(module)
            continue
        if reference.startswith("."):
            first, *rest = reference[1:].split(".")
            if first in described.units and module:
                nodes.add((module, first))
            if first not in described.bound:
                continue
            reference = ".".join((described.bound[first], *rest))
        top = reference.split(".")[0]
        if top in LIBRARIES:
            libraries.add(top)
        elif top == OWN:
            nodes |= _resolve(reference)


@functools.cache
def _resolve(dotted: str) -> frozenset[Node]:
    """What ``tuningfork.stamps.store.read_shard`` is: a definition of a module, a thing that the module imports from elsewhere, or a whole module."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        described = _module(name)
        if described is None:
            continue
        if length == len(parts):
            return frozenset(_everything(name))
        wanted, rest = parts[length], parts[length + 1 :]
        if wanted in described.units:
            return frozenset({(name, wanted)})
        if wanted not in described.bound:
            return frozenset(_everything(name))  # made at run time: it may come from anything in the module
        origin = ".".join((described.bound[wanted], *rest))
        here = {(name, ALWAYS)}
        return frozenset(here | _resolve(origin)) if origin.split(".")[0] == OWN else frozenset(here)
    return frozenset()


def _executed(dotted: str) -> set[Node]:
    """The modules that importing a name runs: its own, and the packages around it."""
    parts = dotted.split(".")
    return {(name, ALWAYS) for length in range(1, len(parts) + 1) if _module(name := ".".join(parts[:length])) is not None}


def _everything(module: str) -> set[Node]:
    described = _module(module)
    if described is None:
        return set()
    found = {(module, name) for name in (ALWAYS, *described.units)}
    for origin in described.bound.values():
        if origin.split(".")[0] == OWN and _module(origin) is None:
            found |= _resolve(origin)
    return found


def _unit(module: str, name: str) -> str | None:
    described = _module(module)
    return described.units[name][0] if described and name in described.units else None


def _whole(described: Module) -> str:
    return hashlib.sha256("\n".join(f"{name} {digest}" for name, (digest, _) in sorted(described.units.items())).encode()).hexdigest()[:16]


@functools.cache
def _path_of(name: str) -> Path | None:
    top, *rest = name.split(".")
    if top != OWN:
        return None
    base = PACKAGE.joinpath(*rest)
    for path in (base.with_suffix(".py"), base / "__init__.py") if rest else (base / "__init__.py",):
        if path.is_file() and path.is_relative_to(PACKAGE):
            return path
    return None


@functools.cache
def _module(name: str) -> Module | None:
    path = _path_of(name)
    return None if path is None else _module_at(path)


@functools.cache
def _module_at(path: Path) -> Module:
    stat = path.stat()
    key = f"{path}:{stat.st_size}:{stat.st_mtime_ns}"
    known = _remembered().get(key)
    if known is None:
        found = read_module(path.read_text(encoding="utf-8"), str(path))
        known = _remembered()[key] = [found.units, found.bound, found.imports]
    units, bound, imports = known
    return Module({name: (unit[0], unit[1]) for name, unit in units.items()}, bound, imports)


@functools.cache
def _made_of() -> dict[str, dict[str, str]]:
    """What the digests of this run are made of."""
    return {}


def made_of(digest: str, directory: Path) -> dict[str, str] | None:
    """What a digest of this run, or of an earlier one in that working directory, was made of (see `parts_of`); None if that is not known."""
    if digest in _made_of():
        return _made_of()[digest]
    try:
        return json.loads((directory / PARTS / f"{digest}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@functools.cache
def _reader() -> str:
    """Digest of what reads the files: what another version of it found in them is worth nothing."""
    return hashlib.sha256(Path(syntax.__file__).read_bytes()).hexdigest()[:16]


@functools.cache
def _remembered() -> dict[str, list[Any]]:
    """What an earlier run found in files of the same size and time: parsing costs half a second, reading this nothing."""
    memory, parts = MEMORY.resolve(), PARTS.resolve()  # Snakemake leaves the working directory before it ends
    try:
        kept = json.loads(memory.read_text(encoding="utf-8"))
        found = kept["modules"] if kept["reader"] == _reader() else {}
    except (OSError, ValueError, KeyError, TypeError):
        found = {}
    atexit.register(_remember, memory, parts, len(found))
    return found


def _remember(memory: Path, parts: Path, before: int) -> None:
    if not memory.parent.is_dir():
        return
    with contextlib.suppress(OSError):  # a read-only directory only costs the half second again
        if len(_remembered()) > before:
            write_text(memory, json.dumps({"reader": _reader(), "modules": dict(list(_remembered().items())[-MOST_REMEMBERED:])}))
        for digest, made_of in _made_of().items():
            if not (path := parts / f"{digest}.json").exists():
                parts.mkdir(exist_ok=True)
                write_text(path, json.dumps(made_of))
        known = sorted(parts.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for path in known[: max(0, len(known) - MOST_PARTS)]:
            path.unlink(missing_ok=True)


def _version(library: str) -> str:
    try:
        return ".".join(metadata.version(library).split(".")[:2])
    except metadata.PackageNotFoundError:
        return "absent"
