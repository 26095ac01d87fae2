"""Several processes as one training: who they are, which rows each takes, and what they tell one another.

Every process draws the same batches from the same generator and takes its part of each. What the network gives for the parts is brought together
before the loss is taken, so that a loss or a discrepancy over a batch sees the whole batch in every process, whatever its form; each process
sends back the gradient of its own rows, and `torch.nn.parallel.DistributedDataParallel` adds them up. The result is that of one process up to
rounding, but for dropout and the draws of latents, which each process has of its own. Every process holds the stamps itself.
"""

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from tuningfork.errors import ModelError
from tuningfork.training.draws import part_of

__all__ = ["RENDEZVOUS", "Group", "SharedBatchNorm", "find_group", "visible_processes"]

RENDEZVOUS = "TUNINGFORK_RENDEZVOUS"
"""Environment variable of the processes that `tuningfork.training.launch` starts: where they find one another."""
PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True)
class Group:
    """This process's place among `size` that train together; of one process, every method gives back what it is given."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and logs."""
        return self.rank == 0

    @contextlib.contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Meet the others, by gloo between CPUs and NCCL between GPUs, and take this process's GPU for as long as the context lasts.

        Those who have met stay together until the process ends: to part in good order all would have to be well, and torch's gloo was seen to hang
        or to break where a group is given up that a wrapped module still knows.
        """
        with torch.cuda.device(device) if self.size > 1 and device.type == "cuda" else contextlib.nullcontext():
            if self.size > 1 and not distributed.is_initialized():
                backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
                init = os.environ.get(RENDEZVOUS, "env://")
                distributed.init_process_group(backend, init_method=init, rank=self.rank, world_size=self.size, timeout=PATIENCE)
            yield

    def part(self, count: int) -> slice:
        """Which of `count` rows are this process's."""
        return part_of(count, self.rank, self.size)

    def mine(self, batches: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """This process's part of each batch; a short last batch may have none."""
        return batches if self.size == 1 else [rows[self.part(len(rows))] for rows in batches]

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module as it is to be called in training: its gradients then are means over all processes."""
        if self.size == 1:
            return module
        device = next(module.parameters()).device
        with warnings.catch_warnings():
            # newer versions of torch call this argument by another name, older ones do not know that
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(module, [device] if device.type == "cuda" else None, broadcast_buffers=False, gradient_as_bucket_view=True)

    def synchronised(self, module: nn.Module) -> nn.Module:
        """The module with batch normalisation over the whole batch instead of a process's part; names of tensors stay."""
        if self.size == 1:
            return module
        if next(module.parameters()).device.type == "cuda":
            return nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return _with_shared_norms(module)

    def whole(self, own: Tensor, count: int) -> Tensor:
        """Rows (count, ...) of the whole batch from each process's own; a gradient goes back through the own rows alone."""
        if self.size == 1:
            return own
        parts = [part_of(count, rank, self.size) for rank in range(self.size)]
        longest = max(part.stop - part.start for part in parts)
        padded = own.new_zeros((longest, *own.shape[1:]))
        padded[: len(own)] = own.detach()
        found = [torch.empty_like(padded) for _ in parts]
        distributed.all_gather(found, padded.contiguous())
        rows = [other[: part.stop - part.start] for other, part in zip(found, parts, strict=True)]
        rows[self.rank] = own
        return torch.cat(rows)

    def once(self, parameters: Iterable[nn.Parameter]) -> None:
        """Gradients that every process has of the whole batch, `size` times as large as they should be: as they should be, and alike to the last bit."""
        for parameter in parameters if self.size > 1 else ():
            if parameter.grad is not None:
                distributed.all_reduce(parameter.grad)
                parameter.grad /= self.size**2

    def most(self, value: int) -> int:
        """The largest of all processes' values; on the CPU, so that no GPU is waited for."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value)
        distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
        return int(tensor)

    def agreed(self, numbers: Sequence[float]) -> list[float]:
        """The first process's numbers: what is decided by them is decided alike everywhere."""
        if self.size == 1:
            return list(numbers)
        tensor = torch.tensor(numbers, dtype=torch.float64)
        distributed.broadcast(tensor, 0)
        return tensor.tolist()

    def collected(self, state: Tensor) -> Tensor:
        """Every process's state of a generator, (size, n) uint8."""
        state = state.cpu()
        if self.size == 1:
            return state[None]
        found = [torch.empty_like(state) for _ in range(self.size)]
        distributed.all_gather(found, state)
        return torch.stack(found)

    def wait(self) -> None:
        """Until all have come so far."""
        self.most(0)


def find_group() -> Group:
    """The group that this process was started into (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, as torchrun sets them), or that of one process.

    Raises
    ------
    ModelError
        The variables do not belong together.
    """
    if distributed.is_available() and distributed.is_initialized():
        return Group(distributed.get_rank(), distributed.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return Group()
    try:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        group = Group(rank, size, int(os.environ.get("LOCAL_RANK", rank)))
    except ValueError:
        group = Group(-1)
    if not 0 <= group.rank < group.size:
        raise ModelError(f"RANK={os.environ['RANK']} and WORLD_SIZE={os.environ['WORLD_SIZE']} do not name a process; start with torchrun, or unset them")
    return group


def visible_processes(gpus: int) -> int:
    """How many processes train together where `gpus` are asked for: one for each that is there, one where there is none."""
    return max(1, min(gpus, torch.cuda.device_count()))


class _Sum(torch.autograd.Function):
    """Sum of a tensor over all processes; the gradient is summed as well, because each process has its own rows' share of it."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        distributed.all_reduce(tensor)
        return tensor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].clone()
        distributed.all_reduce(gradient)
        return gradient


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation by the mean and variance of all processes' rows, on the CPU, where torch's own `SyncBatchNorm` refuses."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """Any number of dimensions."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """(n, C, ...) to the same shape."""
        if not self.training:
            return super().forward(input)
        axes = [0, *range(2, input.ndim)]
        shape = [1, -1] + [1] * (input.ndim - 2)
        values = input if input.dtype == torch.float64 else input.float()
        count = _Sum.apply(values.new_tensor([values.numel() / values.shape[1]]))
        mean = _Sum.apply(values.sum(axes)) / count
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(axes)) / count
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                factor = float(1 / self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, factor)
                self.running_var.lerp_(variance * count / (count - 1), factor)
        result = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            result = result * self.weight.view(shape) + self.bias.view(shape)
        return result.to(input.dtype)


def _with_shared_norms(module: nn.Module) -> nn.Module:
    if isinstance(module, _BatchNorm):
        shared = SharedBatchNorm(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
        # the same tensors, and hooks would be lost: none is set this early
        shared._parameters, shared._buffers, shared.training = module._parameters, module._buffers, module.training
        return shared
    for name, child in list(module.named_children()):
        setattr(module, name, _with_shared_norms(child))
    return module
