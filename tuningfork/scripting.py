"""What every script of a rule does first: the log file, the number of threads, and how an error is shown."""

import logging
import os
import sys
from types import TracebackType
from typing import Any

from tuningfork.errors import TuningforkError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def start(snakemake: Any) -> logging.Logger:
    """Send the library's messages to the rule's log file and set the threads of numerical libraries to the rule's.

    An error that this library raises on purpose is shown as one line (its traceback is in the log file); any other keeps its traceback.
    Call it before numpy or torch are imported.
    """
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(snakemake.threads)
    logging.basicConfig(filename=snakemake.log[0], filemode="w", level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    logging.captureWarnings(True)
    sys.excepthook = _show
    return logging.getLogger(f"tuningfork.{snakemake.rule}")


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("tuningfork").error("failed", exc_info=(kind, error, trace))
    if issubclass(kind, TuningforkError):
        print(f"\n{kind.__name__}: {error}\n", file=sys.stderr)  # noqa: T201
    else:
        sys.__excepthook__(kind, error, trace)
