"""Profiles of Snakemake: where they lie, what several of them come to, and which keys one takes from another."""

import importlib.util
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tuningfork.doctor.finding import Finding, ok, problem, warning
from tuningfork.errors import ConfigError

FILES = ("profile.yaml", "config.yaml")
AUTOMATIC = Path("profiles") / "default"


def find_profile(name: str, directory: Path) -> Path:
    """The file of a profile: a folder seen from `directory`, else one of the user's or the machine's own.

    Raises
    ------
    ConfigError
        There is no such profile.
    """
    homes = [directory, Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "snakemake", Path("/etc/xdg/snakemake")]
    for home in homes:
        for file in FILES:
            if (home / name / file).is_file():
                return home / name / file
    raise ConfigError(f"profile {name!r}: neither {' nor '.join(str(home / name) for home in homes)} has a {' or '.join(FILES)}")


def read_profile(file: Path) -> dict[str, Any]:
    """The keys of one profile; lists of KEY=VALUE where Snakemake also takes a mapping become mappings."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: this is not YAML ({error})") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{file}: a profile has keys and values, this is a {type(found).__name__}")
    return {str(key): _mapped(str(key), value) for key, value in found.items()}


def _mapped(key: str, value: Any) -> Any:
    if key in ("default-resources", "resources") and isinstance(value, list):
        return dict(str(entry).split("=", 1) for entry in value)
    if key in ("set-resources", "set-threads") and isinstance(value, list):
        found: dict[str, Any] = {}
        for entry in value:
            name, given = str(entry).split("=", 1)
            rule, _, resource = name.partition(":")
            if resource:
                found.setdefault(rule, {})[resource] = given
            else:
                found[rule] = given
        return found
    return value


def merged(names: Sequence[str], repository: Path, directory: Path) -> dict[str, Any]:
    """What Snakemake makes of profiles: a later one replaces whole top-level keys, and the workflow's own comes last."""
    files = [find_profile(name, directory) for name in names]
    automatic = automatic_profile(repository, directory)
    found: dict[str, Any] = {}
    for file in [*files, *([automatic] if automatic else [])]:
        found |= read_profile(file)
    return found


def automatic_profile(repository: Path, directory: Path) -> Path | None:
    """The profile that Snakemake takes by itself: that of the working directory, else that beside the Snakefile."""
    for home in (directory, repository):
        for file in FILES:
            if (home / AUTOMATIC / file).is_file():
                return home / AUTOMATIC / file
    return None


def check_profiles(names: Sequence[str], repository: Path, directory: Path) -> list[Finding]:
    """Which profiles act, whose keys are lost to another, and whether the executor can be used."""
    files = [find_profile(name, directory) for name in names]
    found = [ok("profile", f"{file} (executor {read_profile(file).get('executor', 'local')})") for file in files] or [ok("profile", "none: jobs run here")]
    found += _lost_keys(files, automatic_profile(repository, directory))
    own = os.environ.get("SNAKEMAKE_PROFILE")
    if own and names:
        advice = f"name both to have both: {' '.join(f'--profile {name}' for name in [own, *names])}"
        found.append(warning("profile", f"SNAKEMAKE_PROFILE={own} is not read where --profile is given", advice))
    executor = merged(names, repository, directory).get("executor", "local")
    return found + (_executor(str(executor)) if executor != "local" else [])


def _lost_keys(files: Sequence[Path], automatic: Path | None) -> list[Finding]:
    order = [*files, *([automatic] if automatic else [])]
    found = []
    for place, file in enumerate(order):
        for later in order[place + 1 :]:
            earlier, replacing = read_profile(file), read_profile(later)
            lost = [key for key in earlier if key in replacing and not _same(earlier[key], replacing[key])]
            if lost:
                advice = f"a profile replaces whole keys: repeat in {later} what you need of {file}"
                found.append(warning("profile", f"{later} replaces {', '.join(lost)} of {file}", advice))
    return found


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (isinstance(one, Mapping) and isinstance(other, Mapping) and set(one) <= set(other))


def _executor(name: str) -> list[Finding]:
    module = f"snakemake_executor_plugin_{name.replace('-', '_')}"
    if importlib.util.find_spec(module) is None:
        command = "pip install '.[slurm]'" if name == "slurm" else f"pip install snakemake-executor-plugin-{name}"
        return [problem("executor", f"the plugin for {name!r} is not installed", command)]
    if name == "slurm" and shutil.which("sbatch") is None:
        return [problem("executor", "there is no sbatch on this machine", "run on the cluster's login node, or load its Slurm module")]
    return [ok("executor", f"the plugin for {name!r} is installed")]
