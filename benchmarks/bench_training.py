"""Training images per second on the CPU through our loop, against the plain way and against the same step on a tensor that is already in memory."""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from plain_loader import plain_epoch
from synthetic import Job, bare_step, by_turns, make_fit

from tuningfork.training.augmentation import augment
from tuningfork.training.device import choose_precision, session

CPU = torch.device("cpu")


def compare(job: Job, precision: str, threads: int, repeats: int) -> dict[str, float]:
    """Images/s of each way over an epoch of the same images; of `augmentation` alone, of one batch."""
    with tempfile.TemporaryDirectory() as folder:
        fit = make_fit(job, precision, CPU, Path(folder))
        bare, plain = bare_step(job, precision, CPU), plain_epoch(Path(folder), job, CPU, threads)
        steps = job.images // job.batch
        batch = torch.rand(job.batch, job.channels, job.side, job.side)

        def other(run: Callable[[], object]) -> Callable[[], None]:
            def without_ours() -> None:
                # our deterministic algorithms are part of what is compared
                torch.use_deterministic_algorithms(False)
                run()
                torch.set_deterministic_debug_mode("error")

            return without_ours

        runs: dict[str, Callable[[], object]] = {
            "ours": lambda: fit._train_epoch(1, False),
            "step": other(lambda: [bare() for _ in range(steps)]),
            "plain": other(plain),
        }
        rates = {name: steps * job.batch / seconds for name, seconds in by_turns(runs, CPU, repeats).items()}
        alone = by_turns({"augmentation": lambda: augment(batch, fit.recipe.augmentation, fit.generator)}, CPU, 10)
    return rates | {"augmentation": job.batch / alone["augmentation"]}


def main(arguments: list[str] | None = None) -> None:
    """Print one line for each network and precision; `--quick` takes a few seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args(arguments)
    few = 2 if options.quick else 1
    jobs = Job("deepshadows", 64, 64, 512 // few), Job("resnet18", 128, 32, 96 // few)
    precisions = ["fp32"] + (["bf16"] if choose_precision("auto", CPU) == "bf16" else [])
    print(f"training on the CPU, {options.threads} thread(s), rotated, flipped, shifted; plain: DataLoader with {options.threads} worker(s), a file an image")
    print(
        f"{'network':<18} {'precision':>9} {'ours img/s':>11} {'plain img/s':>12} {'ours/plain':>11} {'step img/s':>11} {'ours/step':>10} {'augm. img/s':>11}"
    )
    with session(CPU, options.threads):
        for job in jobs:
            for precision in precisions:
                rate = compare(job, precision, options.threads, 1 if options.quick else 3)
                ratios = f"{rate['plain']:12.0f} {rate['ours'] / rate['plain']:10.1f}x {rate['step']:11.0f} {rate['ours'] / rate['step']:10.1%}"
                print(f"{job.title:<18} {precision:>9} {rate['ours']:11.0f} {ratios} {rate['augmentation']:12.0f}", flush=True)


if __name__ == "__main__":
    main()
