"""A training under way: epochs and steps, early stopping, best weights, and what is saved after every epoch."""

import logging
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from tuningfork.errors import ModelError
from tuningfork.training.arrays import name_some
from tuningfork.training.augmentation import augment
from tuningfork.training.data import TrainingData
from tuningfork.training.device import autocast
from tuningfork.training.losses import make_loss
from tuningfork.training.optimisers import keep_frozen, make_optimizer, set_step
from tuningfork.training.recipe import Recipe
from tuningfork.training.record import HISTORY
from tuningfork.training.resume import ResumeFolder

__all__ = ["Fit", "epoch_order"]

log = logging.getLogger(__name__)


def epoch_order(train_rows: np.ndarray, recipe: Recipe, generator: torch.Generator) -> list[np.ndarray]:
    """Rows of the batches of one epoch.

    A permutation where `draws_per_epoch` is 1 (a last batch of one row is left out: it has no variance to normalise by), else full batches
    drawn with replacement.
    """
    size, count = recipe.batch_size, len(train_rows)
    if recipe.draws_per_epoch == 1:
        order = train_rows[torch.randperm(count, generator=generator).numpy()]
        batches = [order[start : start + size] for start in range(0, count, size)]
        return batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 else batches
    steps = max(1, int(recipe.draws_per_epoch * count / size))
    return list(train_rows[torch.randint(count, (steps, size), generator=generator).numpy()])


