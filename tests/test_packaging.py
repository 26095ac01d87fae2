"""The lock, the conda environments, and the imports agree with each other."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

CONDA_NAMES = {"torch": "pytorch", "tables": "pytables"}


def _lock(repository: Path) -> dict[str, str]:
    lines = (repository / "requirements.lock").read_text().splitlines()
    return {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines if line and not line.startswith("#"))}


def _environment(repository: Path, name: str) -> dict[str, str]:
    packages = yaml.safe_load((repository / "envs" / f"{name}.yaml").read_text())["dependencies"]
    return dict(package.split("=", 1) for package in packages if isinstance(package, str) and "=" in package)


def test_conda_environments_have_the_versions_of_the_lock(repository: Path) -> None:
    lock = _lock(repository)
    for name in ("io", "torch"):
        packages = _environment(repository, name)
        assert len(packages) > 6
        for package, version in packages.items():
            if package == "python":
                continue
            pip_name = {"pytorch": "torch", "matplotlib-base": "matplotlib"}.get(package, package)
            assert lock[pip_name] == version.lstrip("="), f"envs/{name}.yaml: {package}"


def test_the_lock_pins_every_dependency(repository: Path) -> None:
    import tomllib

    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    lock = _lock(repository)
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        name = re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower()
        assert name in lock, f"{name} of pyproject.toml is not in requirements.lock: run make lock"


def test_the_slurm_lock_pins_the_plugin_and_goes_with_the_lock(repository: Path) -> None:
    import tomllib

    from packaging.requirements import Requirement

    extra = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]["slurm"]
    lines = (repository / "requirements-slurm.lock").read_text().split()
    pinned = dict(line.split("==") for line in lines)
    for requirement in map(Requirement, extra):
        assert requirement.specifier.contains(pinned[requirement.name])
    assert "snakemake-executor-plugin-slurm-jobstep" in pinned
    assert not set(pinned) & set(_lock(repository)), "a package has one version: that of requirements.lock"


def test_the_lock_is_installed(repository: Path) -> None:
    from importlib.metadata import version

    wrong = {name: version(name) for name, pinned in _lock(repository).items() if version(name).split("+")[0] != pinned}
    assert not wrong


def test_no_core_dependency_pulls_in_torchvision(repository: Path) -> None:
    assert not {"torchvision", "timm", "lightning", "torchmetrics"} & set(_lock(repository))


def test_imports_point_one_way(repository: Path) -> None:
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
