"""What a training job costs beside its steps: seconds and memory before the first one, and peak memory over the size of the stamp set."""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PLACES = ("resident", "streamed")


def run(code: str) -> dict[str, float]:
    """Processor seconds and peak memory of a fresh interpreter that runs `code` with one thread."""
    own = "import json, resource\nused = resource.getrusage(resource.RUSAGE_SELF)\nprint(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", f"{code}\n{own}"], check=True, capture_output=True, text=True, env=environment, cwd=Path(__file__).parent)
    seconds, memory = json.loads(done.stdout.splitlines()[-1])
    return {"seconds": seconds, "memory": memory}


def script_imports(name: str) -> str:
    """The import statements of a rule's script."""
    text = (REPOSITORY / "workflow/scripts" / name).read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if re.match(r"(from|import) ", line))


def start_up(repeats: int) -> None:
    """Print processor seconds and MB of what comes before the first step; the best of a few processes."""
    first_step = "from synthetic import Job, bare_step\nimport torch\nbare_step(Job('deepshadows', 64, 2, 2), 'fp32', torch.device('cpu'))"
    stages = {
        "an empty interpreter": "",
        "import torch": "import torch",
        "train_model.py: its imports": script_imports("train_model.py"),
        "predict.py: its imports": script_imports("predict.py"),
        "... network and optimiser made": script_imports("train_model.py") + "\n" + first_step,
    }
    print(f"{'one thread':<34} {'cpu s':>7} {'MB':>6}")
    for title, code in stages.items():
        best = min((run(code) for _ in range(repeats)), key=lambda found: found["seconds"])
        print(f"{title:<34} {best['seconds']:7.2f} {best['memory'] / 1e6:6.0f}", flush=True)


def train_once(place: str, count: int, store: Path) -> None:
    """Train one epoch on the first `count` stamps of a store in this process; print the peak of its own memory, without the files it maps."""
    import numpy as np
    import torch
    from bench_predict import own_memory
    from synthetic import CLASSES

    from tuningfork.stamps.store import StampSet
    from tuningfork.training import fit
    from tuningfork.training.loop import train

    stamps = StampSet([store / "a.arrow"])
    objects = {
        "object_id": stamps.object_id[:count],
        "split": np.where(np.arange(count) < 64, "validation", "train"),
        "label": np.array(CLASSES)[np.arange(count) % 2],
    }
    most, plain = [0], fit.Fit._step

    def step(self: fit.Fit, *rest: object) -> torch.Tensor:
        most[0] = max(most[0], own_memory())
        return plain(self, *rest)  # type: ignore[arg-type]

    fit.Fit._step = step  # type: ignore[method-assign]
    recipe = {"loss": "cross_entropy", "batch_size": 256, "epochs": 1, "precision": "fp32", "normalisation": {"name": "unit"}}
    start = time.perf_counter()
    train(
        network={"name": "deepshadows", "options": {"width": 0.05}},
        stamps=stamps,
        objects=objects,
        targets=CLASSES,
        task="classes",
        recipe=recipe,
        seed=1,
        out_dir=store / f"{place}-{count}",
        resume_dir=store / "resume",
        threads=1,
        placement=place,
    )
    print(json.dumps({"most": most[0], "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "seconds": time.perf_counter() - start}))


def memory(counts: tuple[int, ...]) -> None:
    """Print the peak of a training's own memory for sets of several sizes, kept and streamed."""
    import numpy as np
    from synthetic import Job, pictures

    from tuningfork.stamps.store import StampShard, write_shard

    with tempfile.TemporaryDirectory() as folder:
        made = pictures(Job("deepshadows", 64, 64, 0), max(counts))
        write_shard(Path(folder) / "a.arrow", StampShard(made.object_id, np.full(len(made), "ok", dtype="U32"), np.full(len(made), ""), made.pixels, {}))
        print(f"\n{'stamps 3x64x64':>15} {'float32 MB':>11} " + " ".join(f"{f'{place} MB':>12} {'over set':>9}" for place in PLACES))
        # the smallest has several steps already: the allocator keeps what the first ones took
        smallest: dict[str, float] = {}
        for count in counts:
            size, line = count * 3 * 64 * 64 * 4, ""
            for place in PLACES:
                command = [sys.executable, __file__, "--train", place, str(count), folder]
                done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
                most = json.loads(done.stdout)["most"]
                smallest.setdefault(place, most)
                line += f" {most / 1e6:12.0f} {(most - smallest[place]) / size:9.2f}"
            print(f"{count:15,} {size / 1e6:11.0f}{line}", flush=True)
        print("over set: memory beyond that of the smallest set, over the set's size as float32")


def main(arguments: list[str] | None = None) -> None:
    """Print both tables; `--quick` takes a few seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.train:
        train_once(options.train[0], int(options.train[1]), Path(options.train[2]))
        return
    start_up(1 if options.quick else 3)
    memory((2048, 8192) if options.quick else (2048, 8192, 16384))


if __name__ == "__main__":
    main()
