"""The command `tuningfork`: what one does beside the workflow."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tuningfork.errors import TuningforkError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; an error that the library raises on purpose is one line on stderr and exit code 1."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        options.run(options)
    except TuningforkError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tuningfork", description="Beside the workflow: predict new pictures, clear a stale lock.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="predict a folder of new pictures with a trained model")
    predict.add_argument("model", type=Path, help="folder of the model, such as results/models/clash")
    predict.add_argument("folder", type=Path, help="folder with the pictures (FITS, JPEG, PNG), searched in depth")
    predict.add_argument("--output", type=Path, default=Path("predictions.csv"), help="table to write: .csv or .parquet (default: predictions.csv)")
    predict.add_argument("--batch", type=int, default=64, help="pictures at a time (default: 64)")
    predict.set_defaults(run=_predict)

    unlock = commands.add_parser("unlock", help="clear the lock of a killed run, unless a living snakemake holds it")
    unlock.add_argument("directory", type=Path, nargs="?", default=Path(), help="working directory (default: here)")
    unlock.set_defaults(run=_unlock)
    return parser


def _predict(options: argparse.Namespace) -> None:
    from tuningfork.inference.folder import predict_folder

    counts = predict_folder(options.model, options.folder, options.output, batch_size=options.batch)
    logging.getLogger(__name__).info("%s: %s", options.output, ", ".join(f"{number} {status}" for status, number in counts.items()))


def _unlock(options: argparse.Namespace) -> None:
    from tuningfork.locks import unlock

    if unlock(options.directory):
        logging.getLogger(__name__).info("removed the lock that a killed run left behind")
