"""What the workflow itself costs when there is nothing to do: seconds of a run over finished graphs of 100, 1,000 and 10,000 jobs.

The graph is the real one (the repository's Snakefile, one cutout sample a thousand shards, a model and a catalogue a sample). Its files are made
here without the work: what checkpoints read has its real form, all else is empty. Snakemake notes a graph of one shard a sample as made
(``--touch``); what it noted of that shard is then written for the others, in its own format and with their own digests. That Snakemake, with all
its triggers on, finds nothing to be done is the check. Run with ``python benchmarks/bench_graph.py``; more with ``--jobs 100 1000 10000``.
"""

import argparse
import base64
import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tuningfork.config import load
from tuningfork.workflow import FORMATS, Workflow

REPOSITORY = Path(__file__).resolve().parents[1]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
LARGEST_SAMPLE = 1000  # shards
STAMPS = ("stamps/0000.arrow", "stamps/0000.sha256")
FIGURES = ("learning_curves", "comparison", "error_by_group", "calibration", "confusion", "examples")
AROUND = 11  # jobs of a sample that are not its shards


def configuration(jobs: int) -> tuple[dict[str, Any], dict[str, int]]:
    """A configuration with about so many jobs, and the number of shards of each of its samples."""
    number = max(1, round(jobs / (LARGEST_SAMPLE + AROUND)))
    shards = {f"s{k}": jobs // number - AROUND for k in range(number)}
    sample = {
        "kind": "cutout",
        "catalogue": {"name": "table", "options": {"file": "table.csv", "columns": {"object_id": "id", "ra": "ra", "dec": "dec"}}},
        "task": "regression",
        "targets": ["mag"],
        "images": {"service": "legacysurvey", "layer": "ls-dr9-south"},
    }
    models = {f"m{name}": {"train": name, "network": {"name": "deepshadows"}, "recipe": "cutouts"} for name in shards}
    catalogues = {f"C{name}": {"model": f"m{name}", "sample": name} for name in shards}
    return {"samples": dict.fromkeys(shards, sample), "models": models, "catalogues": catalogues}, shards


def make_files(folder: Path, raw: dict[str, Any], shards: dict[str, int]) -> None:
    """Every file of the finished graph, with one shard a sample."""
    (folder / "config.yaml").write_text(yaml.dump(raw))
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "ra", "dec", "mag"], ["a", 1, 2, 3]])
    flow = Workflow(load(raw, [], REPOSITORY / "config" / "recipes"), REPOSITORY)
    empty = [f"{flow.skies()['cutout'][0]}/sky.json", *flow.targets()]
    for name in shards:
        sample, model = f"results/samples/{name}", f"results/models/m{name}"
        _place(folder / sample / "shards.json").write_text(json.dumps(_index(name, 1)))
        _place(folder / f"results/groups/{name}.json").write_text(json.dumps({name: _digests(name)}))
        empty += [f"resources/catalogues/{name}/table.parquet", *(f"{sample}/{file}" for file in ("selected.parquet", "objects.parquet", "stamps.json"))]
        empty += [f"{sample}/{file}" for file in ("ledger.parquet", "ledger.json", "figures/objects.png", *STAMPS)]
        empty += [f"{model}/{file}" for file in ("weights.safetensors", "model.json", "history.csv", "metrics.html", "README.md")]
        empty += [f"{model}/figures/{figure}.png" for figure in FIGURES]
        empty += [f"results/catalogues/C{name}.{suffix}" for suffix in (*FORMATS, "dat", "ReadMe", "bib", "provenance.json", "html")]
    for path in empty:
        _place(folder / path).touch()


def more_shards(folder: Path, shards: dict[str, int]) -> None:
    """The files of all other shards, and Snakemake's notes of them and of the jobs that read them, after those of the first."""
    notes = folder / ".snakemake" / "metadata"
    for name, number in shards.items():
        sample = f"results/samples/{name}"
        names = [f"{k:04x}" for k in range(number)]
        _in_its_time(folder / sample / "shards.json", json.dumps(_index(name, number)))
        for suffix in ("arrow", "sha256"):
            first = f"{sample}/stamps/0000.{suffix}"
            note = (notes / _encoded(first)).read_text()
            times = (folder / first).stat()
            for shard in names[1:]:
                path = first.replace("0000", shard)
                (folder / path).touch()
                os.utime(folder / path, ns=(times.st_atime_ns, times.st_mtime_ns))
                (notes / _encoded(path)).write_text(note.replace("stamps/0000", f"stamps/{shard}").replace(_digest("0000"), _digest(shard)))
    for path in list(notes.iterdir()):
        note = json.loads(path.read_text())
        found = [
            re.sub("/0000[.]", f"/{k:04x}.", file) for file in note["input"] or () if "/stamps/0000." in file for k in range(1, shards[file.split("/")[2]])
        ]
        if found:
            note["input"] = sorted({*note["input"], *found})
            path.write_text(json.dumps(note))


def _in_its_time(path: Path, text: str) -> None:
    times = path.stat()
    path.write_text(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _encoded(file: str) -> str:
    return base64.urlsafe_b64encode(file.encode()).decode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digests(sample: str) -> dict[str, str]:
    return {key: _digest(f"{sample}{key}") for key in ("stamps", "sides", "labels", "objects", "ledger")}


def _index(sample: str, number: int) -> dict[str, Any]:
    return {"shards": {f"{k:04x}": {"digest": _digest(f"{k:04x}"), "rows": 2000, "fields": []} for k in range(number)}, **_digests(sample)}


def _place(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def run(folder: Path, *arguments: str) -> tuple[float, float, str]:
    """Wall-clock seconds, processor seconds and words of one run of Snakemake."""
    where = ["-s", REPOSITORY / "Snakefile", "-d", folder, "--configfile", folder / "config.yaml", "--cores", "2"]
    start, before = time.perf_counter(), os.times()
    done = subprocess.run([SNAKEMAKE, *where, *arguments], capture_output=True, text=True)
    seconds, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise SystemExit((done.stdout + done.stderr)[-3000:])
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, used, done.stdout + done.stderr


def main(sizes: tuple[int, ...] = (100, 1000)) -> dict[int, float]:
    """Print the table; returns the seconds of a run with nothing to do for each number of jobs."""
    print("a run with nothing to do, over finished graphs (seconds; processor seconds in brackets)")
    found = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            raw, shards = configuration(size)
            make_files(folder, raw, shards)
            run(folder, "--touch", "--forceall", "--quiet", "all")
            more_shards(folder, shards)
            jobs = sum(shards.values()) + AROUND * len(shards)
            seconds, used, words = min(run(folder) for _ in range(2))
            if "Nothing to be done" not in words:
                raise SystemExit(f"{size} jobs: the graph is not finished:\n{words[-3000:]}")
        found[jobs] = seconds
        print(f"  {jobs:6d} jobs, {len(shards)} sample(s): {seconds:6.2f} ({used:6.2f})   {seconds / jobs * 1e3:6.2f} ms a job", flush=True)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[100, 1000], help="sizes of the graphs (default: 100 1000)")
    main(tuple(parser.parse_args().jobs))
