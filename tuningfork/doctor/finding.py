"""What a check found, and how it is shown."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line: how bad, about what, what was seen, and what to do about it (empty where nothing is)."""

    level: Level
    subject: str
    seen: str
    advice: str = ""


def ok(subject: str, seen: str) -> Finding:
    """Nothing to do."""
    return Finding("ok", subject, seen)


def warning(subject: str, seen: str, advice: str) -> Finding:
    """The run may be slow, or not what was meant."""
    return Finding("warning", subject, seen, advice)


def problem(subject: str, seen: str, advice: str) -> Finding:
    """The run would fail, or wait for ever."""
    return Finding("problem", subject, seen, advice)


def render(findings: Iterable[Finding]) -> str:
    """The findings as text for a terminal, and a last line that counts them."""
    found = list(findings)
    width = max((len(finding.subject) for finding in found), default=0)
    lines = [f"{finding.level:<8}{finding.subject:<{width}}  {finding.seen}{f' -> {finding.advice}' if finding.advice else ''}" for finding in found]
    counts = {level: sum(finding.level == level for finding in found) for level in ("problem", "warning")}
    last = ", ".join(f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items() if count) or "all is well"
    return "\n".join([*lines, "", last]) + "\n"
