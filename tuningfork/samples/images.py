"""The images that a folder holds, and which of them a label row means.

Paths are compared with what the folder really holds, never opened, so a row such as ``../../x`` cannot reach outside it.
"""

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import Table

from tuningfork.catalogues.columns import find, strings
from tuningfork.errors import SampleError

EXTENSIONS = (".fits.gz", ".fits.fz", ".fits", ".fit", ".jpeg", ".jpg", ".png")


def list_images(folder: str | Path, extensions: Sequence[str] = EXTENSIONS) -> list[str]:
    """Paths of the images under `folder`, relative, with '/', sorted; hidden files and folders are left out.

    Raises
    ------
    SampleError
        `folder` is no folder, or a name in it is not UTF-8.
    """
    root = Path(folder)
    if not root.is_dir():
        raise SampleError(f"{root}: no such folder of images")
    wanted = tuple(e.lower() for e in extensions)
    found = []
    for directory, subdirectories, files in os.walk(root):
        subdirectories[:] = [d for d in subdirectories if not d.startswith(".")]
        relative = os.path.relpath(directory, root).replace(os.sep, "/")
        stem = "" if relative == "." else relative + "/"
        found += [stem + name for name in files if not name.startswith(".") and name.lower().endswith(wanted)]
    # Python spells bytes of a name that are no UTF-8 as lone surrogates, which no table can hold.
    if foreign := [path for path in found if any("\ud800" <= character <= "\udfff" for character in path)]:
        raise SampleError(f"{root}: {len(foreign)} file name(s) are not UTF-8, the first is {os.fsencode(min(foreign))!r}; rename them")
    return sorted(found)


def without_extension(path: str, extensions: Sequence[str] = EXTENSIONS) -> str:
    """The path without the image extension it ends in (the longest that fits)."""
    fitting = [e for e in extensions if path.lower().endswith(e.lower())]
    return path[: -len(max(fitting, key=len))] if fitting else path


def escapes(path: str) -> bool:
    """Whether a path is absolute or climbs out of the folder it is relative to, or holds what no path may."""
    plain = path.replace("\\", "/")
    return plain.startswith("/") or "\0" in plain or ".." in plain.split("/") or (len(plain) > 1 and plain[1] == ":")


def locate(
    rows: Table, where: str, folder: Path, images: list[str], id_column: str | None, path_column: str | None, suffix: str, extensions: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Identifier, path ('' where there is none), status and reason of each label row."""
    held = set(images)
    by_name: dict[str, list[str]] = {}
    for image in images:
        plain = without_extension(image, extensions)
        for key in {plain, posixpath.basename(plain)}:
            by_name.setdefault(key, []).append(image)
    wanted = strings(rows[find(rows, path_column or id_column or "", where)]).tolist()
    identifiers = strings(rows[find(rows, id_column, where)]).tolist() if id_column else [without_extension(posixpath.normpath(p), extensions) for p in wanted]
    blank = [i + 1 for i, text in enumerate(identifiers) if not text]
    if blank:
        raise SampleError(f"{where}: row {blank[0]} has no identifier")
    path: list[str] = []
    status: list[str] = []
    reason: list[str] = []
    for text in wanted:
        exact = posixpath.normpath(text if path_column else text + suffix)
        fitting = [exact] if path_column or exact in held else by_name.get(text, [])
        if escapes(text):
            outcome = "", "failed", f"{text!r} leaves the sample's folder"
        elif len(fitting) > 1:
            outcome = "", "failed", f"several images are called {text!r}: {', '.join(fitting)}"
        elif fitting and fitting[0] in held:
            outcome = fitting[0], "", ""
        elif path_column and text and (folder / text).is_file():
            outcome = "", "failed", f"{text!r} has none of the extensions {', '.join(extensions)}"
        else:
            outcome = "", "absent", f"no image {text!r} in the sample's folder"
        for values, value in zip((path, status, reason), outcome, strict=True):
            values.append(value)
    return np.array(identifiers, dtype=object), np.array(path, dtype=object), np.array(status, dtype=object), np.array(reason, dtype=object)


def new_identifiers(new: list[str], taken: set[str], by_name: bool, extensions: Sequence[str]) -> list[str]:
    """Identifiers of images that no label row names: like the others', the file name alone where that is free, else the path."""
    plain = [without_extension(image, extensions) for image in new]
    short = [posixpath.basename(text) for text in plain]
    once = _once(short)
    chosen = [s if by_name and s in once and s not in taken else p for s, p in zip(short, plain, strict=True)]
    # Two images that differ by extension alone keep it.
    free = _once(chosen)
    return [c if c in free and c not in taken else image for c, image in zip(chosen, new, strict=True)]


def _once(names: list[str]) -> set[str]:
    values, counts = np.unique(np.array(names, dtype=str), return_counts=True)
    return set(values[counts == 1].tolist())
