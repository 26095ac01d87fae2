"""Put on the path of a run's jobs: the first jobs of each rule write which functions of the library they really called, `<rule>.<process>.json`."""

import atexit
import inspect
import json
import os
import sys
import threading
from pathlib import Path
from types import FrameType

JOBS = 3  # of a rule; all kinds of sample among them
FOLDER, PACKAGE = (os.environ.get(name, "") for name in ("FRESHNESS_TRACE", "FRESHNESS_PACKAGE"))
called: set[tuple[str, str]] = set()


def _note(frame: FrameType, event: str, argument: object) -> None:
    code = frame.f_code
    if code.co_flags & inspect.CO_OPTIMIZED and code.co_filename.startswith(PACKAGE):  # not modules and bodies of classes, which an import runs
        called.add((code.co_filename, code.co_qualname))


def _rule() -> str | None:
    scripts = [path for path in map(Path, sys.orig_argv) if path.parent.name == "scripts" and path.parent.parent.name == ".snakemake"]
    return scripts[0].name.removesuffix(".py").split(".", 1)[1] if scripts else None


def _free(rule: str) -> bool:
    for number in range(JOBS):
        try:
            Path(FOLDER, f"{rule}.{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return True
    return False


def _write(rule: str) -> None:
    sys.settrace(None)
    Path(FOLDER, f"{rule}.{os.getpid()}.json").write_text(json.dumps(sorted(called)))


if FOLDER and (found := _rule()) and _free(found):
    sys.settrace(_note)
    threading.settrace(_note)
    atexit.register(_write, found)
