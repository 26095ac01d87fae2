"""Start several processes of this machine that train together, hand on what they log, and end them all when one fails."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import tuningfork
from tuningfork import errors
from tuningfork.errors import Interrupted, ModelError, TuningforkError
from tuningfork.training.distributed import RENDEZVOUS
from tuningfork.training.interrupt import STOPPING, handle

__all__ = ["launch"]

OURS, GONE, FOREIGN, ASKED_TO = range(4)
"""Kinds of errors, the cause before what follows from it: one of this library, a process that was killed, then of those that miss it, or that stopped."""
GRACE_SECONDS = 20.0
"""What the others get to end by themselves after one has failed: they may be saving, or wait for the one that is gone."""


@dataclass
class Worker:
    """One process, the pipe to it, and what it has said last: its result, or its error and of what kind that is."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    result: Any = None
    error: TuningforkError | None = None
    kind: int = 0


def launch(given: Mapping[str, Any], processes: int) -> Any:
    """Call `tuningfork.training.loop.train` with the same arguments in several processes; the result of the first.

    The stop signals that come here go to all of them. The processes end when this one does, however that happens.

    Raises
    ------
    TuningforkError
        What a process raised.
    ModelError
        A process was killed, or failed for another reason; its traceback is in the message.
    """
    threads = given.get("threads") or os.cpu_count() or 1
    job = {**given, "processes": 1, "threads": max(1, threads // processes)}
    with tempfile.TemporaryDirectory(prefix="tuningfork-") as folder:
        workers: list[Worker] = []
        before = handle(STOPPING, lambda number, _: _tell(workers, number))
        try:
            for rank in range(processes):
                workers.append(_start(rank, processes, Path(folder), job["threads"]))
            for worker in workers:
                with contextlib.suppress(BrokenPipeError):  # it is gone: the end of its pipe will say so
                    worker.pipe.send(job)
            _listen(workers)
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.wait()
                worker.pipe.close()
            for number, handler in before:
                signal.signal(number, handler)
    failed = sorted((worker for worker in workers if worker.error is not None), key=lambda worker: worker.kind)
    if failed and failed[0].error is not None:
        raise failed[0].error
    return workers[0].result


def _start(rank: int, size: int, folder: Path, threads: int) -> Worker:
    here, there = Pipe()
    paths = [str(Path(tuningfork.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    places = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), RENDEZVOUS: f"file://{folder}/meeting"}
    # the machine's own loop is all that they need, and a name that the network does not know would stop them
    network = {} if "GLOO_SOCKET_IFNAME" in os.environ else {"GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo"}
    environment = {**os.environ, **network, **places, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "tuningfork.training.worker", str(there.fileno())]
    # a session of its own: Ctrl-C comes once, from here
    process = subprocess.Popen(command, env=environment, pass_fds=[there.fileno()], start_new_session=True, stdin=subprocess.DEVNULL)
    there.close()
    return Worker(process, here)


def _tell(workers: list[Worker], number: int) -> None:
    for worker in workers:
        worker.process.send_signal(number)


def _listen(workers: list[Worker]) -> None:
    """Until all have ended, or one has failed and the others have had their time."""
    open_pipes = {worker.pipe: worker for worker in workers}
    deadline: float | None = None
    while open_pipes:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return
        for pipe in wait(list(open_pipes), left):
            assert isinstance(pipe, Connection)
            worker = open_pipes[pipe]
            try:
                kind, value = pipe.recv()
            except (EOFError, ConnectionResetError):
                del open_pipes[pipe]
                if worker.result is None and worker.error is None:
                    worker.error, worker.kind = ModelError(_how_it_ended(worker, workers)), GONE
            else:
                _take(worker, kind, value)
            if worker.error is not None and deadline is None:
                deadline = time.monotonic() + GRACE_SECONDS


def _take(worker: Worker, kind: str, value: Any) -> None:
    if kind == "log":
        name, level, message = value
        logging.getLogger(name).log(level, "%s", message)
    elif kind == "result":
        worker.result = value
    else:
        name, message, trace = value
        known = getattr(errors, name, None)
        if isinstance(known, type) and issubclass(known, TuningforkError):
            worker.error, worker.kind = known(message), ASKED_TO if known is Interrupted else OURS
        else:
            worker.error, worker.kind = ModelError(f"one of the processes of the training failed:\n{trace}"), FOREIGN


def _how_it_ended(worker: Worker, workers: list[Worker]) -> str:
    code = worker.process.wait()
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"process {workers.index(worker) + 1} of {len(workers)} of the training {how}; its last saved state is kept: run again to go on from there"
