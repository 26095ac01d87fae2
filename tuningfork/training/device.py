"""Where and how precisely a network runs: the device, bf16 or fp32, threads, and a session that leaves torch's globals as it found them."""

import contextlib
import logging
import platform
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from tuningfork.errors import ModelError

__all__ = ["autocast", "choose_device", "choose_precision", "describe_machine", "describe_run", "session"]

log = logging.getLogger(__name__)


def choose_device(device: str | torch.device | None = None, number: int | None = None) -> torch.device:
    """The device asked for, else a CUDA GPU where there is one, else the CPU; `ModelError` where the one asked for is absent.

    `number` is that of a process among those of a machine that train together: each has the GPU of its number.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        if chosen.type == "cuda" and chosen.index is None and number is not None:
            chosen = torch.device("cuda", number)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {str(device)!r} is not there ({str(error).splitlines()[0]}); leave it out to take what this machine has") from error
    return chosen


def choose_precision(asked: str, device: torch.device) -> str:
    """``fp32`` or ``bf16``; ``auto`` is bf16 where the hardware multiplies in it (GPU, or a CPU with AVX512-BF16 or AMX), else fp32.

    The answer belongs to the machine, so it is recorded with the model: weights are the same bit for bit on the same kind of machine only.
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"
    return "fp32"


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """The context in which a network is called."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def describe_run(device: torch.device, precision: str, processes: int, resident: bool) -> str:
    """Device, precision, threads, processes and the place of the stamps, for the log of a training."""
    about = describe_machine(device)
    each = " each" if processes > 1 else ""
    place = "in its memory" if resident else "read from disk batch by batch"
    return f"{device} ({about['hardware']}), {precision}, {about['threads']} thread(s){each}, {processes} process(es); the stamps are {place}"


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Versions and hardware that the last bits of a result depend on."""
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": device.type,
        "hardware": hardware,
        "threads": torch.get_num_threads(),
    }


@contextlib.contextmanager
def session(device: torch.device, threads: int | None = None, seed: int | None = None) -> Iterator[None]:
    """Set threads, deterministic algorithms (on the CPU) and torch's own generator (dropout), and put all of them back at the end."""
    memory: Any = torch.utils.deterministic
    before = torch.get_num_threads()
    deterministic = torch.get_deterministic_debug_mode()
    benchmark, fill = torch.backends.cudnn.benchmark, memory.fill_uninitialized_memory
    try:
        if threads:
            torch.set_num_threads(threads)
        # the same as use_deterministic_algorithms, which imports torch's compiler for its own settings: 1.6 s and 70 MB of every job
        torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "default")
        # filling new memory with NaN is a debugging aid of the deterministic mode that costs time at every operation
        memory.fill_uninitialized_memory = False
        torch.backends.cudnn.benchmark = device.type == "cuda"
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            if seed is not None:
                torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)
        torch.set_deterministic_debug_mode(deterministic)
        torch.backends.cudnn.benchmark, memory.fill_uninitialized_memory = benchmark, fill
