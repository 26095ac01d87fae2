"""A small configuration through `--profile profiles/slurm` on a real Slurm; its jobs are killed, run out of time and of memory, and their node is drained."""

import csv
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import one_node
import psutil
import pytest
import yaml
from one_node import GPUS, OneNode, Record

from tuningfork.config import load
from tuningfork.doctor.profiles import merged
from tuningfork.doctor.requests import requests
from tuningfork.tables import read_columns
from tuningfork.workflow import Workflow

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
TARGETS = ("results/catalogues/Deep-CLASH.csv", "results/samples/clash/figures/stamps.png")
SHORT_OF_MEMORY = "cut_stamps"
LOST_BY_TIME = "show_sample"


@pytest.fixture(scope="module")
def plugin(repository: Path) -> str:
    """PYTHONPATH with which snakemake finds the slurm plugin: nothing more where it is installed, else the folder that `make slurm` fills."""
    given = os.environ.get("PYTHONPATH", "")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        return given
    apart = repository / ".venv" / "slurm"
    if not (apart / "snakemake_executor_plugin_slurm").is_dir():
        pytest.skip("snakemake's slurm plugin is not installed: make slurm")
    return os.pathsep.join(part for part in (given, str(apart)) if part)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneNode]:
    if reason := one_node.missing():
        pytest.skip(reason)
    yield from one_node.running(tmp_path_factory.mktemp("slurm"))


@pytest.fixture(scope="module")
def site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a site adds to the shipped profile: its partition, how jobs are asked for; and one request that is too small."""
    folder = tmp_path_factory.mktemp("site")
    shipped = yaml.safe_load((repository / "profiles" / "slurm" / "config.yaml").read_text())["set-resources"]
    shipped[SHORT_OF_MEMORY]["mem_mb"] = "attempt * 240"
    own = {"default-resources": {"slurm_partition": "main"}, "set-resources": shipped, "slurm-status-command": "squeue"}
    own |= {"slurm-init-seconds-before-status-checks": 8, "latency-wait": 10}
    (folder / "config.yaml").write_text(yaml.safe_dump(own))
    return folder


@dataclass
class Run:
    """The run that all tests look at: its folder, its output, and the jobs' records in the order of their numbers."""

    folder: Path
    output: str
    records: list[Record]

    def of(self, rule: str) -> dict[str, list[Record]]:
        """Attempts of each job of a rule, by its comment (rule and wildcards)."""
        found: dict[str, list[Record]] = {}
        for record in self.records:
            if record.rule == rule:
                found.setdefault(record.values["Comment"], []).append(record)
        return found


