"""Why a file is up to date, or what makes it stale: Snakemake's own reasons, followed to where they begin and said in one line.

Snakemake is asked in a dry run, through the events that it offers to loggers. It knows that a parameter changed; which key of it, and for a
code fingerprint which function, is found here (`fingerprint` keeps what each digest was made of).
"""

import ast
import base64
import contextlib
import io
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tuningfork.errors import TuningforkError
from tuningfork.fingerprint import made_of

SHOWN = 3
_DIGEST = re.compile(r"[0-9a-f]{16}|[0-9a-f]{64}")
_CHANGED = re.compile(r"before: (?P<before>.*?) now: (?P<now>.*)", re.DOTALL)
_NOTHING = "<nothing exclusive>"


@dataclass(frozen=True)
class Job:
    """A job that a run would do."""

    name: str
    reason: str
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    checkpoint: bool = False


def why(file: str, arguments: Sequence[str], directory: Path = Path()) -> str:
    """One line: why a file is up to date, or what makes it stale.

    Parameters
    ----------
    file
        A file that a rule makes, relative to the working directory.
    arguments
        What Snakemake is called with there: ``-s``, ``--configfile`` and so on.

    Raises
    ------
    TuningforkError
        No rule makes the file, or the configuration is not valid.
    """
    jobs = would_run(file, arguments, directory)
    maker = {output: job for job in jobs for output in job.outputs}
    if file in maker:
        chain = _to_the_root(maker[file], maker)
        # where a checkpoint makes what it made before, all behind it stays as it is
        decides = next((job.name for job in chain[1:] if job.checkpoint), None)
        state = "is stale" if decides is None else f"may be stale, as {decides} will tell"
        return f"{file} {state}: {' <- '.join(job.name for job in chain)}: {_cause(chain[-1], directory)}"
    if jobs:
        chain = _to_the_root(jobs[-1], maker)
        return f"{file} may be stale, as {jobs[-1].name} will tell: {chain[-1].name}: {_cause(chain[-1], directory)}"
    record = _record(directory, file)
    made = f"{record['rule']} made it on {datetime.fromtimestamp(record['endtime']):%Y-%m-%d %H:%M}; " if record.get("endtime") else ""
    return f"{file} is up to date: {made}its inputs, its part of the configuration and its code are those of then"


def would_run(file: str, arguments: Sequence[str], directory: Path) -> list[Job]:
    """The jobs that a dry run for one file lists, in its order. Raises TuningforkError with Snakemake's last words if it fails."""
    import snakemake.cli

    jobs: list[Job] = []

    def note(record: logging.LogRecord) -> bool:
        if getattr(record, "rule_name", None) and hasattr(record, "reason"):
            jobs.append(_job(vars(record)))
        return True

    events = logging.getLogger("snakemake.logging")
    events.addFilter(note)
    words, here = io.StringIO(), Path.cwd()
    try:
        with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
            snakemake.cli.main(["-d", str(directory), "--dry-run", "--nolock", "--cores", "1", *arguments, "--", file])
    except SystemExit as end:
        if end.code:
            last = [line for line in words.getvalue().splitlines() if line.strip()][-4:]
            raise TuningforkError(f"{file}: snakemake cannot tell: {' / '.join(last)}") from None
    finally:
        os.chdir(here)
        events.removeFilter(note)
    return list(dict.fromkeys(jobs))


def _job(event: Mapping[str, Any]) -> Job:
    files = {side: tuple(str(name).split(" (")[0] for name in event.get(side) or ()) for side in ("input", "output")}
    name = f"{event['rule_name']}[{', '.join(map(str, dict(event.get('wildcards') or {}).values()))}]"
    return Job(name, str(event["reason"]), files["output"], files["input"], bool(event.get("is_checkpoint")))


def _to_the_root(job: Job, maker: Mapping[str, Job]) -> list[Job]:
    """From a job along "updated by another job" to the one that has a reason of its own."""
    chain = [job]
    while not _own(chain[-1].reason) and (found := _updated(chain[-1].reason)):
        before = next((maker[name] for name in found if name in maker and maker[name] not in chain), None)
        if before is None:
            break
        chain.append(before)
    return chain


