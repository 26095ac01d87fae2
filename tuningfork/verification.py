"""Whether everything in a working directory is still what the rules made and the archives sent: the seals and the cache, read again."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tuningfork.archives import cache
from tuningfork.errors import TuningforkError
from tuningfork.files import read_json, write_json
from tuningfork.seals import Finding, made_without_seal, sealed, verify

__all__ = ["Examination", "act", "examine", "render"]

MANIFESTS = "resources/mosaics"
SHOWN = 20


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes
    ----------
    findings
        Sealed files that changed or are gone; with a mosaic that changed goes the manifest that names it.
    downloads
        Cached replies that changed, with the reason.
    unsealed
        Products that no job has sealed.
    files
        Sealed files that were looked at.
    """

    findings: list[Finding]
    downloads: list[tuple[Path, str]]
    unsealed: list[Path]
    files: int

    def wrong(self, *, forgotten: bool = False) -> int:
        """How many files are not what they were; deleted ones do not count where they are `forgotten`."""
        return len(self.downloads) + sum(not (forgotten and finding.kind == "deleted") for finding in self.findings)


def examine(directory: Path, cache_folder: Path) -> Examination:
    """Read every sealed and every downloaded file of a working directory again.

    Parameters
    ----------
    cache_folder
        Relative to `directory`.

    Raises
    ------
    TuningforkError
        There are no seals: nothing was made here by this version.
    """
    known = list(sealed(directory))
    if not known:
        raise TuningforkError(f"{directory.resolve()}: nothing has been made here that could be verified; run snakemake first")
    total = sum(record["bytes"] for _, _, record in known)
    with tqdm(total=total, unit="B", unit_scale=True, desc="verify", disable=not sys.stderr.isatty(), file=sys.stderr, leave=False) as bar:
        findings = verify(directory, told=bar.update)
    downloads = [(path.relative_to(directory), problem) for path, problem in cache.verify(directory / cache_folder)]
    already = {finding.path for finding in findings}
    findings += [found for found in _naming(directory, [path for path, _ in downloads]) if found.path not in already]
    return Examination(findings, downloads, list(made_without_seal(directory)), len(known))


def _naming(directory: Path, downloads: list[Path]) -> Iterator[Finding]:
    """Manifests of mosaics that name a download that is not whole."""
    names = {path.name for path in downloads}
    notes = {path: note for note, path, _ in sealed(directory)}
    for manifest in sorted((directory / MANIFESTS).rglob("*.json")) if names else ():
        images = [image for band in _entries(manifest) for image in (band.get("image"), band.get("weight")) if image]
        if wrong := sorted({Path(image).name for image in images} & names):
            path = manifest.relative_to(directory)
            yield Finding(path, "changed", f"it names {wrong[0]}, which is not what was downloaded", notes.get(path, path))


def _entries(manifest: Path) -> list[dict[str, str]]:
    described = read_json(manifest)
    return [entry for entry in (*described.get("bands", {}).values(), described.get("detection")) if entry]


def act(directory: Path, found: Examination, *, remove: bool, forget: bool) -> None:
    """Delete what has changed (`remove`); drop what was deleted from its seal (`forget`)."""
    if remove:
        for finding in found.findings:
            (directory / finding.path).unlink(missing_ok=True)
        for path, _ in found.downloads:
            for each in (directory / path, cache.Entry(directory / path).sidecar):
                each.unlink(missing_ok=True)
    if forget:
        for finding in (finding for finding in found.findings if finding.kind == "deleted"):
            note = directory / finding.seal
            rest = {path: record for path, record in read_json(note).items() if path != finding.path.as_posix()}
            if rest:
                write_json(note, rest)
            else:
                note.unlink()
                with contextlib.suppress(OSError):
                    note.parent.rmdir()


def render(found: Examination, *, removed: bool = False, forgotten: bool = False) -> str:
    """What was found, one line a file, and what to do about it."""
    lines = [f"{finding.kind:8} {finding.path}: {finding.how}" for finding in found.findings]
    lines += [f"download {path}: {problem}" for path, problem in found.downloads]
    if found.unsealed:
        more = f" and {len(found.unsealed) - 3} more" if len(found.unsealed) > 3 else ""
        lines.append(f"{len(found.unsealed)} file(s) were not made by a rule of this version: {', '.join(map(str, found.unsealed[:3]))}{more}")
    if not found.findings and not found.downloads:
        return "\n".join([*lines, f"all {found.files:,} files are what they were when they were made"]) + "\n"
    wanted = [finding for finding in found.findings if not (forgotten and finding.kind == "deleted")]
    if wanted and len(wanted) <= SHOWN:
        first = "" if removed else "tuningfork verify --remove; "
        lines.append(f"To make them again: {first}snakemake --cores all {' '.join(str(finding.path) for finding in wanted)}")
    elif wanted:
        lines.append("To make them again: tuningfork verify --remove --list | xargs snakemake --cores all")
    return "\n".join(lines) + "\n"
