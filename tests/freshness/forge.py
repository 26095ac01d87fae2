"""A process that has imported Snakemake once and forks for each run: a dry run then costs its graph and not its imports.

Started by `workbench.py`; reads one JSON request a line, answers with one JSON line. The jobs of a run are read from Snakemake's own log events.
"""

import json
import logging
import os
import sys
import traceback
from typing import Any

import snakemake.cli
import snakemake.executors.local
import snakemake.workflow


def _run(request: dict[str, Any]) -> None:
    """In the child: one run of Snakemake with the library of `repository`; its jobs go into the file `jobs`, its words into `log`."""
    words = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(words, descriptor)
    sys.path.insert(0, request["repository"])
    os.environ |= {"PYTHONPATH": os.pathsep.join([request["repository"], *request["path"]]), **request["environment"]}
    jobs: list[list[Any]] = []

    def note(record: logging.LogRecord) -> bool:
        if str(getattr(record, "event", "")).endswith(("JOB_INFO", "job_info")):
            jobs.append([record.rule_name, dict(record.wildcards), record.reason, list(record.output)])  # type: ignore[attr-defined]
        return True

    logging.getLogger("snakemake.logging").addFilter(note)
    code = 1
    try:
        snakemake.cli.main(request["arguments"])
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    with open(request["jobs"], "w") as file:
        json.dump({"code": code, "jobs": jobs}, file)


def main() -> None:
    """Serve until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            sys.stdin.close()
            _run(request)
            return
        os.waitpid(child, 0)
        print("done", flush=True)


if __name__ == "__main__":
    main()
