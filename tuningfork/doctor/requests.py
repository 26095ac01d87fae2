"""What each rule would ask a cluster for: what the rule declares, what the configuration says, and what the profiles make of it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuningfork.errors import ConfigError
from tuningfork.workflow import Workflow


@dataclass(frozen=True)
class Request:
    """One rule's request: CPUs, memory (MB), run time (minutes), GPUs and their model; partition and account, None for the cluster's default."""

    rule: str
    attempt: int
    cpus: int
    mem_mb: int
    minutes: int
    gpus: int = 0
    gpu_model: str | None = None
    partition: str | None = None
    account: str | None = None


def requests(wf: Workflow, profile: Mapping[str, Any]) -> list[Request]:
    """Requests of all rules that a configuration can use and that go to a cluster, for the first attempt and the last."""
    last = 1 + int(profile.get("retries", 0))
    rules = {name: values for name, values in declared(wf).items() if not values["local"]}
    return [_request(name, rules[name], profile, attempt) for name in rules for attempt in sorted({1, last})]


def declared(wf: Workflow) -> dict[str, dict[str, Any]]:
    """Rule -> its threads, its resources, and whether it runs beside snakemake, read from the rules' files.

    Rules whose samples the configuration has none of are left out.
    """
    here = set(_local_rules((wf.repository / "Snakefile").read_text(encoding="utf-8")))
    found = {}
    for file in sorted((wf.repository / "rules").glob("*.smk")):
        parts = re.split(r"^(?:rule|checkpoint) (\w+):$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            constraints = _evaluate(wf, file, name, "wildcard_constraints", body)
            if wf.pattern([]) in constraints.values():
                continue
            local = name in here or bool(_evaluate(wf, file, name, "localrule", body, single=True))
            threads = _evaluate(wf, file, name, "threads", body, single=True)
            found[name] = {"threads": threads or 1, "resources": _evaluate(wf, file, name, "resources", body), "local": local}
    return found


def _local_rules(snakefile: str) -> list[str]:
    block = re.search(r"^localrules:\n((?:    \w+,?\n)+)", snakefile, re.MULTILINE)
    return re.findall(r"\w+", block[1]) if block else []


def _evaluate(wf: Workflow, file: Path, rule: str, directive: str, body: str, *, single: bool = False) -> Any:
    block = re.search(rf"^    {directive}:(.*\n(?:        .*\n)*)", body, re.MULTILINE)
    if block is None:
        return None if single else {}
    text = block[1].strip()
    try:
        return eval(text if single else f"dict({text})", {"wf": wf})
    except Exception as error:
        raise ConfigError(f"{file}: {directive} of rule {rule} cannot be read ({type(error).__name__}: {error})") from error


def _request(rule: str, values: Mapping[str, Any], profile: Mapping[str, Any], attempt: int) -> Request:
    threads = int((profile.get("set-threads") or {}).get(rule, values["threads"]))
    given = {**(profile.get("default-resources") or {}), **values["resources"], **((profile.get("set-resources") or {}).get(rule) or {})}
    asked = {name: _value(rule, name, value, attempt, threads) for name, value in given.items()}
    gpus, model = _gpus(asked)
    return Request(
        rule=rule,
        attempt=attempt,
        cpus=int(asked.get("cpus_per_task") or threads),
        mem_mb=_megabytes(rule, asked, threads),
        minutes=_minutes(rule, asked.get("runtime", 0)),
        gpus=gpus,
        gpu_model=model,
        partition=asked.get("slurm_partition"),
        account=asked.get("slurm_account"),
    )


def _value(rule: str, name: str, value: Any, attempt: int, threads: int) -> Any:
    """A resource as Snakemake would read it: a Python expression of `attempt` and `threads`, a name in the environment, or plain text."""
    if callable(value):
        try:
            return value(None, attempt=attempt)
        except Exception:
            return None
    if not isinstance(value, str):
        return value
    text = os.path.expandvars(value)
    try:
        return eval(text, {"attempt": attempt, "threads": threads})
    except (NameError, SyntaxError):
        return text
    except Exception as error:
        raise ConfigError(f"{name} of rule {rule}: {text!r} cannot be evaluated ({error})") from error


def _gpus(asked: Mapping[str, Any]) -> tuple[int, str | None]:
    gres = re.fullmatch(r"gpu(?::([A-Za-z_]\w*))?(?::(\d+))?", str(asked.get("gres", "")))
    if gres:
        return int(gres[2] or 1), gres[1]
    return int(asked.get("gpu") or 0), asked.get("gpu_model")


def _megabytes(rule: str, asked: Mapping[str, Any], threads: int) -> int:
    if asked.get("mem_mb_per_cpu"):
        return int(asked["mem_mb_per_cpu"]) * threads
    if "mem" in asked:
        return int(_scaled(rule, "mem", asked["mem"], {"MB": 1, "GB": 1000, "TB": 1e6, "M": 1, "G": 1000, "T": 1e6}))
    return int(asked.get("mem_mb") or 0)


def _minutes(rule: str, value: Any) -> int:
    if isinstance(value, int | float):
        return int(value)
    return int(_scaled(rule, "runtime", value, {"m": 1, "min": 1, "h": 60, "d": 1440, "s": 1 / 60}))


def _scaled(rule: str, name: str, value: Any, units: Mapping[str, float]) -> float:
    match = re.fullmatch(r"\s*([\d.]+)\s*([A-Za-z]*)\s*", str(value))
    if match is None or (match[2] and match[2] not in units):
        raise ConfigError(f"{name} of rule {rule}: {value!r} is not understood; give a number, or one with a unit of {', '.join(units)}")
    return float(match[1]) * (units[match[2]] if match[2] else 1)
