"""The doctor names what could never start, and what to do about it."""

import http.server
import threading
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tuningfork.config import load
from tuningfork.doctor import machine
from tuningfork.doctor.archives import check_hosts, hosts_of
from tuningfork.doctor.examine import examine
from tuningfork.doctor.finding import Finding, ok, problem, render, warning
from tuningfork.doctor.partitions import gpus_of, judge, minutes_of, read_nodes
from tuningfork.doctor.profiles import check_profiles, merged, read_profile
from tuningfork.doctor.requests import Request, declared, requests
from tuningfork.planning import Plan
from tuningfork.workflow import Workflow

SINFO = """\
cn1|main*|2-00:00:00|32|128000|(null)|idle|up
cn2|main*|2-00:00:00|32|256000|(null)|mixed|up
gn1|gpu|1-00:00:00|64|512000|gpu:a100:4(S:0-1)|idle|up
gn2|gpu|1-00:00:00|64|1024000|gpu:h200:8(S:0-1)|drained|up
old|attic|infinite|8|16000|gpu:2|down*|up
"""
NODES = read_nodes(SINFO)


def _workflow(repository: Path, **compute: object) -> Workflow:
    raw = yaml.safe_load((repository / "config" / "config.yaml").read_text())
    raw["compute"] = compute
    return Workflow(load(raw, [], repository / "config" / "recipes"), repository)


def _ask(**values: object) -> Request:
    return Request(**{"rule": "train_model", "attempt": 1, "cpus": 1, "mem_mb": 1000, "minutes": 60, **values})


@pytest.mark.parametrize(
    ("request_", "level", "words"),
    [
        (_ask(), "ok", "1 rules fit"),
        (_ask(partition="gpu", gpus=1, gpu_model="a100"), "ok", "on a GPU: train_model"),
        (_ask(partition="gpu", gpus=5, gpu_model="a100"), "problem", "no node of partition gpu has 5 GPU a100 (gn1 has 4; models there: a100, h200)"),
        (_ask(partition="gpu", gpus=1, gpu_model="v100"), "problem", "1 GPU v100"),
        (_ask(gpus=1), "problem", "no node of partition main has 1 GPU (cn1 has 0)"),
        (_ask(mem_mb=300000), "problem", "300000 MB of memory (the largest, cn2, has 256000)"),
        (_ask(cpus=33), "problem", "33 CPUs (the largest, cn1, has 32)"),
        (_ask(minutes=3000), "problem", "asks for 3000 min of run time, partition main allows 2880"),
        (_ask(minutes=10**6, partition="attic", mem_mb=100), "warning", "only old could take it, and none of them is in service"),
        (
            _ask(partition="gpu", gpus=4, gpu_model="a100", mem_mb=600000),
            "problem",
            "no single node of partition gpu has 1 CPUs, 600000 MB and 4 GPUs together",
        ),
        (_ask(partition="gpu", gpus=8, gpu_model="h200"), "warning", "only gn2 could take it"),
        (_ask(partition="short"), "problem", "there is no partition 'short' (there are main, gpu, attic)"),
        (_ask(attempt=3, minutes=3000), "warning", "attempt 3: asks for 3000 min"),
    ],
)
def test_each_request_is_judged_against_the_nodes_of_its_partition(request_: Request, level: str, words: str) -> None:
    findings = judge([request_], NODES)
    assert findings[0].level == level
    assert words in findings[0].seen
    assert level == "ok" or (findings[0].advice and "train_model" in findings[0].subject)


def test_without_a_default_partition_one_must_be_named() -> None:
    nodes = read_nodes(SINFO.replace("*|", "|"))
    (finding,) = judge([_ask()], nodes)
    assert finding.level == "problem"
    assert "slurm_partition" in finding.advice


@given(days=st.integers(0, 400), hours=st.integers(0, 23), minutes=st.integers(0, 59), seconds=st.integers(0, 59))
def test_limits_of_time_are_read_as_slurm_writes_them(days: int, hours: int, minutes: int, seconds: int) -> None:
    clock = f"{minutes:02d}:{seconds:02d}"
    text = f"{days}-{hours:02d}:{clock}" if days else f"{hours}:{clock}" if hours else clock
    assert minutes_of(text) == days * 1440 + hours * 60 + minutes


def test_a_partition_without_limit_has_none() -> None:
    assert minutes_of("infinite") is None
    assert minutes_of("n/a") is None


