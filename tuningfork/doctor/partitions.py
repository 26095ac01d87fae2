"""Requests against what a Slurm has: partitions, limits, nodes and their GPUs, as `sinfo` tells them."""

import itertools
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tuningfork.doctor.finding import Finding, ok, problem, warning
from tuningfork.doctor.requests import Request

TIMEOUT_S = 20.0
AWAY = ("down", "drain", "fail", "maint", "inval", "unk", "power_down", "no_respond", "future", "reserved")
COLUMNS = "%N|%P|%l|%c|%m|%G|%T|%a"


@dataclass(frozen=True)
class Node:
    """One node in one partition; `minutes` is the partition's limit (None: none), `gpus` counts by model ('' where Slurm names none)."""

    name: str
    partition: str
    default: bool
    minutes: int | None
    cpus: int
    mem_mb: int
    gpus: dict[str, int]
    usable: bool

    def gpus_of(self, model: str | None) -> int:
        """GPUs of one model, or of any."""
        return sum(self.gpus.values()) if model is None else self.gpus.get(model, 0)


def check_slurm(requests: Sequence[Request]) -> list[Finding]:
    """Whether the controller answers, and whether each request could ever be met."""
    if shutil.which("sinfo") is None:
        return [problem("slurm", "there is no sinfo on this machine", "run on the cluster's login node, or load its Slurm module")]
    try:
        told = subprocess.run(["sinfo", "-h", "-N", "-o", COLUMNS], capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return [problem("slurm", f"the controller did not answer within {TIMEOUT_S:.0f} s", "try later, or ask the site's administrators")]
    if told.returncode or not told.stdout.strip():
        reason = told.stderr.strip().splitlines()
        return [problem("slurm", f"sinfo failed: {reason[-1] if reason else 'it lists no node'}", "try sinfo by hand; is this a login node of the cluster?")]
    nodes = read_nodes(told.stdout)
    return [_overview(nodes), *judge(requests, nodes)]


def read_nodes(text: str) -> list[Node]:
    """Nodes from the lines of ``sinfo -h -N -o "%N|%P|%l|%c|%m|%G|%T|%a"``."""
    found = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) != COLUMNS.count("|") + 1:
            continue
        name, partition, limit, cpus, memory, gres, state, up = fields
        usable = up == "up" and not any(word in state.lower() for word in AWAY)
        cores, megabytes = (int("".join(itertools.takewhile(str.isdecimal, size)) or 0) for size in (cpus, memory))  # "128000+": at least
        found.append(Node(name, partition.rstrip("*"), partition.endswith("*"), minutes_of(limit), cores, megabytes, gpus_of(gres), usable))
    return found


def minutes_of(limit: str) -> int | None:
    """A limit of Slurm, ``days-hours:minutes:seconds`` or shorter, as whole minutes; None where there is none."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", limit)
    if match is None:
        return None
    numbers = [int(part) for part in match.groups()[1:] if part is not None]
    if match[1] is not None:  # days-hours[:minutes[:seconds]]
        return int(match[1]) * 1440 + numbers[0] * 60 + (numbers[1] if len(numbers) > 1 else 0)
    return numbers[0] * 60 + numbers[1] if len(numbers) == 3 else numbers[0]


def gpus_of(gres: str) -> dict[str, int]:
    """Model -> number, from a node's GRES such as ``gpu:h200:4(S:0-1),shard:8``."""
    found: dict[str, int] = {}
    for model, number in re.findall(r"(?:^|,)gpu(?::([A-Za-z_][\w.-]*))?(?::(\d+))?", gres):
        found[model] = found.get(model, 0) + int(number or 1)
    return found


def judge(requests: Sequence[Request], nodes: Sequence[Node]) -> list[Finding]:
    """One finding for each request that cannot be met; the first attempt is a problem, a later one a warning."""
    found = []
    for request in requests:
        if trouble := _trouble(request, nodes):
            found.append(_finding(request, *trouble))
        elif waits := _waits(request, nodes):
            found.append(warning(f"rule {request.rule}", f"only {waits} could take it, and none of them is in service", "see sinfo -R, or wait"))
    if not any(finding.level == "problem" for finding in found):
        rules = len({request.rule for request in requests})
        gpu = sorted({request.rule for request in requests if request.gpus})
        found.append(ok("requests", f"{rules} rules fit the nodes at their first attempt{'; on a GPU: ' + ', '.join(gpu) if gpu else ''}"))
    return found


