"""All checks in the order in which a newcomer meets their subjects."""

import os
from collections.abc import Sequence
from pathlib import Path

from tuningfork.config import Config, load, read_yaml
from tuningfork.doctor.account import check_account, check_status_command
from tuningfork.doctor.archives import check_archives
from tuningfork.doctor.finding import Finding, ok, problem
from tuningfork.doctor.machine import check_disk, check_file_times, check_folders, check_gpus
from tuningfork.doctor.partitions import check_slurm
from tuningfork.doctor.profiles import check_profiles, merged
from tuningfork.doctor.requests import requests
from tuningfork.errors import ConfigError
from tuningfork.planning import make_plan
from tuningfork.workflow import Workflow


def examine(profiles: Sequence[str], configfile: Path | None, repository: Path, directory: Path) -> list[Finding]:
    """Look at everything that a run with these profiles and this configuration rests on; nothing is submitted, nothing is downloaded.

    Parameters
    ----------
    profiles
        As given to ``snakemake --profile``, in order; empty: those of SNAKEMAKE_PROFILE.
    configfile
        A YAML file; None for the demo's.
    repository
        Folder of the Snakefile.
    directory
        Where the workflow would run.
    """
    names = list(profiles) or [name for name in [os.environ.get("SNAKEMAKE_PROFILE", "")] if name not in ("", "none")]
    file = configfile or repository / "config" / "config.yaml"
    try:
        config = _read(file, repository)
    except ConfigError as error:
        return [problem("configuration", f"{file}: {error}", "correct it; config/README.md explains each key")]
    found = [ok("configuration", f"{file}: {len(config.samples)} samples, {len(config.models)} models, {len(config.catalogues)} catalogues")]
    plan = None if config.archives.mode == "simulated" else make_plan(config, repository / "config" / "recipes")
    cluster = False
    try:
        found += check_profiles(names, repository, directory)
        profile = merged(names, repository, directory)
        executor = profile.get("executor", "local")
        cluster = executor != "local"
        if executor == "slurm":
            wf = Workflow(config, repository)
            os.environ.update(wf.environment())
            asked = requests(wf, profile)
            found += [*check_slurm(asked), *check_account(asked), *check_status_command(profile)]
    except ConfigError as error:
        found.append(problem("profile", str(error), "docs/cluster.md has what a profile needs"))
    found += [] if cluster else check_gpus(config)
    found += check_folders(directory, shared=cluster)
    found += check_disk(directory, plan)
    found += check_archives(config, plan, nodes=cluster and config.compute.downloads == "nodes")
    return [*found, *check_file_times(directory)]


def _read(file: Path, repository: Path) -> Config:
    if not file.is_file():
        raise ConfigError("there is no such file")
    return load(read_yaml(file), [file], repository / "config" / "recipes")