@pytest.mark.parametrize(
    ("gres", "expected"),
    [
        ("(null)", {}),
        ("gpu:2", {"": 2}),
        ("gpu", {"": 1}),
        ("gpu:a100:4(S:0-1)", {"a100": 4}),
        ("gpu:a100:2,gpu:h200:6,shard:a100:8", {"a100": 2, "h200": 6}),
        ("gpu:nvidia_a100_80gb_pcie:2(S:0)", {"nvidia_a100_80gb_pcie": 2}),
        ("craynetwork:4,gpu:a100-sxm4:1", {"a100-sxm4": 1}),
    ],
)
def test_gpus_are_counted_by_model(gres: str, expected: dict[str, int]) -> None:
    assert gpus_of(gres) == expected


@given(st.text(max_size=200))
def test_any_text_of_sinfo_is_read_or_left_out(text: str) -> None:
    for node in read_nodes(text):
        assert node.cpus >= 0 and node.mem_mb >= 0


def test_the_profile_asks_at_first_for_what_the_rules_declare_and_then_for_more(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wf = _workflow(repository, training_mem_mb=7000, training_minutes=90, gpu=2, gpu_model="a100", gpu_partition="gpu")
    for name, value in wf.environment().items():
        monkeypatch.setenv(name, value)
    profile = read_profile(repository / "profiles" / "slurm" / "config.yaml")
    found = {(request.rule, request.attempt): request for request in requests(wf, profile)}
    plain = {request.rule: request for request in requests(wf, {})}
    assert {rule for rule, _ in found} == set(plain)
    for rule, expected in plain.items():
        assert found[rule, 1] == expected, f"profiles/slurm asks for another first attempt of {rule} than the rule declares"
        assert found[rule, 3].mem_mb == 3 * expected.mem_mb, f"profiles/slurm: {rule} has no growing mem_mb"
        assert found[rule, 3].minutes == 3 * expected.minutes, f"profiles/slurm: {rule} has no growing runtime"
    assert found["train_model", 3] == Request("train_model", 3, 1, 21000, 270, 2, "a100", "gpu")


def test_the_profile_names_every_rule_that_is_sent_and_no_other(repository: Path) -> None:
    everything = (repository / "rules").glob("*.smk")
    names = {line.split()[1].rstrip(":") for file in everything for line in file.read_text().splitlines() if line.startswith(("rule ", "checkpoint "))}
    local = {name for name, values in declared(_workflow(repository)).items() if values["local"]}
    profile = read_profile(repository / "profiles" / "slurm" / "config.yaml")
    missing, strange = names - local - set(profile["set-resources"]), set(profile["set-resources"]) - (names - local)
    assert not missing, f"add {missing} to set-resources of profiles/slurm/config.yaml with the memory and run time of the rule, each times attempt"
    assert not strange, f"profiles/slurm/config.yaml names {strange}, which no rule is, or which runs beside snakemake"
    assert "group-components" not in profile and "groups" not in profile


def test_downloads_run_beside_snakemake_or_in_a_partition_of_their_own(repository: Path) -> None:
    here = declared(_workflow(repository, downloads="head_node"))
    there = declared(_workflow(repository, download_partition="dmz"))
    asking = {name for name, values in there.items() if any(key.startswith("net_") for key in values["resources"])}
    assert {"download_catalogue", "download_labels", "download_mosaics", "fetch_cutouts"} <= asking
    assert {name for name, values in here.items() if values["local"]} - {name for name, values in there.items() if values["local"]} == asking
    assert {there[name]["resources"]["slurm_partition"] for name in asking} == {"dmz"}


def test_rules_that_a_configuration_has_no_sample_for_are_left_out(repository: Path) -> None:
    assert "import_stamps" not in declared(_workflow(repository))


def _profile(folder: Path, name: str, **keys: object) -> str:
    (folder / name).mkdir(parents=True)
    (folder / name / "config.yaml").write_text(yaml.safe_dump(keys))
    return name


def test_what_a_later_profile_takes_from_an_earlier_one_is_said(tmp_path: Path) -> None:
    site = _profile(tmp_path, "site", **{"default-resources": {"slurm_account": "me", "mem_mb": 500}, "jobs": 5})
    ours = _profile(tmp_path, "ours", **{"default-resources": {"mem_mb": 1000}})
    findings = check_profiles([site, ours], tmp_path, tmp_path)
    (lost,) = [finding for finding in findings if finding.level == "warning"]
    assert "replaces default-resources of" in lost.seen
    assert merged([site, ours], tmp_path, tmp_path) == {"default-resources": {"mem_mb": 1000}, "jobs": 5}


def test_a_profile_in_the_environment_is_said_to_be_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "mine")
    findings = check_profiles([_profile(tmp_path, "ours", jobs=2)], tmp_path, tmp_path)
    assert any("SNAKEMAKE_PROFILE=mine is not read" in finding.seen and "--profile mine --profile ours" in finding.advice for finding in findings)


