"""What really happens on shared machines, done to a small run on purpose: after each of it, the next runs must end in the same catalogue.

``python tests/crash/matrix.py`` (``make crashtest``) kills at random moments until fifty kills were survived, and goes through the other
accidents; the test beside it does a few of each. The seed is printed: the same seed draws the same accidents, at the mercy of the clock.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
BIN = Path(sys.executable).parent
TABLES = (".csv", ".parquet", ".fits", ".vot", "_wide.csv", ".dat", ".ReadMe", ".bib")
PATIENCE_S = 600


class Failed(Exception):
    """A catalogue differs, or a run did not end."""


@dataclass
class Lab:
    """A place to run the small configuration in, and the catalogue that an undisturbed run makes."""

    root: Path
    draws: random.Random
    say: Callable[[str], object] = print
    reference: dict[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0
    kills: int = 0

    def undisturbed(self) -> None:
        """Run once without any accident: the catalogue to compare with, and how long it takes."""
        folder, start = self.fresh("reference"), time.monotonic()
        self.finish(folder)
        self.seconds = time.monotonic() - start
        self.reference = tables_of(folder)
        self.say(f"undisturbed: {self.seconds:.0f} s, {len(self.reference)} tables")

    def fresh(self, name: str) -> Path:
        """An empty working directory."""
        folder = self.root / name
        folder.mkdir(parents=True)
        shutil.copy(HERE / "crash.yaml", folder / "config.yaml")
        return folder

    def start(self, folder: Path, *arguments: str) -> subprocess.Popen:
        """Snakemake in a session of its own, its words in a file."""
        command = [BIN / "snakemake", "-s", REPOSITORY / "Snakefile", "-d", folder, "--configfile", folder / "config.yaml", "--cores", "2", *arguments]
        with open(self.root / f"{folder.name}.log", "ab") as words:
            return subprocess.Popen(command, stdout=words, stderr=words, start_new_session=True)

    def finish(self, folder: Path) -> None:
        """Run to the end, as `make demo` does: a stale lock is cleared first."""
        clear_lock(folder)
        code = self.start(folder).wait(PATIENCE_S)
        if code:
            raise Failed(f"the run in {folder} ended with {code}:\n{self.words(folder)[-3000:]}")

    def words(self, folder: Path) -> str:
        """What Snakemake has said in a working directory."""
        return (self.root / f"{folder.name}.log").read_text(errors="replace")

    def compare(self, folder: Path, what: str) -> None:
        """Refuse a catalogue that is not, byte for byte, that of the undisturbed run."""
        found = tables_of(folder)
        wrong = [name for name in self.reference if found.get(name) != self.reference[name]]
        if wrong or not self.reference:
            raise Failed(f"{what}: {', '.join(wrong)} differ from those of the undisturbed run, in {folder}")
        self.say(f"{what}: all tables identical")

    def moment(self, part: float) -> float:
        """A random time to wait: exponential, `part` of the undisturbed run on average, and at least until Python is up."""
        return 1 + self.draws.expovariate(1 / (part * self.seconds))


def tables_of(folder: Path) -> dict[str, bytes]:
    """The published tables by name; those that are not there are left out."""
    stem = folder / "results/catalogues/Deep-CLASH"
    files = [stem.with_name(stem.name + suffix) for suffix in TABLES]
    return {file.name: file.read_bytes() for file in files if file.is_file()}


def clear_lock(folder: Path) -> None:
    """`tuningfork unlock`, as often as a living snakemake (jobs that outlived their master) holds the directory."""
    deadline = time.monotonic() + PATIENCE_S
    while subprocess.run([BIN / "tuningfork", "unlock", folder], capture_output=True).returncode:
        if time.monotonic() > deadline:
            raise Failed(f"{folder} stays locked")
        time.sleep(0.5)


def descendants(pid: int) -> list[int]:
    """Processes below this one, the nearest first."""
    found: list[int] = []
    todo = [pid]
    while todo:
        try:
            children = Path(f"/proc/{todo[0]}/task/{todo[0]}/children").read_text().split()
        except OSError:
            children = []
        todo = [*todo[1:], *map(int, children)]
        found += map(int, children)
    return found


def kill_everything(lab: Lab, run: subprocess.Popen) -> str:
    """The machine goes: every process at once."""
    os.killpg(run.pid, signal.SIGKILL)
    return "all processes"


def kill_master(lab: Lab, run: subprocess.Popen) -> str:
    """Snakemake goes, its jobs live on without it."""
    os.kill(run.pid, signal.SIGKILL)
    return "snakemake alone"


def kill_one_job(lab: Lab, run: subprocess.Popen) -> str:
    """One process of a job goes, as under memory pressure; where there is none yet, all."""
    below = descendants(run.pid)
    if not below:
        return kill_everything(lab, run)
    victim = lab.draws.choice(below)
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return kill_everything(lab, run)
    return "one process of a job"


def survive_kills(lab: Lab, kills: int, name: str = "killed") -> None:
    """Kill a run at random moments, start it again, and again; when it has ended, compare and begin anew, until so many kills were survived."""
    turn = 0
    while lab.kills < kills:
        turn += 1
        folder, here, ended = lab.fresh(f"{name}{turn}"), 0, False
        while not ended and lab.kills < kills:
            clear_lock(folder)
            run = lab.start(folder)
            try:
                ended = run.wait(lab.moment(0.3)) == 0
            except subprocess.TimeoutExpired:
                how = lab.draws.choice([kill_everything, kill_master, kill_one_job])(lab, run)
                run.wait(PATIENCE_S)
                lab.kills += 1
                here += 1
                lab.say(f"kill {lab.kills}: {how}")
        lab.finish(folder)
        lab.compare(folder, f"after {here} kills")


def interrupted(lab: Lab, name: str, part: float = 0.5) -> Path:
    """A run that was killed about half way."""
    folder = lab.fresh(name)
    run = lab.start(folder)
    try:
        run.wait(part * lab.seconds)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    return folder


def outputs(folder: Path) -> list[Path]:
    """What rules have made so far, the youngest first."""
    files = [path for part in ("results", "resources") for path in (folder / part).rglob("*") if path.is_file() and ".seals" not in path.parts]
    return sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def forgotten_renames(lab: Lab) -> None:
    """The file system forgets the last renames, and keeps what was written after them elsewhere: the youngest outputs are gone."""
    for turn in range(3):
        folder = interrupted(lab, f"renames{turn}", 0.4 + 0.2 * turn)
        lost = [path for path in outputs(folder)[:4] if lab.draws.random() < 0.6]
        for path in lost:
            path.unlink()
        lab.finish(folder)
        lab.compare(folder, f"after {len(lost)} forgotten renames")


def clock_backwards(lab: Lab) -> None:
    """The clock was a day ahead, and is set right in the middle of the run: what was made until then lies in the future."""
    folder = interrupted(lab, "clock")
    for path in outputs(folder):
        found = path.stat()
        os.utime(path, ns=(found.st_atime_ns + 86_400 * 10**9, found.st_mtime_ns + 86_400 * 10**9))
    lab.finish(folder)
    lab.compare(folder, "after the clock went back by a day")


def two_at_once(lab: Lab) -> None:
    """Two runs of one directory are started in the same moment: one works, the other says that the directory is locked."""
    folder = lab.fresh("two")
    runs = [lab.start(folder), lab.start(folder)]
    codes = sorted(run.wait(PATIENCE_S) for run in runs)
    if codes == [0, 0]:
        lab.say("two at once: the second came when the first had ended")
    elif codes[0] != 0 or "locked" not in lab.words(folder).lower():
        raise Failed(f"two at once: ended with {codes}:\n{lab.words(folder)[-3000:]}")
    lab.finish(folder)
    lab.compare(folder, "two at once")


def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A file system of its own at `folder`, unmounted afterwards."""
    subprocess.run(["mount", *options, folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def can_mount(root: Path) -> bool:
    """Whether this user may mount (in a container, root often may not)."""
    place = root / "may_mount"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True).returncode == 0
    if done:
        subprocess.run(["umount", place], check=True)
    return done


def disk_full(lab: Lab) -> None:
    """The disk fills up in the middle of the run, again a little later, and then has room."""
    folder = lab.root / "full"
    folder.mkdir()
    for _ in mounted(folder, "-t", "tmpfs", "-o", "size=3m", "tmpfs"):
        shutil.copy(HERE / "crash.yaml", folder / "config.yaml")
        for size in ("3m", "8m", "14m"):
            subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)
            clear_lock(folder)
            lab.say(f"disk of {size}: the run ended with {lab.start(folder).wait(PATIENCE_S)}")
        subprocess.run(["mount", "-o", "remount,size=1g", folder], check=True)
        lab.finish(folder)
        lab.compare(folder, "after a full disk")


