"""A Slurm of one node with two pretended GPUs: no systemd, no munge, no database, nothing outside one temporary folder.

The clients find it by wrappers on PATH, not by SLURM_CONF: Snakemake's plugin removes every SLURM_* variable before it calls srun.
"""

import os
import re
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

CLIENTS = ("sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo", "sacct", "sacctmgr", "sshare")
GPUS = 2
MEMORY_MB = 24000

CONFIGURATION = """\
ClusterName=pretended
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# memory is watched and a job that takes more than it asked for is killed, without cgroups
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0
ReturnToService=2
MinJobAge=3600
KillWait=3
MpiDefault=none
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory={memory} Gres=gpu:h200:{gpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=2-00:00:00 State=UP
PartitionName=gpu Nodes={host} MaxTime=2-00:00:00 State=UP
PartitionName=download Nodes={host} MaxTime=2-00:00:00 State=UP
"""


@dataclass(frozen=True)
class Record:
    """What Slurm wrote down of one job."""

    number: int
    rule: str
    state: str
    partition: str
    minutes: int
    mem_mb: int
    cpus: int
    gpus: str
    started: datetime | None
    ended: datetime | None
    values: dict[str, str] = field(repr=False)


@dataclass
class OneNode:
    """The running cluster."""

    folder: Path
    path: str

    def ask(self, *command: str) -> str:
        """Output of one of Slurm's commands."""
        return subprocess.run(command, env=os.environ | {"PATH": self.path}, capture_output=True, text=True, timeout=30, check=True).stdout

    def records(self) -> list[Record]:
        """All jobs since the start, in order."""
        return [_record(line) for line in self.ask("scontrol", "show", "job", "-o").splitlines() if line.startswith("JobId=")]

    def wait_for(self, what, seconds: float = 900.0):
        """The first answer of `what(records)` that is true."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if answer := what(self.records()):
                return answer
            time.sleep(0.3)
        raise AssertionError(f"not seen within {seconds} s; jobs: {self.records()}")


def _record(line: str) -> Record:
    values = dict(re.findall(r"(\S+?)=(\S*)", line))
    rule = re.match(r"rule_(\w+?)(?:_wildcards_.*)?$", values["Comment"])
    hours = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", values["TimeLimit"])
    days, *rest = (int(part or 0) for part in hours.groups())
    memory = re.fullmatch(r"(\d+(?:\.\d+)?)([MGT])", values["MinMemoryNode"])
    return Record(
        number=int(values["JobId"]),
        rule=rule[1],
        state=values["JobState"],
        partition=values["Partition"],
        minutes=days * 1440 + rest[0] * 60 + rest[1],
        mem_mb=round(float(memory[1]) * {"M": 1, "G": 1024, "T": 1024**2}[memory[2]]),
        cpus=int(values["NumCPUs"]),
        gpus=values.get("TresPerJob", values.get("TresPerNode", "")),
        started=_time(values["StartTime"]),
        ended=_time(values["EndTime"]),
        values=values,
    )


def _time(text: str) -> datetime | None:
    return None if text == "Unknown" else datetime.fromisoformat(text)


def missing() -> str | None:
    """Why no Slurm can be started here, or None."""
    lacking = [name for name in ("slurmctld", "slurmd", "sbatch", "srun") if _where(name) is None]
    if lacking:
        return f"Slurm is not installed ({', '.join(lacking)}): as root, apt-get install slurm-wlm"
    if os.geteuid() != 0:
        return "slurmd is started as root only"
    return None


def _where(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def running(folder: Path) -> Iterator[OneNode]:
    """Start the cluster, hand it over, and stop all of it."""
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir(parents=True)
    controller, daemon = _free_ports()
    settings = {"host": socket.gethostname().split(".")[0], "user": "root", "gpus": GPUS, "memory": MEMORY_MB}
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, controller=controller, daemon=daemon, **settings))
    # devices that every container has stand for GPUs; a plain file would leave CUDA_VISIBLE_DEVICES unset
    (folder / "gres.conf").write_text("Name=gpu Type=h200 File=/dev/null\nName=gpu Type=h200 File=/dev/zero\n")
    for name in CLIENTS:
        if real := _where(name):
            wrapper = folder / "bin" / name
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {real} "$@"\n')
            wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    daemons = []
    try:
        for name, arguments in (("slurmctld", []), ("slurmd", ["-N", settings["host"]])):
            with open(folder / f"{name}.out", "w") as output:
                daemons.append(subprocess.Popen([_where(name), "-D", "-c", "-f", configuration, *arguments], stdout=output, stderr=output))
            _listening(controller if name == "slurmctld" else daemon, daemons[-1], folder / f"{name}.log")
        cluster = OneNode(folder, f"{folder / 'bin'}:{os.environ['PATH']}")
        _until_idle(cluster)
        yield cluster
        cluster.ask("scancel", "--user", "root")
    finally:
        _stop(daemons)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _listening(port: int, process: subprocess.Popen, log: Path, seconds: float = 60.0) -> None:
    """Wait until a daemon listens: a client that finds none waits for a minute before it says so."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args[0]} does not listen: {log.read_text()[-2000:] if log.exists() else 'no log'}")


def _until_idle(cluster: OneNode, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if "idle" in cluster.ask("sinfo", "-h", "-o", "%t"):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the node is not idle: {cluster.ask('sinfo', '-o', '%N %t %E')}")


def _stop(daemons: list[subprocess.Popen]) -> None:
    for process in reversed(daemons):
        process.terminate()
    for process in daemons:
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
