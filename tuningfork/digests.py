"""Digests of large files of the user's, remembered by size and time: a file that was touched and is the same makes nothing stale, at no cost."""

import contextlib
import json
from pathlib import Path

from tuningfork.files import sha256_of, write_text

MEMORY = Path(".snakemake/tuningfork-files.json")  # in the working directory, beside Snakemake's own bookkeeping
MOST_REMEMBERED = 200


def remembered_sha256(path: Path, memory: Path = MEMORY) -> str:
    """Hex SHA-256 of a file; read again only when its size or its time is not as it was.

    The memory is a help, nothing else: where it cannot be read or written the file is read.
    """
    stat = path.stat()
    key = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
    known = _read(memory)
    if key not in known:
        known[key] = sha256_of(path)
        if memory.parent.is_dir():
            with contextlib.suppress(OSError):
                write_text(memory, json.dumps(dict(list(known.items())[-MOST_REMEMBERED:])))
    return known[key]


def _read(memory: Path) -> dict[str, str]:
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