def read_only_cache(lab: Lab) -> None:
    """The cache of downloads cannot be written: a cold run says so, a warm one does not need to."""
    folder = lab.fresh("readonly")
    cache = folder / "resources/cache"
    cache.mkdir(parents=True)
    for _ in mounted(cache, "-t", "tmpfs", "-o", "size=64m,ro", "tmpfs"):
        if lab.start(folder).wait(PATIENCE_S) == 0:
            raise Failed("a cold run ended well on a cache that cannot be written")
        told = "".join(path.read_text(errors="replace") for path in (folder / "logs").rglob("*.log")) + lab.words(folder)
        if "cannot be written" not in told:
            raise Failed(f"no word of the cache that cannot be written:\n{told[-3000:]}")
        subprocess.run(["mount", "-o", "remount,rw", cache], check=True)
        lab.finish(folder)
        subprocess.run(["mount", "-o", "remount,ro", cache], check=True)
        shutil.rmtree(folder / "results")
        lab.finish(folder)
        lab.compare(folder, "with a read-only cache")


def main() -> int:
    """Everything, `--kills` times the worst of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="crash-") as root:
        lab = Lab(Path(root), random.Random(options.seed), say=lambda line: print(line, flush=True))
        lab.undisturbed()
        for accident in (two_at_once, clock_backwards, forgotten_renames):
            accident(lab)
        if can_mount(lab.root):
            disk_full(lab)
            read_only_cache(lab)
        else:
            print("a full disk and a read-only cache were left out: this user may not mount")
        survive_kills(lab, options.kills)
        print(f"{lab.kills} kills survived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
