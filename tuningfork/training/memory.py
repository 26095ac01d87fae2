"""How much memory the stamps of a training may take: measured on the machine, within what the job and its control group allow."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch

__all__ = ["free_memory", "memory_budget"]


def memory_budget(device: torch.device, memory_mb: int | None = None) -> int:
    """Bytes that the stamps may take on the device: half of what is free there; on a CPU no more than half of the job's `memory_mb` (MB)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    free = free_memory()
    return free // 2 if memory_mb is None else min(memory_mb * 10**6, free) // 2


def free_memory(root: str | Path = "/") -> int:
    """Bytes that a process may still take: what the machine has available, or less where a control group (a container, a scheduler) allows less."""
    root = Path(root)
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        # not Linux: what is not in use; caches that could be given up are not counted
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_AVPHYS_PAGES" in os.sysconf_names else 2**32
    for folder, limit, used, stat in _groups(root):
        with contextlib.suppress(OSError, ValueError):
            cached = dict(line.split() for line in (folder / stat).read_text(encoding="ascii").splitlines())
            allowed = int((folder / limit).read_text(encoding="ascii")) - int((folder / used).read_text(encoding="ascii"))
            free = min(free, max(0, allowed + int(cached.get("inactive_file", 0))))
    return free


def _groups(root: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Folders of this process's control groups, from its own to the root's, in version 2 and 1; and the names of their limit, usage and statistics."""
    names = ("memory.max", "memory.current", "memory.stat"), ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / ("sys/fs/cgroup" if controllers == "" else "sys/fs/cgroup/memory")
        own = top / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(top):
                yield (folder, *names[controllers != ""])
