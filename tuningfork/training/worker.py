"""One of several processes that train together: takes its job from a pipe, and gives back what it logs, and its result or its error."""

import logging
import os
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["main"]


class Teller(logging.Handler):
    """Sends records, and whatever else there is to say, through a pipe."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self.pipe = pipe

    def tell(self, kind: str, value: Any) -> None:
        """Send (kind, value)."""
        with self.lock or threading.RLock():
            self.pipe.send((kind, value))

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        self.tell("log", (record.name, record.levelno, record.getMessage()))


def main(descriptor: int) -> None:
    """Train as the job says that comes through the pipe `descriptor`; ends the process."""
    pipe = Connection(descriptor)
    job = pipe.recv()
    teller = Teller(pipe)
    # all of them would say the same
    logging.basicConfig(handlers=[teller], level=logging.INFO if os.environ["RANK"] == "0" else logging.ERROR)
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    from tuningfork.training.loop import train

    try:
        teller.tell("result", train(**job))
    except BaseException as error:
        teller.tell("error", (type(error).__name__, str(error), traceback.format_exc()))
    # at once: there is nothing left to do, and nobody to take leave of in good order
    sys.stderr.flush()
    os._exit(0)


def _end_with_parent(pipe: Connection) -> None:
    """Wait for the end of the pipe: nobody would see the result, and nobody would end this process."""
    try:
        pipe.recv()
    except (EOFError, OSError):
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
