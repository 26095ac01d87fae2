"""Slurm's accounting: the account that jobs are charged to, and whether the command that tells how jobs end has anything to tell."""

import getpass
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from tuningfork.doctor.finding import Finding, ok, problem, warning
from tuningfork.doctor.partitions import TIMEOUT_S
from tuningfork.doctor.requests import Request


def check_account(requests: Sequence[Request]) -> list[Finding]:
    """Whether the accounts that requests name are the user's own."""
    own = own_accounts()
    if own is None:
        return [ok("account", "this Slurm keeps no accounts that can be asked for")]
    named = sorted({str(request.account) for request in requests if request.account})
    strange = [name for name in named if name not in own]
    if strange:
        mine = ", ".join(own) or "none"
        return [problem("account", f"{', '.join(strange)}: not yours (yours: {mine})", "correct slurm_account in the profile's default-resources")]
    if named:
        return [ok("account", ", ".join(named))]
    if not own:
        return [problem("account", "you have no account on this cluster", "ask the site's administrators for one")]
    if len(own) > 1:
        return [warning("account", f"none is named, you have {', '.join(own)}", "name one as slurm_account in the profile's default-resources")]
    return [ok("account", f"{own[0]} (your only one)")]


def check_status_command(profile: Mapping[str, Any]) -> list[Finding]:
    """Whether snakemake will hear of jobs that ended: it asks sacct where there is one, and a cluster without a database has nothing to say."""
    given = profile.get("slurm-status-command")
    command = str(given or ("sacct" if shutil.which("sacct") else "squeue"))
    if command == "sacct" and not _answers(["sacct", "-X", "-n", "--starttime", "now-1hours"]):
        advice = "add `slurm-status-command: squeue` to the profile, or jobs that ended would be waited for until the run is stopped"
        return [problem("job status", "sacct does not answer: this Slurm keeps no database of jobs", advice)]
    return [ok("job status", f"asked of {command}")]


def _answers(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=TIMEOUT_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def own_accounts() -> list[str] | None:
    """Accounts of this user, None where the cluster cannot tell."""
    if shutil.which("sacctmgr") is None:
        return None
    command = ["sacctmgr", "-n", "-P", "show", "assoc", f"user={getpass.getuser()}", "format=account"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None
    if told.returncode or "not running with" in told.stderr:
        return None
    return list(dict.fromkeys(line.split("|")[0].strip() for line in told.stdout.splitlines() if line.strip()))
