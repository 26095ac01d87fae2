"""A finished run of a small configuration, copies of it to change, and the exact jobs that a change makes stale."""

import ast
import contextlib
import copy
import csv
import json
import queue
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from astropy.io import fits

from tuningfork.tables import read_columns

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PARTS = ("Snakefile", "rules", "workflow", "tuningfork", "config", "profiles", "envs")
FROZEN = ("results/groups/clash.json", "results/groups/pictures.json")
TARGETS = {"all", "zoo"}  # rules that only name files: the default target and the papers


class Forges:
    """Some processes that fork a Snakemake each time they are asked."""

    def __init__(self, number: int = 2) -> None:
        self._free: queue.Queue[subprocess.Popen] = queue.Queue()
        for _ in range(number):
            self._free.put(subprocess.Popen([sys.executable, HERE / "forge.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

    def ask(self, request: dict[str, Any]) -> None:
        """Run one request; returns when it is done."""
        process = self._free.get()
        try:
            assert process.stdin and process.stdout
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n", "the process that forks Snakemake has died"
        finally:
            self._free.put(process)

    def close(self) -> None:
        """End the processes."""
        while not self._free.empty():
            process = self._free.get()
            assert process.stdin
            process.stdin.close()
            process.wait()


@dataclass
class Bench:
    """One working directory and the repository that it is run with; a change edits either."""

    folder: Path
    forges: Forges
    repository: Path = REPOSITORY
    arguments: list[str] = field(default_factory=lambda: ["--cores", "2"])
    environment: dict[str, str] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    configuration: dict[str, Any] = field(default_factory=lambda: unshared(yaml.safe_load((HERE / "base.yaml").read_text())))
    runs: int = 0

    def copy(self, folder: Path) -> "Bench":
        """The same state in another place, with all its times. What was downloaded is linked: nothing writes into it (see `own`)."""
        folder.mkdir()
        for part in sorted(self.folder.iterdir()):
            subprocess.run(["cp", "-al" if part.name == "resources" else "-a", part, folder / part.name], check=True)
        return Bench(folder, self.forges, self.repository, list(self.arguments), dict(self.environment), list(self.path), copy.deepcopy(self.configuration))

    @staticmethod
    def own(path: Path) -> Path:
        """A file that is shared with no other copy, so that it can be changed in place."""
        other = path.with_name(f"{path.name}.own")
        shutil.copy2(path, other)
        return other.replace(path)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text in a file of the repository (of a copy, made at the first edit)."""
        path = self.own_repository() / file
        text = path.read_text()
        assert text.count(old) >= 1, f"{file}: there is no {old!r} to change"
        path.write_text(text.replace(old, new))

    def edit_function(self, file: str, name: str) -> None:
        """Put a statement without effect into a function: other code, the same results."""
        path = self.own_repository() / file
        lines = path.read_text().splitlines(keepends=True)
        function = next(node for node in ast.parse("".join(lines)).body if isinstance(node, ast.FunctionDef) and node.name == name)
        last = function.body[-1]
        lines.insert(last.lineno - 1, f"{' ' * last.col_offset}_ = 'edited'\n")
        path.write_text("".join(lines))

    def own_repository(self) -> Path:
        """A copy of what a run reads of the repository."""
        own = self.folder.with_name(f"{self.folder.name}.repository")
        if self.repository != own:
            own.mkdir()
            for part in PARTS:
                subprocess.run(["cp", "-a", self.repository / part, own / part], check=True)
            self.repository = own
        return own

    def remove(self) -> None:
        """Remove the directory and all that was written beside it."""
        for path in self.folder.parent.glob(f"{self.folder.name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def snakemake(self, *arguments: str, fails: bool = False) -> list[str]:
        """Run Snakemake; names of the jobs that ran (or would, with ``-n``), sorted: ``rule[wildcard, ...]``."""
        return sorted(name for name, _ in self.jobs(*arguments, fails=fails))

    def jobs(self, *arguments: str, fails: bool = False) -> list[tuple[str, str]]:
        """As `snakemake`, with the reason of each."""
        self.runs += 1
        stem = self.folder.with_name(f"{self.folder.name}.{self.runs}")
        configfile = stem.with_suffix(f".{self.runs}.yaml")
        configfile.write_text(yaml.safe_dump(self.configuration, sort_keys=False))
        where = ["-s", str(self.repository / "Snakefile"), "-d", str(self.folder), "--configfile", str(configfile)]
        request = {
            "arguments": [*where, *self.arguments, "--nolock", *arguments],
            "repository": str(self.repository),
            "path": self.path,
            "environment": self.environment,
            "log": f"{stem}.log",
            "jobs": f"{stem}.json",
        }
        self.forges.ask(request)
        found = json.loads(Path(f"{stem}.json").read_text())
        assert (found["code"] != 0) == fails, self.words()[-3000:]
        return [(_name(rule, wildcards), reason) for rule, wildcards, reason, _ in found["jobs"] if rule not in TARGETS]

    def words(self) -> str:
        """What the last run said."""
        return self.folder.with_name(f"{self.folder.name}.{self.runs}.log").read_text()

    def stale(self, *really: Sequence[str]) -> list[str]:
        """The exact jobs that a change makes stale: `really` are runs that are done (a dry run does not see behind a checkpoint), the rest is dry."""
        done = [name for arguments in really for name in self.snakemake(*arguments)]
        return sorted([*done, *self.snakemake("-n")])

    def names(self) -> dict[str, list[str]]:
        """What the table of changes calls ``{A}``: shards and skies have names that are digests of something, and a cluster may lie in two shards."""
        samples = self.folder / "results" / "samples"
        found = {path.parents[1].name: [path.parent.name] for path in self.folder.glob("resources/*sky/*/sky.json")}
        for shard, described in json.loads((samples / "clash" / "shards.json").read_text())["shards"].items():
            for cluster in described["fields"]:
                found.setdefault(cluster.removeprefix("SIM-"), []).append(shard)
        objects = read_columns(samples / "zoo" / "objects.parquet", ["object_id", "shard"])
        of_zoo = dict(zip(objects["object_id"].tolist(), objects["shard"].tolist(), strict=True))
        found |= {"near": [of_zoo["SIM-z00"]], "far": [of_zoo["SIM-z31"]]}
        objects = read_columns(samples / "pictures" / "objects.parquet", ["object_id", "shard"])
        return found | {name: [shard] for name, shard in zip(objects["object_id"].tolist(), objects["shard"].tolist(), strict=True)}


def unshared(value: Any) -> Any:
    """The same without anchors: what YAML shares between sections is copied, so that one can be changed alone."""
    return json.loads(json.dumps(value))


def _name(rule: str, wildcards: dict[str, Any]) -> str:
    return f"{rule}[{', '.join(map(str, wildcards.values()))}]"


def write_inputs(folder: Path) -> None:
    """The user's own files: a table of 32 positions in two shards, and a folder of 24 pictures with their classes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    with (folder / "zoo.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "ra", "dec", "mag", "votes"])
        rows.writerows(zoo_row(number) for number in range(32))
    (folder / "pictures").mkdir()
    for number in range(24):
        fits.writeto(folder / f"pictures/p{number:02d}.fits", rng.normal(0.1, 1, (20, 20)).astype(np.float32))
    (folder / "pictures.csv").write_text("id,kind\n" + "".join(f"p{number:02d},{('smooth', 'featured')[number % 2]}\n" for number in range(24)))


def zoo_row(number: int) -> list[str]:
    """One row of the table: even numbers are featured, odd ones smooth; from 16 on they lie in another shard."""
    return [
        f"z{number:02d}",
        f"{150 + number % 6 * 0.5 + (60 if number >= 16 else 0):.4f}",
        f"{25 + number // 6 * 0.5:.4f}",
        f"{16 + number * 0.1:.2f}",
        f"{0.2 + 0.6 * (number % 2):.2f}",
    ]


@contextlib.contextmanager
def finished(folder: Path, forges: Forges, made: Path | None = None) -> Iterator[Bench]:
    """The base state: everything made, by the real rules, each job noting in ``trace/`` which functions of the library it called.

    `made` is such a folder of an earlier run, to be copied.
    """
    bench = Bench(folder / "base", forges, environment={"OMP_NUM_THREADS": "1"})
    if made is None:
        write_inputs(folder / "base")
        (folder / "trace").mkdir()
        bench.path = [str(HERE / "trace")]
        bench.environment |= {"FRESHNESS_TRACE": str(folder / "trace"), "FRESHNESS_PACKAGE": str(REPOSITORY / "tuningfork")}
        bench.snakemake()
        bench.environment, bench.path = {"OMP_NUM_THREADS": "1"}, []
    else:
        for part in ("base", "trace"):
            subprocess.run(["cp", "-a", made / part, folder / part], check=True)
    yield bench
    shutil.rmtree(folder, ignore_errors=True)