def test_a_missing_profile_and_a_missing_plugin_are_problems(tmp_path: Path, repository: Path) -> None:
    findings = examine(["nowhere"], None, repository, tmp_path)
    assert any(finding.level == "problem" and "'nowhere'" in finding.seen for finding in findings)
    _profile(tmp_path, "strange", executor="no-such-thing")
    assert any("plugin for 'no-such-thing' is not installed" in finding.seen for finding in check_profiles(["strange"], tmp_path, tmp_path))


def test_a_newcomer_without_a_profile_sees_that_all_is_well(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNAKEMAKE_PROFILE", raising=False)
    findings = examine([], None, repository, tmp_path)
    assert "problem" not in {finding.level for finding in findings}
    assert {"configuration", "profile", "GPU", "working directory", "scratch", "disk", "archives", "clock"} == {finding.subject for finding in findings}


def test_a_mistake_in_the_configuration_is_the_first_and_only_finding(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "bad.yaml").write_text("samples: 3\n")
    (finding,) = examine([], tmp_path / "bad.yaml", repository, tmp_path)
    assert finding.level == "problem" and "bad.yaml" in finding.seen
    (finding,) = examine([], tmp_path / "none.yaml", repository, tmp_path)
    assert "there is no such file" in finding.seen


class _Clock(http.server.BaseHTTPRequestHandler):
    ahead = 0.0

    def do_HEAD(self) -> None:
        self.send_response_only(404)
        self.send_header("Date", formatdate(time() + self.ahead, usegmt=True))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Clock)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_archive_that_answers_anything_is_reachable_and_tells_the_time(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [finding.level for finding in check_hosts({"mast": host})] == ["ok", "ok"]
    monkeypatch.setattr(_Clock, "ahead", 3600.0)
    off = check_hosts({"mast": host})[-1]
    assert off.level == "warning" and off.subject == "clock" and off.seen.startswith("this machine's clock is -3")


def test_an_archive_that_does_not_answer_is_a_problem(host: str) -> None:
    findings = check_hosts({"mast": host, "vizier": "http://127.0.0.1:9"})
    assert findings[0].level == "problem"
    assert "vizier" in findings[0].seen


def test_the_hosts_of_a_paper_are_those_that_it_asks(repository: Path) -> None:
    file = repository / "config" / "papers" / "clash.yaml"
    config = load(yaml.safe_load(file.read_text()), [file], repository / "config" / "recipes")
    plan = Plan({}, {"vizier": None, "mast": None}, {}, 0, 0, {}, [])
    assert set(hosts_of(config, plan)) == {"vizier", "mast", "raw.githubusercontent.com"}


def test_too_little_disk_is_a_problem_and_just_enough_a_warning(tmp_path: Path) -> None:
    import shutil

    free = shutil.disk_usage(tmp_path).free
    levels = [machine.check_disk(tmp_path, Plan({}, {}, {}, 0.0, needed, {}, []))[0].level for needed in (2.0 * free, 0.8 * free, 0.1 * free)]
    assert levels == ["problem", "warning", "ok"]


def test_a_folder_that_cannot_be_written_is_a_problem() -> None:
    found = machine.check_folders(Path("/proc"), shared=False)
    assert found[0].level == "problem" and "/proc cannot be written" in found[0].seen
    assert machine.file_system(Path("/proc/self")) == "proc"


@pytest.mark.parametrize(("visible", "asked", "level"), [("", 1, "warning"), ("", 0, "ok"), ("0", 2, "problem")])
def test_gpus_seen_against_gpus_asked(repository: Path, monkeypatch: pytest.MonkeyPatch, visible: str, asked: int, level: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    (finding,) = machine.check_gpus(_workflow(repository, gpu=asked).config)
    assert finding.level == level


def test_the_last_line_counts_what_is_wrong() -> None:
    findings: list[Finding] = [ok("a", "fine"), warning("bb", "hm", "do x"), problem("c", "no", "do y"), problem("c", "no", "do z")]
    assert render(findings).splitlines() == [
        "ok      a   fine",
        "warning bb  hm -> do x",
        "problem c   no -> do y",
        "problem c   no -> do z",
        "",
        "2 problems, 1 warning",
    ]
    assert render(findings[:1]).endswith("\nall is well\n")
