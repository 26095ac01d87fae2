"""What a rule's result depends on in our own code: a digest over the syntax trees of its script and of every module that this imports.

Snakemake sees that a script file was touched, but not that a library module changed. So each rule carries this digest as a parameter: comments,
docstrings and formatting do not change it, an edit in a module that the rule uses, however indirectly, does. Nothing is imported to find out.
"""

import ast
import functools
import hashlib
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parent
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
    names, libraries = _imports(Path(script))
    todo, seen, digests = {*names, *modules}, set(), [_tree_digest(Path(script))]
    while todo:
        name = todo.pop()
        path = _path_of(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        more, used = _imports(path)
        todo |= more
        libraries |= used
    digests += [f"{name} {_tree_digest(path)}" for name in sorted(seen) if (path := _path_of(name))]
    digests += [f"{library} {_version(library)}" for library in sorted(libraries)]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def _path_of(name: str) -> Path | None:
    base = PACKAGE.joinpath(*name.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file() and path.parent.is_relative_to(PACKAGE):
            return path
    return None


@functools.cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@functools.cache
def _imports(path: Path) -> tuple[frozenset[str], set[str]]:
    """Modules of this package that a file imports, and which of `LIBRARIES`."""
    names, libraries = set(), set()
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # "from tuningfork.stamps import store" names a module or a thing in one: both are tried
            found = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in found:
            top = name.split(".")[0]
            if top == "tuningfork":
                names.add(name)
            elif top in LIBRARIES:
                libraries.add(top)
    return frozenset(names - {"tuningfork"}), libraries


@functools.cache
def _tree_digest(path: Path) -> str:
    tree = _parse(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _version(library: str) -> str:
    try:
        return ".".join(metadata.version(library).split(".")[:2])
    except metadata.PackageNotFoundError:
        return "absent"