@pytest.fixture(scope="module")
def run(cluster: OneNode, plugin: str, site: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.yaml").write_text((HERE / "small.yaml").read_text())
    command = [Path(sys.executable).with_name("snakemake"), "-s", repository / "Snakefile", "-d", folder, "--configfile", folder / "config.yaml"]
    command += ["--profile", repository / "profiles" / "slurm", "--profile", site, "--", *TARGETS]
    environment = os.environ | {"PATH": cluster.path, "PYTHONPATH": plugin, "OMP_NUM_THREADS": "1"}
    with open(folder / "output.txt", "w") as output:
        snakemake = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            _disturb(cluster, snakemake)
            snakemake.wait(timeout=900)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{(folder / 'output.txt').read_text()[-4000:]}") from error
        finally:
            if snakemake.poll() is None:
                os.killpg(snakemake.pid, signal.SIGKILL)
                snakemake.wait()
    text = (folder / "output.txt").read_text()
    assert snakemake.returncode == 0, text[-4000:]
    return Run(folder, text, cluster.records())


def _disturb(cluster: OneNode, snakemake: subprocess.Popen) -> None:
    """What happens to the run: the node is drained and comes back, one training is cancelled, one job never ends by itself."""

    def started(rule: str, state: str = "RUNNING"):
        def look(records: list[Record]) -> Record | None:
            assert snakemake.poll() is None, "snakemake ended early"
            return next((record for record in records if record.rule == rule and record.state == state), None)

        return look

    host = cluster.ask("sinfo", "-h", "-o", "%N").strip()
    cluster.wait_for(started("download_labels"))
    cluster.ask("scontrol", "update", f"nodename={host}", "state=drain", "reason=maintenance")
    cluster.wait_for(started("select_sample", "PENDING"))
    cluster.ask("scontrol", "update", f"nodename={host}", "state=resume")

    victim = cluster.wait_for(started("train_model"))
    cluster.ask("scancel", str(victim.number))
    halted = _halt(cluster, {"train_model", LOST_BY_TIME}, besides=victim.values["Comment"])
    endless, _ = halted[LOST_BY_TIME]  # stays halted, as on a file system that hangs, until Slurm kills it
    cluster.ask("scontrol", "update", f"jobid={endless.number}", "timelimit=1")
    told, script = halted["train_model"]
    cluster.ask("scancel", "--signal=TERM", str(told.number))  # what --signal=TERM@120 sends before the time is over
    script.resume()


def _halt(cluster: OneNode, rules: set[str], *, besides: str, seconds: float = 300.0) -> dict[str, tuple[Record, psutil.Process]]:
    """Stop the script of one job of each rule as soon as it runs, so that what is done to the job does not race with its end."""
    halted: dict[str, tuple[Record, psutil.Process]] = {}
    until = time.monotonic() + seconds
    while rules - set(halted) and time.monotonic() < until:
        wanted = {record.number: record for record in cluster.records() if record.rule in rules - set(halted) and record.values["Comment"] != besides}
        for process in psutil.process_iter():
            try:
                record = wanted.get(int(process.environ().get("SLURM_JOB_ID", 0)))
                if record and record.rule not in halted and ".snakemake/scripts" in " ".join(process.cmdline()):
                    process.suspend()
                    halted[record.rule] = (record, process)
            except psutil.Error:
                continue
        time.sleep(0.05)
    assert set(halted) == rules, f"no script of {rules - set(halted)} ran within {seconds} s"
    return halted


def test_every_job_asked_slurm_for_what_its_rule_declares(run: Run, repository: Path, site: Path) -> None:
    config = load(yaml.safe_load((HERE / "small.yaml").read_text()), [], repository / "config" / "recipes")
    wf = Workflow(config, repository)
    os.environ.update(wf.environment())
    profile = merged([str(repository / "profiles" / "slurm"), str(site)], repository, run.folder)
    asked = {(request.rule, request.attempt): request for request in requests(wf, profile)}
    for rule in {record.rule for record in run.records}:
        for attempts in run.of(rule).values():
            record, request = attempts[0], asked[rule, 1]
            minutes = 1 if rule == LOST_BY_TIME else request.minutes  # cut by the administrator
            assert (record.partition, record.minutes, record.mem_mb, record.cpus) == (request.partition, minutes, request.mem_mb, request.cpus), rule
            assert record.gpus == ("gres:gpu:h200:1" if request.gpus else "")
            assert (request.gpus, request.gpu_model) == ((1, "h200") if rule in ("train_model", "predict") else (0, None))
    assert {record.partition for record in run.records if record.rule.startswith("download_")} == {"download"}
    assert {record.partition for record in run.records if record.gpus} == {"gpu"}


def test_small_rules_run_beside_snakemake(run: Run) -> None:
    sent = {record.rule for record in run.records}
    assert not sent & {"all", "check_ledger", "freeze_group", "check_model"}
    assert {"render_sky", "shard_sample", "train_model", "predict", "publish_catalogue"} <= sent


def test_no_more_gpu_jobs_at_once_than_gpus(run: Run) -> None:
    jobs = [record for record in run.records if record.gpus]
    assert len(jobs) == 6  # three trainings, two of them twice, and a prediction
    at_once = [sum(other.started <= record.started < other.ended for other in jobs) for record in jobs]
    assert max(at_once) == GPUS


def test_each_gpu_job_saw_one_gpu_and_leased_none(run: Run) -> None:
    for log in (run.folder / "logs" / "train_model").glob("*.log"):
        assert "gpu_lease" not in log.read_text()


def test_a_cancelled_training_comes_back_with_more_of_everything(run: Run) -> None:
    killed = [attempts for attempts in run.of("train_model").values() if attempts[0].state == "CANCELLED"]
    assert len(killed) == 1
    first, second = killed[0]
    assert second.state == "COMPLETED"
    assert (second.minutes, second.mem_mb, second.gpus) == (2 * first.minutes, 2 * first.mem_mb, first.gpus)


def test_a_job_that_ran_out_of_time_comes_back_with_more(run: Run) -> None:
    ((first, second),) = run.of(LOST_BY_TIME).values()
    assert (first.state, second.state) == ("TIMEOUT", "COMPLETED")
    assert second.minutes == 40


def test_a_job_that_ran_out_of_memory_comes_back_until_it_has_enough(run: Run) -> None:
    for attempts in run.of(SHORT_OF_MEMORY).values():
        assert len(attempts) > 1
        assert [record.mem_mb for record in attempts] == [240 * number for number in range(1, len(attempts) + 1)]
        assert {record.state for record in attempts[:-1]} <= {"FAILED", "CANCELLED", "OUT_OF_MEMORY"}
        assert attempts[-1].state == "COMPLETED"


def test_a_node_that_was_drained_cost_no_other_job(run: Run) -> None:
    twice = {record.rule for record in run.records for attempts in run.of(record.rule).values() if len(attempts) > 1}
    assert twice == {SHORT_OF_MEMORY, LOST_BY_TIME, "train_model"}
    assert sum(len(attempts) > 1 for attempts in run.of("train_model").values()) == 2
    assert all(record.values["Restarts"] == "0" for record in run.records)


def test_a_training_hears_the_signal_that_comes_before_its_time_is_over(run: Run, repository: Path) -> None:
    """Slurm signals the job's steps: had the signal ended at snakemake, which finishes what it runs, the job would have completed."""
    profile = yaml.safe_load((repository / "profiles" / "slurm" / "config.yaml").read_text())
    assert profile["set-resources"]["train_model"]["slurm_extra"] == "'--signal=TERM@120'"
    told = [attempts for attempts in run.of("train_model").values() if attempts[0].state == "FAILED"]
    assert [[record.state for record in attempts] for attempts in told] == [["FAILED", "COMPLETED"]]


def test_the_catalogue_is_whole(run: Run) -> None:
    with open(run.folder / TARGETS[0], newline="") as file:
        rows = list(csv.DictReader(file))
    selected = read_columns(run.folder / "results/samples/clash/selected.parquet", ["object_id"])["object_id"]
    assert sorted(row["object_id"] for row in rows) == sorted(selected)
    assert any(row["p_features"] for row in rows)


def test_the_doctor_finds_this_cluster_well_and_says_what_could_never_start(
    cluster: OneNode, plugin: str, site: Path, repository: Path, tmp_path: Path
) -> None:
    def doctor(**compute: object) -> subprocess.CompletedProcess:
        raw = yaml.safe_load((HERE / "small.yaml").read_text())
        raw["compute"] |= compute
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
        code = "import sys; from tuningfork.cli import main; sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", code, "doctor", "--configfile", tmp_path / "config.yaml", "--directory", tmp_path]
        command += ["--profile", str(repository / "profiles" / "slurm"), "--profile", str(site)]
        return subprocess.run(command, env=os.environ | {"PATH": cluster.path, "PYTHONPATH": plugin}, capture_output=True, text=True, timeout=120)

    well = doctor()
    assert well.returncode == 0, well.stdout + well.stderr
    assert "gpu: 1 of 1 nodes in service, 2 GPU h200" in well.stdout
    ill = doctor(gpu=3, training_mem_mb=999999)
    assert ill.returncode == 1
    assert "no node of partition gpu has 3 GPU h200" in ill.stdout
    assert f"999999 MB of memory (the largest, {cluster.ask('sinfo', '-h', '-o', '%N').strip()}, has {one_node.MEMORY_MB})" in ill.stdout
