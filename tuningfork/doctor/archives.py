"""Whether the archives that a configuration needs answer from here, and what time it is there."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import requests

from tuningfork.archives.request import ARCHIVES
from tuningfork.config import Config, MosaicSample
from tuningfork.doctor.finding import Finding, ok, problem, warning
from tuningfork.planning import Plan

TIMEOUT_S = (4.0, 8.0)
"""To connect, and to the answer's first bytes."""
SKEW_S = 120.0
"""A clock this far off breaks certificates, and the order of files that two machines write."""


def check_archives(config: Config, plan: Plan | None, *, nodes: bool) -> list[Finding]:
    """One HEAD request to each archive; `nodes` tells that downloads run on a cluster's nodes, which cannot be asked from here."""
    if plan is None:
        return [ok("archives", "not needed: the sky is simulated (archives.mode)")]
    mirror = config.archives.mirror
    found = []
    if mirror is not None:
        there = Path(mirror).is_dir()
        found.append(
            ok("archives", f"the mirror {mirror} is read first") if there else problem("archives", f"there is no folder {mirror}", "correct archives.mirror")
        )
    found += check_hosts(hosts_of(config, plan))
    if nodes and mirror is None:
        advice = "compute.downloads: head_node if they do not, or slurm_partition of these rules in the profile"
        found.append(warning("archives", "downloads run on the cluster's nodes: whether these reach the internet is not seen from here", advice))
    return found


def hosts_of(config: Config, plan: Plan) -> dict[str, str]:
    """Archive -> URL of its host, for what the plan asks and where label files are fetched."""
    found = {name: ARCHIVES[name].base_url for name in plan.traffic if ARCHIVES[name].base_url}
    for sample in config.samples.values():
        if isinstance(sample, MosaicSample) and sample.labels and sample.labels.url:
            parts = urlsplit(sample.labels.url)
            found[parts.netloc] = f"{parts.scheme}://{parts.netloc}"
    return found


def check_hosts(hosts: dict[str, str]) -> list[Finding]:
    """Ask each host for its front page's headers, all at once; any answer below 500 will do."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(_head, hosts.values()))
    found, skews = [], []
    for (name, url), (seen, status, skew) in zip(hosts.items(), answers, strict=True):
        if status is None or status >= 500:
            found.append(problem("archives", f"{name} ({url}): {seen}", "is there internet here, a proxy to be set (https_proxy), or is the archive down?"))
        if skew is not None:
            skews.append(skew)
    if not found and hosts:
        found.append(ok("archives", f"{', '.join(hosts)} answer"))
    return found + _clock(skews)


def _head(url: str) -> tuple[str, int | None, float | None]:
    """What is said of a host, its HTTP status, and how far this machine's clock is ahead of its Date (s)."""
    try:
        reply = requests.head(url, timeout=TIMEOUT_S, allow_redirects=False)
    except requests.RequestException as error:
        return f"no answer ({type(error).__name__})", None, None
    try:
        skew = time.time() - parsedate_to_datetime(reply.headers["Date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        skew = None
    return f"HTTP {reply.status_code}", reply.status_code, skew


def _clock(skews: Iterable[float]) -> list[Finding]:
    """The smallest difference counts: one archive's clock may be wrong, or its answer old."""
    ordered = sorted(skews, key=abs)
    if not ordered:
        return []
    if abs(ordered[0]) > SKEW_S:
        return [
            warning(
                "clock",
                f"this machine's clock is {ordered[0]:+.0f} s off that of the archives",
                "set it (NTP): encrypted connections and file times rest on it",
            )
        ]
    return [ok("clock", f"agrees with the archives' to {max(1.0, abs(ordered[0])):.0f} s")]