@dataclass
class Fit:
    """A training under way: the network and all that changes with it from epoch to epoch."""

    module: nn.Module
    data: TrainingData
    recipe: Recipe
    task: str
    device: torch.device
    precision: str
    seed: int
    resume_folder: ResumeFolder
    history: list[dict[str, float]] = field(default_factory=list)
    best_loss: float = float("inf")
    best_epoch: int = 0

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)
        self.loss = make_loss(self.recipe.loss, self.task)
        self.optimizer = make_optimizer(self.module, self.recipe)
        batches = len(epoch_order(self.data.train, self.recipe, torch.Generator()))
        self.total_steps = batches * self.recipe.epochs

    @property
    def finished(self) -> bool:
        """All epochs are done, or none has been better for too long."""
        epoch, patience = len(self.history), self.recipe.patience
        return epoch >= self.recipe.epochs or (patience > 0 and epoch - self.best_epoch >= patience)

    def resume(self) -> int:
        """Take up a saved state; the number of epochs that it holds, 0 where there is none."""
        state = self.resume_folder.load(self.device)
        if state is None:
            return 0
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"].cpu())
        torch.set_rng_state(state["rng"].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["device_rng"].cpu(), self.device)
        self.best_loss, self.best_epoch = state["best_loss"], state["best_epoch"]
        self.history = [dict(zip(HISTORY, row, strict=True)) for row in state["history"]]
        log.info("going on after epoch %d of %s", len(self.history), self.resume_folder.path)
        return len(self.history)

    def save(self) -> None:
        """Write the state after a whole epoch."""
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "rng": torch.get_rng_state(),
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "history": [[row[name] for name in HISTORY] for row in self.history],
        }
        if self.device.type == "cuda":
            state["device_rng"] = torch.cuda.get_rng_state(self.device)
        self.resume_folder.save(state)

    def run(self) -> None:
        """Train until `finished`."""
        on_terminal = sys.stderr.isatty()
        while not self.finished:
            epoch, start = len(self.history) + 1, time.perf_counter()
            rate, train_loss = self._train_epoch(epoch, on_terminal)
            seconds_training = time.perf_counter() - start
            validation_loss = self.validation_loss()
            if validation_loss < self.best_loss:
                self.best_loss, self.best_epoch = validation_loss, epoch
                self.resume_folder.save_best(self.module, epoch)
            row = (epoch, rate, train_loss, validation_loss, time.perf_counter() - start)
            self.history.append(dict(zip(HISTORY, row, strict=True)))
            self.save()
            log.log(
                logging.DEBUG if on_terminal else logging.INFO,
                "epoch %d of at most %d: training loss %.5f, validation loss %.5f (best %.5f in epoch %d), %.0f img/s, %.1f s",
                *(epoch, self.recipe.epochs, train_loss, validation_loss, self.best_loss, self.best_epoch),
                *(self._images_per_epoch / seconds_training, row[-1]),
            )

    def _train_epoch(self, epoch: int, on_terminal: bool) -> tuple[float, float]:
        """One epoch; the last learning rate and the mean loss."""
        self.module.train()
        keep_frozen(self.module, self.recipe.freeze)
        order = epoch_order(self.data.train, self.recipe, self.generator)
        self._images_per_epoch = sum(map(len, order))
        first = (epoch - 1) * len(order)
        losses = []
        best = f"best {self.best_loss:.4f}" if self.best_epoch else ""
        with tqdm(total=self._images_per_epoch, unit="img", desc=f"epoch {epoch} {best}", disable=not on_terminal, leave=False, file=sys.stderr) as bar:
            for step, (rows, images) in enumerate(zip(order, self.data.images.batches(order), strict=True)):
                rate = set_step(self.optimizer, self.recipe.schedule, first + step, self.total_steps)
                losses.append(self._step(rows, images, epoch))
                if on_terminal and step % 10 == 0:
                    bar.set_postfix_str(f"loss {float(losses[-1]):.4f}")
                bar.update(len(rows))
        values = torch.stack(losses).double().cpu().numpy()
        if not np.isfinite(values).all():
            # on a GPU the losses are looked at once an epoch: a look at every step would wait for the device
            self._diverged(order[int(np.argmin(np.isfinite(values)))], epoch)
        return rate, float(np.average(values, weights=[len(rows) for rows in order]))

    def _step(self, rows: np.ndarray, images: torch.Tensor, epoch: int) -> torch.Tensor:
        images = augment(images, self.recipe.augmentation, self.generator).contiguous(memory_format=torch.channels_last)
        targets = self.data.targets[torch.from_numpy(rows).to(self.device, non_blocking=True)]
        with autocast(self.device, self.precision):
            outputs = self.module(images)
        loss = self.loss(outputs, targets)
        if self.device.type == "cpu" and not torch.isfinite(loss):
            self._diverged(rows, epoch, outputs)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    @torch.inference_mode()
    def validation_loss(self) -> float:
        """The loss over all validation rows at once (a mean over batches would depend on how they are cut)."""
        self.module.eval()
        rows = self.data.validation
        size = max(self.recipe.batch_size, 64)
        order = [rows[start : start + size] for start in range(0, len(rows), size)]
        outputs = []
        for images in self.data.images.batches(order):
            with autocast(self.device, self.precision):
                outputs.append(self.module(images.contiguous(memory_format=torch.channels_last)).float())
        everything = torch.cat(outputs)
        loss = float(self.loss(everything, self.data.targets[torch.from_numpy(rows).to(self.device)]))
        if not np.isfinite(loss):
            self._diverged(rows, len(self.history) + 1, everything)
        return loss

    def _diverged(self, rows: np.ndarray, epoch: int, outputs: torch.Tensor | None = None) -> None:
        ids = self.data.object_id[rows]
        if outputs is not None:
            broken = ~torch.isfinite(outputs.detach().float()).all(dim=1).cpu().numpy()
            ids = ids[broken] if broken.any() else ids
        kept = f"the weights of epoch {self.best_epoch} are in {self.resume_folder.best(self.best_epoch)}" if self.best_epoch else "no epoch had finished"
        raise ModelError(
            f"the loss is not finite in epoch {epoch}, in a batch with {name_some(ids)}: look at these stamps, or lower the learning rate "
            f"({self.recipe.optimizer.learning_rate:g}); {kept}"
        )
