"""What every script of a rule does first: the log file, the number of threads, how an error is shown, and the seal on what it made."""

import atexit
import logging
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from tuningfork.errors import TuningforkError
from tuningfork.seals import seal

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def start(snakemake: Any) -> logging.Logger:
    """Send the library's messages to the rule's log file and set the threads of numerical libraries to the rule's.

    An error that this library raises on purpose is shown as one line (its traceback is in the log file); any other keeps its traceback.
    When the script ends well, its outputs are sealed (see `tuningfork.seals`).
    Call it before numpy or torch are imported.
    """
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(snakemake.threads)
    logging.basicConfig(filename=snakemake.log[0], filemode="w", level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    logging.captureWarnings(True)
    sys.excepthook = _show
    atexit.register(_seal, _job(snakemake.log[0]), tuple(snakemake.output), Path.cwd())
    return logging.getLogger(f"tuningfork.{snakemake.rule}")


def _job(log_file: str) -> str:
    """Rule and wildcards as a path, ``train_model/clash``: what the log file is called below its first folder."""
    return Path(*Path(log_file).with_suffix("").parts[1:]).as_posix()


def _seal(job: str, outputs: tuple[str, ...], directory: Path) -> None:
    if not hasattr(sys, "last_value"):  # set by an exception that nobody caught
        seal(job, outputs, directory)


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("tuningfork").error("failed", exc_info=(kind, error, trace))
    if issubclass(kind, TuningforkError):
        print(f"\n{kind.__name__}: {error}\n", file=sys.stderr)  # noqa: T201
        # raised in here, it ends the script with this code
        raise SystemExit(kind.exit_code)
    else:
        sys.__excepthook__(kind, error, trace)
