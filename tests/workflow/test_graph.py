"""The graph of each configuration is what it should be, before anything runs."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tuningfork.config import load
from tuningfork.workflow import Workflow

SNAKEMAKE = Path(sys.executable).with_name("snakemake")


def _snakemake(repository: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [SNAKEMAKE, "-s", repository / "Snakefile", "-d", folder, "--cores", "2", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def _jobs(output: str) -> dict[str, int]:
    table = output[output.index("Job stats:") :]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table.split("\n\n")[0], re.MULTILINE)}


def test_the_demo_without_any_argument(repository: Path, tmp_path: Path) -> None:
    done = _snakemake(repository, tmp_path, "-n")
    assert done.returncode == 0, done.stderr
    jobs = _jobs(done.stdout + done.stderr)
    assert jobs["render_sky"] == 1
    assert jobs["render_survey_sky"] == 1
    assert jobs["download_catalogue"] == 9
    assert jobs["publish_catalogue"] == 7
    assert jobs["evaluate_model"] == 11


def test_the_paper_at_full_scale_builds_its_graph_alone(repository: Path, tmp_path: Path) -> None:
    done = _snakemake(repository, tmp_path, "-n", "--configfile", str(repository / "config" / "papers" / "clash.yaml"))
    assert done.returncode == 0, done.stderr
    output = done.stdout + done.stderr
    assert "SIM-" not in output
    assert "render_sky" not in _jobs(output)
    assert "clash-shuffled" not in output


@pytest.mark.parametrize("paper", ["metallicity", "deepshadows", "galaxy_vae", "galaxy10"])
def test_the_other_papers_at_full_scale_build_their_graphs(repository: Path, tmp_path: Path, paper: str) -> None:
    done = _snakemake(repository, tmp_path, "-n", "--configfile", str(repository / "config" / "papers" / f"{paper}.yaml"))
    assert done.returncode == 0, done.stderr
    output = done.stdout + done.stderr
    assert "SIM-" not in output
    assert not {"render_sky", "render_survey_sky", "download_mosaics"} & set(_jobs(output))
    assert _jobs(output)["publish_catalogue"] >= 1


def test_a_paper_is_a_target_of_its_own(repository: Path, tmp_path: Path) -> None:
    done = _snakemake(repository, tmp_path, "-n", "metallicity")
    assert done.returncode == 0, done.stderr
    jobs = _jobs(done.stdout + done.stderr)
    assert jobs["publish_catalogue"] == 1
    assert jobs["select_sample"] == 1
    assert "render_sky" not in jobs


def test_the_exact_list_of_targets(repository: Path) -> None:
    file = repository / "config" / "papers" / "clash.yaml"
    config = load(yaml.safe_load(file.read_text()), [file], repository / "config" / "recipes")
    assert sorted(Workflow(config, repository).targets()) == sorted(
        [
            *(f"results/catalogues/Deep-CLASH.{suffix}" for suffix in ("csv", "parquet", "fits", "vot")),
            "results/catalogues/Deep-CLASH_wide.csv",
            *(f"results/models/{model}/metrics.json" for model in ("candels", "clash", "clash-scratch")),
            "results/models/candels/predictions/candels.parquet",
            *(f"results/models/{model}/predictions/clash.parquet" for model in ("candels", "clash", "clash-scratch")),
            *(f"results/samples/{sample}/figures/stamps.png" for sample in ("candels", "clash")),
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--config", 'sky={"sed": 2}'), "sky.sed: unknown key; did you mean 'seed'?"),
        (("--config", 'archives={"mode": "offline"}'), "archives.mode: 'offline' is not one of 'simulated' or 'live'"),
    ],
)
def test_a_mistake_on_the_command_line_stops_before_any_job(repository: Path, tmp_path: Path, arguments: tuple[str, ...], line: str) -> None:
    done = _snakemake(repository, tmp_path, "-n", *arguments)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert f"--config: {line}" in output
    assert "Traceback" not in output
    assert not (tmp_path / "results").exists()


def test_a_value_on_the_command_line_is_used(repository: Path, tmp_path: Path) -> None:
    seeds = []
    for extra in ((), ("--config", 'sky={"seed": 7}')):
        done = _snakemake(repository, tmp_path, "-n", *extra)
        seeds += re.findall(r"sky of the mosaics \(seed (\d+)\)", done.stdout + done.stderr)
    assert seeds == ["1", "7"]


def _from_a_file(repository: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes = b"weights", **more: str) -> Workflow:
    monkeypatch.chdir(folder)
    (folder / "zoobot-encoder.safetensors").write_bytes(content)
    raw = yaml.safe_load((repository / "config" / "config.yaml").read_text())
    raw["models"]["candels"]["from"] = {"file": "zoobot-encoder.safetensors", **more}
    return Workflow(load(raw, [], repository / "config" / "recipes"), repository)


def test_a_file_of_weights_decides_by_its_content(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wf = _from_a_file(repository, tmp_path, monkeypatch)
    start = {"file": "zoobot-encoder.safetensors", "prefix": None, "first_layer": "adapt", "sha256": hashlib.sha256(b"weights").hexdigest()}
    assert wf.start("candels") == start and wf.parent("candels") is None
    assert wf.start("clash") == "candels"
    os.utime("zoobot-encoder.safetensors", ns=(1, 10**18))
    assert _from_a_file(repository, tmp_path, monkeypatch).start("candels") == start
    assert _from_a_file(repository, tmp_path, monkeypatch, b"others").start("candels") != start
    assert _from_a_file(repository, tmp_path, monkeypatch, prefix="encoder.").start("candels") == {**start, "prefix": "encoder."}


def test_the_published_catalogue_names_the_file_behind_its_model(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wf = _from_a_file(repository, tmp_path, monkeypatch)
    product = wf.publication("Deep-CLASH")
    assert product["weights_from"] == {"candels": wf.start("candels")} and product["methods"] == ["zoobot"]
    raw = yaml.safe_load((repository / "config" / "config.yaml").read_text())
    assert not {"weights_from", "methods"} & set(Workflow(load(raw, [], repository / "config" / "recipes"), repository).publication("Deep-CLASH"))


def test_a_missing_file_of_weights_stops_before_any_job(repository: Path, tmp_path: Path) -> None:
    done = _snakemake(repository, tmp_path, "-n", "--config", 'models={"candels": {"from": {"file": "gone.safetensors"}}}')
    output = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in output
    assert f"models.candels.from.file: there is no file gone.safetensors in {tmp_path}" in output


def _rules(repository: Path) -> dict[str, str]:
    found = {}
    for file in sorted((repository / "rules").glob("*.smk")):
        parts = re.split(r"^(?:rule|checkpoint) (\w+):$", file.read_text(), flags=re.MULTILINE)
        found |= dict(zip(parts[1::2], parts[2::2], strict=True))
    return found


def test_every_rule_says_what_it_needs(repository: Path) -> None:
    rules = _rules(repository)
    assert len(rules) > 15
    for name, body in rules.items():
        script = f'script:\n        "../workflow/scripts/{name}.py"'
        for needed in ("log:", "benchmark:", "threads:", "mem_mb=", "runtime=", "code=", "message:", "conda:", script):
            assert needed in body, f"rule {name} lacks {needed}"
        assert "retries:" not in body, f"rule {name}: on a cluster a rule's own retries multiply inside the old allocation"


def test_rules_that_train_or_predict_ask_for_their_gpu(repository: Path) -> None:
    asks = {name for name, body in _rules(repository).items() if "**wf.gpu()" in body}
    assert asks == {"train_model", "predict", "extract_features"}


def test_gpu_model_and_partition_come_from_the_configuration(repository: Path) -> None:
    raw = yaml.safe_load((repository / "config" / "config.yaml").read_text())
    raw["compute"] = {"gpu": 1, "gpu_model": "a100", "gpu_partition": "gpu"}
    config = load(raw, [], repository / "config" / "recipes")
    assert Workflow(config, repository).gpu() == {"gpu": 1, "gpu_model": "a100", "slurm_partition": "gpu"}
