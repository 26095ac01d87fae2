"""A training under way: epochs and steps, early stopping, best weights, and what is saved after every epoch."""

import logging
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from tuningfork.errors import ModelError
from tuningfork.training.adapt import SecondSample
from tuningfork.training.arrays import name_some
from tuningfork.training.augmentation import augment
from tuningfork.training.data import TrainingData
from tuningfork.training.device import autocast
from tuningfork.training.discrepancy import mmd
from tuningfork.training.draws import epoch_order
from tuningfork.training.ema import WeightAverage
from tuningfork.training.freezing import keep_frozen
from tuningfork.training.losses import smoothed
from tuningfork.training.objective import Rows, make_objective
from tuningfork.training.optimisers import make_optimizer
from tuningfork.training.pixels import DeviceStamps
from tuningfork.training.recipe import Recipe
from tuningfork.training.record import HISTORY
from tuningfork.training.resume import ResumeFolder
from tuningfork.training.schedules import set_step, warm_up_steps

__all__ = ["Fit"]

log = logging.getLogger(__name__)
COMPARED = 1024
"""Validation images of either sample that their discrepancy is taken of, at most: it takes memory with the square of them."""


@dataclass
class Fit:
    """A training under way: the network and all that changes with it from epoch to epoch.

    With a `second` sample its features are aligned with the first one's. `source` then is the frozen network that encodes the first sample,
    where the recipe asks for one. Where it asks for a moving average of the weights, that is the network that is validated and kept.
    """

    module: nn.Module
    data: TrainingData
    recipe: Recipe
    task: str
    device: torch.device
    precision: str
    seed: int
    resume_folder: ResumeFolder
    second: SecondSample | None = None
    source: nn.Module | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    best_loss: float = float("inf")
    best_epoch: int = 0

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)
        self.objective = make_objective(self.recipe, self.task, self.module, features=self.second is not None)
        self.columns = (*HISTORY, *self.objective.columns, *(("discrepancy",) if self.second else ()))
        self.optimizer = make_optimizer(self.module, self.recipe)
        batches = len(epoch_order(self.data.train, self.recipe, torch.Generator()))
        self.total_steps = batches * self.recipe.epochs
        self.warm_up = warm_up_steps(self.recipe.warm_up_epochs, batches)
        # after the objective, whose hooks the average must have too
        self.average = WeightAverage(self.module, self.recipe.ema) if self.recipe.ema else None

    @property
    def judged(self) -> nn.Module:
        """The network that is validated, chosen and saved: the average of the weights, or the one that learns."""
        return self.module if self.average is None else self.average.module

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
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"].cpu())
        torch.set_rng_state(state["rng"].cpu())
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["device_rng"].cpu(), self.device)
        self.best_loss, self.best_epoch = state["best_loss"], state["best_epoch"]
        self.history = [dict(zip(self.columns, row, strict=True)) for row in state["history"]]
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
            "history": [[row[name] for name in self.columns] for row in self.history],
        }
        if self.average is not None:
            state["average"] = self.average.state_dict()
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
            validation_loss, parts = self.validate()
            if validation_loss < self.best_loss or self.recipe.keep == "last":
                self.best_loss, self.best_epoch = validation_loss, epoch
                self.resume_folder.save_best(self.judged, epoch)
            seconds = time.perf_counter() - start
            row = dict(zip(HISTORY, (epoch, rate, train_loss, validation_loss, seconds), strict=True)) | parts
            self.history.append({name: row[name] for name in self.columns})
            self.save()
            log.log(
                logging.DEBUG if on_terminal else logging.INFO,
                "epoch %d of at most %d: training loss %.5f, validation loss %.5f%s (best %.5f in epoch %d), %.0f img/s, %.1f s",
                *(epoch, self.recipe.epochs, train_loss, validation_loss),
                *("".join(f", {name} {value:.5g}" for name, value in parts.items()), self.best_loss, self.best_epoch),
                *(self._images_per_epoch / seconds_training, seconds),
            )

    def _train_epoch(self, epoch: int, on_terminal: bool) -> tuple[float, float]:
        """One epoch; the last learning rate and the mean loss."""
        self.module.train()
        keep_frozen(self.module, self.recipe.freeze)
        order = epoch_order(self.data.train, self.recipe, self.generator)
        beside = None if self.second is None else self.second.beside(order, self.generator)
        self._images_per_epoch = sum(map(len, order)) + sum(map(len, beside or []))
        first = (epoch - 1) * len(order)
        losses = []
        best = f"best {self.best_loss:.4f}" if self.best_epoch else ""
        others: Iterable[torch.Tensor | None] = [None] * len(order) if self.second is None or beside is None else self.second.images.batches(beside)
        with tqdm(total=self._images_per_epoch, unit="img", desc=f"epoch {epoch} {best}", disable=not on_terminal, leave=False, file=sys.stderr) as bar:
            for step, (rows, images, other) in enumerate(zip(order, self.data.images.batches(order), others, strict=True)):
                rate = set_step(self.optimizer, self.recipe.schedule, first + step, self.total_steps, self.warm_up)
                losses.append(self._step(rows, images, other, epoch))
                if on_terminal and step % 10 == 0:
                    bar.set_postfix_str(f"loss {float(losses[-1]):.4f}")
                bar.update(len(rows) + (0 if other is None else len(other)))
        values = torch.stack(losses).double().cpu().numpy()
        if not np.isfinite(values).all():
            # on a GPU the losses are looked at once an epoch: a look at every step would wait for the device
            self._diverged(order[int(np.argmin(np.isfinite(values)))], epoch)
        return rate, float(np.average(values, weights=[len(rows) for rows in order]))

    def _step(self, rows: np.ndarray, images: torch.Tensor, other: torch.Tensor | None, epoch: int) -> torch.Tensor:
        images = augment(images, self.recipe.augmentation, self.generator)
        if other is not None:
            other = augment(other, self.recipe.augmentation, self.generator)
        targets = smoothed(self.data.targets[torch.from_numpy(rows).to(self.device, non_blocking=True)], self.recipe.label_smoothing)
        first, second = self._call(images, other)
        loss = self._total(first, second, targets, epoch)[0]
        if self.device.type == "cpu" and not torch.isfinite(loss):
            self._diverged(rows, epoch, first.values)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        return loss.detach()

    def _call(self, images: torch.Tensor, other: torch.Tensor | None) -> tuple[Rows, Rows | None]:
        """Both samples through the network, at once: batch normalisation sees them as one batch."""
        count = len(images)
        if other is None:
            with autocast(self.device, self.precision):
                return self.objective.rows(self.module, images.contiguous(memory_format=torch.channels_last)), None
        if self.source is not None:
            with autocast(self.device, self.precision), torch.no_grad():
                first = self.objective.rows(self.source, images.contiguous(memory_format=torch.channels_last))
            with autocast(self.device, self.precision):
                return first, self.objective.rows(self.module, other.contiguous(memory_format=torch.channels_last))
        both = torch.cat([images, other]).contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.precision):
            values, features = self.objective.rows(self.module, both)
        return Rows(values[:count], None if features is None else features[:count]), Rows(values[count:], None if features is None else features[count:])

    def _total(self, first: Rows, second: Rows | None, targets: torch.Tensor, epoch: int | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The loss, and the discrepancy that it has in it."""
        loss = self.objective.loss(first.values, targets, epoch)
        if second is None or self.second is None:
            return loss, None
        if self.recipe.unsupervised:
            loss = (loss + self.objective.loss(second.values, None, epoch)) / 2
        assert first.features is not None and second.features is not None
        discrepancy = mmd(first.features, second.features, unbiased=self.recipe.alignment.estimator == "unbiased")
        return loss + self.second.weight * discrepancy, discrepancy

    @torch.inference_mode()
    def validate(self) -> tuple[float, dict[str, float]]:
        """The loss over all validation rows at once (a mean over batches would depend on how they are cut), and its parts."""
        first = self._rows_of(self.source or self.judged, self.data.images, self.data.validation)
        second = None if self.second is None else self._rows_of(self.judged, self.second.images, self.second.validation)
        targets = self.data.targets[torch.from_numpy(self.data.validation).to(self.device)]
        total, discrepancy = self._total(_thinned(first), None if second is None else _thinned(second), targets, None)
        loss = float(total)
        if not np.isfinite(loss):
            self._diverged(self.data.validation, len(self.history) + 1, first.values)
        values = first.values if second is None else torch.cat([first.values, second.values])
        return loss, self.objective.parts(values) | ({} if discrepancy is None else {"discrepancy": float(discrepancy)})

    @torch.inference_mode()
    def active_units(self) -> int:
        """Latents of an autoencoder that carry something: variance of their mean over the validation images above 0.01 (Burda et al. 2016).

        The images are those that the network learned from: with a frozen source, the second sample's.
        """
        seen = self.data if self.source is None or self.second is None else self.second
        features = self._rows_of(self.module, seen.images, seen.validation).features
        assert features is not None
        return int((features.double().var(dim=0, correction=0) > 0.01).sum())

    def _rows_of(self, module: nn.Module, images: DeviceStamps, rows: np.ndarray) -> Rows:
        """Values and features of these rows in evaluation mode; draws of latents are the same at every call."""
        module.eval()
        noise = torch.Generator(device=self.device).manual_seed(self.seed)
        size = max(self.recipe.batch_size, 64)
        found = []
        for batch in images.batches([rows[start : start + size] for start in range(0, len(rows), size)]):
            with autocast(self.device, self.precision):
                found.append(self.objective.rows(module, batch.contiguous(memory_format=torch.channels_last), noise))
        features = None if found[0].features is None else torch.cat([part.features for part in found if part.features is not None])
        return Rows(torch.cat([part.values for part in found]), features)

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


def _thinned(rows: Rows) -> Rows:
    """The same values, and the features of at most `COMPARED` rows, evenly spread."""
    if rows.features is None or len(rows.features) <= COMPARED:
        return rows
    return Rows(rows.values, rows.features[torch.linspace(0, len(rows.features) - 1, COMPARED).round().long().to(rows.features.device)])
