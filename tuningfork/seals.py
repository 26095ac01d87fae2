"""Seals: the size and SHA-256 of every file that a rule made, written when its script ends well, and compared later.

Snakemake remembers that a file was made, not what was in it: one that is corrupted or deleted by hand below finished products goes unnoticed.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tuningfork.files import read_json, sha256_of, write_json

__all__ = ["FOLDER", "Finding", "made_without_seal", "seal", "sealed", "verify"]

FOLDER = Path("results/.seals")
"""One JSON file a job, in the working directory: {path: {bytes, sha256}}."""
PRODUCTS = ("results/samples", "results/models", "results/catalogues", "results/groups")
SIDE_FILES = (".retry.json",)
"""Notes of a job to its next run, which are no outputs."""


@dataclass(frozen=True)
class Finding:
    """A sealed file that is not what it was: its path, what is wrong (``deleted`` or ``changed``), how, and the seal that says so."""

    path: Path
    kind: Literal["deleted", "changed"]
    how: str
    seal: Path


def seal(job: str, outputs: Iterable[str | os.PathLike[str]], directory: Path = Path()) -> bool:
    """Record the outputs of one job, in place of what an earlier run of it recorded.

    Parameters
    ----------
    job : str
        Its rule and wildcards, as a relative path (``train_model/clash``).
    outputs
        Paths relative to `directory`.

    Returns
    -------
    bool
        False, with nothing recorded, where an output is missing: the job did not end well.
    """
    paths = [Path(path) for path in outputs]
    if not paths or not all((directory / path).is_file() for path in paths):
        return False
    found = {path.as_posix(): {"bytes": (directory / path).stat().st_size, "sha256": sha256_of(directory / path)} for path in paths}
    write_json(directory / FOLDER / f"{job}.json", found)
    return True


def sealed(directory: Path = Path()) -> Iterator[tuple[Path, Path, dict[str, Any]]]:
    """(seal, path, what it records) of every sealed file, in order; a seal that cannot be read counts as one with no files."""
    for note in sorted((directory / FOLDER).rglob("*.json")):
        try:
            found = read_json(note)
        except (OSError, json.JSONDecodeError):
            continue
        yield from ((note.relative_to(directory), Path(path), record) for path, record in sorted(found.items()))


def verify(directory: Path = Path(), *, threads: int | None = None, told: Callable[[int], object] = lambda _: None) -> list[Finding]:
    """Read every sealed file again and compare.

    Parameters
    ----------
    threads : int, optional
        Files read at the same time; default: one a core.
    told
        Is called with the bytes of each file that was read, for a progress bar.

    Returns
    -------
    list of Finding
        In the order of the seals; empty: all is as it was made.
    """

    def look(found: tuple[Path, Path, dict[str, Any]]) -> Finding | None:
        note, path, record = found
        here = directory / path
        if not here.is_file():
            return Finding(path, "deleted", "it is gone", note)
        size = here.stat().st_size
        if size != record["bytes"]:
            return Finding(path, "changed", f"{size:,} bytes, {record['bytes']:,} when it was made", note)
        digest = sha256_of(here)
        told(size)
        return None if digest == record["sha256"] else Finding(path, "changed", "other bytes than when it was made", note)

    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
        return [finding for finding in pool.map(look, list(sealed(directory))) if finding is not None]


def made_without_seal(directory: Path = Path()) -> Sequence[Path]:
    """Files among the products that no job has sealed: made by an older version, or laid there by hand."""
    known = {path for _, path, _ in sealed(directory)}
    files = (path.relative_to(directory) for folder in PRODUCTS for path in sorted((directory / folder).rglob("*")) if path.is_file())
    return [path for path in files if path not in known and not path.name.startswith(".") and not path.name.endswith(SIDE_FILES)]