def _parts(reason: str) -> dict[str, str]:
    """Kind of reason -> what is said of it."""
    found = {}
    for part in re.split(r"; (?=Missing|Updated|Input|Set|Code|Params|Software|Incomplete)", reason):
        kind, _, words = part.partition(":")
        found[kind.strip()] = words.strip()
    return found


def _updated(reason: str) -> list[str]:
    return [name.split(" (")[0] for name in _parts(reason).get("Input files updated by another job", "").split(", ") if name]


def _own(reason: str) -> bool:
    """Whether a job would run even if no other did. Files that are missing say little if the job before makes new ones anyway."""
    kinds = set(_parts(reason)) - {"Input files updated by another job"}
    return bool(kinds - {"Missing output files"}) or (bool(kinds) and not _updated(reason))


def _cause(job: Job, directory: Path) -> str:
    said = []
    for kind, words in _parts(job.reason).items():
        if kind == "Missing output files":
            said.append(f"missing: {words}")
        elif kind == "Incomplete output files":
            said.append(f"left incomplete by an interrupted run: {words}")
        elif kind == "Updated input files":
            said.append(f"newer, and not what it was: {words}")
        elif kind.startswith("Set of input files"):
            said.append(_inputs(job, directory))
        elif kind.startswith("Params"):
            said += _parameters(words, directory)
        elif kind != "Input files updated by another job":
            said.append(f"{kind}{': ' if words else ''}{words}")
    return "; ".join(said) or job.reason


def _inputs(job: Job, directory: Path) -> str:
    before, now = set(_record(directory, job.outputs[0]).get("input") or ()), set(job.inputs)
    said = [f"{word} {_some(sorted(files))}" for word, files in (("new input", now - before), ("no longer an input:", before - now)) if files]
    return ", ".join(said) or "other input files than before"


def _parameters(words: str, directory: Path) -> list[str]:
    found = _CHANGED.search(words)
    if found is None:
        return [f"parameters changed ({words})"]
    before, now = (_values(found[side]) for side in ("before", "now"))
    said = []
    for old, new in _pairs(before, now):
        if isinstance(old, str) and isinstance(new, str) and len(old) == len(new) == 16 and _DIGEST.fullmatch(old):
            said.append(f"code changed: {_code(old, new, directory)}")
        else:
            differences = [f"{path or 'a parameter'}: {_brief(a)} -> {_brief(b)}" for path, a, b in _differences(old, new)]
            said.append(_some(differences))
    return said


def _values(words: str) -> list[Any]:
    words = words.strip()
    if words == _NOTHING:
        return []
    try:
        return list(ast.literal_eval(f"[{words}]"))
    except (SyntaxError, ValueError):
        return [words]


_ABSENT = object()


def _pairs(before: Sequence[Any], now: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Which old value became which new one: those of one kind with the most keys in common."""
    left = list(now)

    def likeness(old: Any, new: Any) -> int:
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            return 1 + len(set(old) & set(new))
        return int(type(old) is type(new) and not isinstance(old, Mapping) and (not isinstance(old, str) or len(old) == len(new)))

    for old in before:
        best = max(left, key=lambda new: likeness(old, new), default=_ABSENT)
        if best is not _ABSENT and (likeness(old, best) or len(before) == len(now) == 1):
            left.remove(best)
            yield old, best
        else:
            yield old, _ABSENT
    yield from ((_ABSENT, new) for new in left)


def _differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(old.get(key, _ABSENT), new.get(key, _ABSENT), f"{path}.{key}" if path else str(key))
    elif old is _ABSENT or new is _ABSENT or old != new:
        yield path, old, new


def _code(old: str, new: str, directory: Path) -> str:
    """Which definitions of the library changed between two fingerprints."""
    before, now = made_of(old, directory), made_of(new, directory)
    if before is None or now is None:
        return f"{old} -> {new} (what the first was made of is not known here)"
    return _some([name for name in sorted({*before, *now}) if before.get(name) != now.get(name)])


def _record(directory: Path, file: str) -> dict[str, Any]:
    """What Snakemake noted when it made a file; empty if it noted nothing."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads((directory / ".snakemake" / "metadata" / base64.urlsafe_b64encode(file.encode()).decode()).read_text(encoding="utf-8"))
    return {}


def _brief(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    text = value if isinstance(value, str) else repr(value)
    return f"{text[:8]}..." if _DIGEST.fullmatch(text) else text if len(text) <= 60 else f"{text[:57]}..."


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
