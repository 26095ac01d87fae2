"""Real pictures and labels through the rules of the Snakefile, each in a working directory of its own."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tuningfork.files import read_json


@dataclass(frozen=True)
class Run:
    """What a run of the workflow left: its folder, exit status and messages."""

    folder: Path
    returncode: int
    messages: str

    @property
    def results(self) -> Path:
        """The folder of results."""
        return self.folder / "results"

    def metrics(self, model: str) -> dict[str, Any]:
        """The metrics of a model."""
        return read_json(self.results / "models" / model / "metrics.json")

    @staticmethod
    def estimate(entry: dict[str, Any]) -> tuple[float, float, float]:
        """Value and interval of one number of the metrics, which must have one."""
        value, low, high = entry["value"], entry["lo"], entry["hi"]
        assert low <= value <= high and entry["n"] > 0
        return value, low, high


@pytest.fixture(scope="session")
def snakemake(repository: Path) -> Callable[..., Run]:
    """Run the repository's own Snakefile in a folder: ``snakemake(folder, configuration, *arguments)``; fails the test unless ``check=False``."""
    program = Path(sys.executable).with_name("snakemake")

    def run(folder: Path, configuration: dict[str, Any], *arguments: str, check: bool = True) -> Run:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(configuration, sort_keys=False))
        command = [program, "-s", repository / "Snakefile", "-d", folder, "--configfile", folder / "config.yaml", "--cores", "2", *arguments]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=1200)
        messages = done.stdout + done.stderr
        if check:
            assert done.returncode == 0, messages[-6000:]
        return Run(folder, done.returncode, messages)

    return run


@pytest.fixture(scope="session")
def example(repository: Path, shared_data: Path) -> Callable[[str], dict[str, Any]]:
    """An example configuration of the repository with its `pictures/` replaced by the folder of real data."""

    def load(name: str) -> dict[str, Any]:
        text = (repository / "config" / "examples" / f"{name}.yaml").read_text()
        assert "pictures/" in text
        found: dict[str, Any] = yaml.safe_load(text.replace(" pictures/", f" {shared_data}/"))
        return found

    return load
