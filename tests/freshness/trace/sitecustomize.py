"""Put on the path of a run's jobs: each writes which functions of the library it really called, `<rule>.<process>.json`."""

import atexit
import json
import os
import sys
import threading
from pathlib import Path
from types import FrameType

FOLDER, PACKAGE = (os.environ.get(name, "") for name in ("FRESHNESS_TRACE", "FRESHNESS_PACKAGE"))
called: set[tuple[str, str]] = set()


def _note(frame: FrameType, event: str, argument: object) -> None:
    code = frame.f_code
    if code.co_filename.startswith(PACKAGE):
        called.add((code.co_filename, code.co_qualname))


def _write() -> None:
    sys.settrace(None)
    script = Path(getattr(sys.modules["__main__"], "__file__", "none"))
    if script.parent.name == "scripts" and ".snakemake" in script.parts:
        rule = script.name.removesuffix(".py").split(".", 1)[1]
        Path(FOLDER, f"{rule}.{os.getpid()}.json").write_text(json.dumps(sorted(called)))


if FOLDER:
    sys.settrace(_note)
    threading.settrace(_note)
    atexit.register(_write)
