"""Training on a GPU: our loop against the same step on resident synthetic data, the FLOP/s it reaches, and ResNet-50 at 224 px. Needs a CUDA device."""

import argparse
import tempfile
from pathlib import Path

import torch
from synthetic import Job, bare_step, by_turns, make_fit
from torch.utils.flop_counter import FlopCounterMode

from tuningfork.networks import registry
from tuningfork.training.device import choose_precision, session

A100_RESNET50 = 2470
"""Images/s of a training of ResNet-50 at 224 px in mixed precision on one A100, as published by its maker."""
JOBS = (
    Job("deepshadows", 64, 256, 256 * 64),
    Job("deep-clash", 80, 256, 256 * 32, channels=1),
    Job("resnet18", 128, 256, 256 * 16),
    Job("resnet50", 224, 256, 256 * 8),
)


def flops_of(job: Job) -> float:
    """Floating-point operations of a forward and a backward pass of one image, counted at the matrix products and convolutions (a multiply-add is two)."""
    module = registry.build(job.network, in_channels=job.channels, n_outputs=2, image_size=job.side, seed=0).train()
    images = torch.rand(2, job.channels, job.side, job.side)
    with FlopCounterMode(display=False) as counter:
        module(images).sum().backward()
    return counter.get_total_flops() / len(images)


def measure(job: Job, precision: str, device: torch.device, repeats: int, compiled: bool) -> dict[str, float]:
    """Images/s of our loop, with the stamps on the device and streamed, and of the bare step; plain, and compiled into CUDA graphs where asked for."""
    steps = job.images // job.batch
    with tempfile.TemporaryDirectory() as folder:
        fits = {name: make_fit(job, precision, device, Path(folder), placement=name) for name in ("resident", "streamed")}
        steppers = {"step": bare_step(job, precision, device)} | ({"compiled": bare_step(job, precision, device, True)} if compiled else {})
        runs = {name: (lambda fit=fit: fit._train_epoch(1, False)) for name, fit in fits.items()}
        runs |= {name: (lambda step=step: [step() for _ in range(steps)]) for name, step in steppers.items()}
        return {name: steps * job.batch / seconds for name, seconds in by_turns(runs, device, repeats).items()}


def main(arguments: list[str] | None = None) -> None:
    """Print one line for each network; says so, and ends well, where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peak-tflops", type=float, help="dense bf16 TFLOP/s that the chip's maker states (A100: 312, H100 and H200 SXM: 989)")
    parser.add_argument("--compile", action="store_true", help="also the bare step under torch.compile with CUDA graphs: worth it where launches are the limit")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("no CUDA device on this machine: nothing of the GPU was measured")
        return
    device = torch.device("cuda")
    precision = choose_precision("auto", device)
    print(f"training on {torch.cuda.get_device_name(device)}, {precision}, rotated, flipped and shifted; {options.peak_tflops or '?'} TFLOP/s stated")
    further = f"{'compiled':>10}" if options.compile else ""
    print(f"{'network':<18} {'ours img/s':>11} {'streamed':>10} {'step img/s':>11} {'ours/step':>10} {'TFLOP/s':>9} {'of stated':>10} {further}")
    with session(device):
        for job in JOBS:
            rate = measure(job, precision, device, 1 if options.quick else 3, options.compile)
            reached = rate["resident"] * flops_of(job) / 1e12
            share = f"{reached / options.peak_tflops:10.1%}" if options.peak_tflops else f"{'?':>10}"
            ratios = f"{rate['resident']:11.0f} {rate['streamed']:10.0f} {rate['step']:11.0f} {rate['resident'] / rate['step']:10.1%} {reached:9.1f} {share}"
            print(f"{job.title:<18} {ratios} {rate['compiled'] if options.compile else '':>10}", flush=True)
            if job.network == "resnet50":
                print(f"{'':<18} ResNet-50 at 224 px: {rate['resident']:.0f} img/s here; {A100_RESNET50} on one A100 as published")


if __name__ == "__main__":
    main()