def _finding(request: Request, seen: str, advice: str) -> Finding:
    if request.attempt > 1:
        return warning(f"rule {request.rule}", f"attempt {request.attempt}: {seen}", "a retry that grows that far would never start; " + advice)
    return problem(f"rule {request.rule}", seen, advice)


def _partition(request: Request, nodes: Sequence[Node]) -> str | None:
    return request.partition or next((node.partition for node in nodes if node.default), None)


def _waits(request: Request, nodes: Sequence[Node]) -> str | None:
    """Names of the nodes that a request must wait for, where none that fits is in service."""
    able = [node for node in nodes if node.partition == _partition(request, nodes) and _fits(request, node)]
    return None if any(node.usable for node in able) else ", ".join(node.name for node in able[:3])


def _trouble(request: Request, nodes: Sequence[Node]) -> tuple[str, str] | None:
    where = _partition(request, nodes)
    names = list(dict.fromkeys(node.partition for node in nodes))
    if where is None:
        return "no partition is named and the cluster has no default", f"set slurm_partition in the profile: one of {', '.join(names)}"
    here = [node for node in nodes if node.partition == where]
    if not here:
        key = "compute.gpu_partition of the configuration, or slurm_partition in the profile" if request.gpus else "slurm_partition in the profile"
        return f"there is no partition {where!r} (there are {', '.join(names)})", f"correct {key}"
    limit = here[0].minutes
    if limit is not None and request.minutes > limit:
        advice = f"lower {_key(request, 'runtime')}, or take a partition with a longer limit"
        return f"asks for {request.minutes} min of run time, partition {where} allows {limit}", advice
    return None if any(_fits(request, node) for node in here) else _lacking(request, here, where)


def _fits(request: Request, node: Node) -> bool:
    return request.cpus <= node.cpus and request.mem_mb <= node.mem_mb and request.gpus <= node.gpus_of(request.gpu_model)


def _lacking(request: Request, here: Sequence[Node], where: str) -> tuple[str, str]:
    """Which resource no node has enough of, and the largest node for it."""
    lacks, keys = [], []
    if request.gpus > max(node.gpus_of(request.gpu_model) for node in here):
        best = max(here, key=lambda node: node.gpus_of(request.gpu_model))
        models = sorted({model for node in here for model in node.gpus if model})
        named = f"GPU {request.gpu_model}" if request.gpu_model else "GPU"
        offer = f"{best.name} has {best.gpus_of(request.gpu_model)}" + (f"; models there: {', '.join(models)}" if request.gpu_model and models else "")
        lacks.append(f"{request.gpus} {named} ({offer})")
        keys.append("compute.gpu, gpu_model or gpu_partition")
    if request.mem_mb > max(node.mem_mb for node in here):
        best = max(here, key=lambda node: node.mem_mb)
        lacks.append(f"{request.mem_mb} MB of memory (the largest, {best.name}, has {best.mem_mb})")
        keys.append(_key(request, "mem_mb"))
    if request.cpus > max(node.cpus for node in here):
        best = max(here, key=lambda node: node.cpus)
        lacks.append(f"{request.cpus} CPUs (the largest, {best.name}, has {best.cpus})")
        keys.append("compute.training_threads" if request.gpus else "set-threads in the profile")
    if not lacks:
        asked = f"{request.cpus} CPUs, {request.mem_mb} MB and {request.gpus} GPUs"
        return f"no single node of partition {where} has {asked} together", "ask for less of one of them"
    return f"no node of partition {where} has {' and '.join(lacks)}", f"change {', '.join(keys)}"


def _key(request: Request, resource: str) -> str:
    training = {"mem_mb": "compute.training_mem_mb", "runtime": "compute.training_minutes"}
    return training[resource] if request.gpus else f"{resource} of {request.rule} in the profile's set-resources"


def _overview(nodes: Sequence[Node]) -> Finding:
    parts = []
    for partition in dict.fromkeys(node.partition for node in nodes):
        here = [node for node in nodes if node.partition == partition]
        gpus = _sum(node.gpus for node in here)
        has = "".join(f", {count} GPU{f' {model}' if model else ''}" for model, count in gpus.items())
        parts.append(f"{partition}{' (default)' if here[0].default else ''}: {sum(node.usable for node in here)} of {len(here)} nodes in service{has}")
    return ok("slurm", "; ".join(parts))


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for count in counts:
        for model, number in count.items():
            total[model] = total.get(model, 0) + number
    return total
