"""What the rules need to know about the configuration: which files to make, which samples belong together, and each rule's own slice.

Light, like `tuningfork.config`; the Snakefile calls it at every parse. It reads small JSON files that checkpoints wrote, never tables.
"""

import functools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuningfork import fingerprint
from tuningfork.config import Config, CutoutSample, FolderSample, Images, Model, MosaicSample, network_modules, recipe_of
from tuningfork.digests import remembered_sha256
from tuningfork.files import digest_of, read_json

FORMATS = ("csv", "parquet", "fits", "vot")


@dataclass(frozen=True)
class Plan:
    """One training: a model of the configuration, one of its leave-groups-out folds, or another network of its ensemble (`size`: of smaller stamps)."""

    model: Model
    base: str
    fold: int | None = None
    size: int | None = None


def in_order(values: Any) -> Any:
    """The same with every dictionary sorted by its keys: the order in a YAML file means nothing, but Snakemake compares it."""
    if isinstance(values, Mapping):
        return {key: in_order(values[key]) for key in sorted(values)}
    return [in_order(value) for value in values] if isinstance(values, list | tuple) else values


def _as_it_is(path: str | Path) -> Any:
    """A JSON file that a checkpoint wrote, read once for as long as it stays what it is: every job of a sample asks for it."""
    found = os.stat(path)
    return _read_once(str(path), found.st_mtime_ns, found.st_size, found.st_ino)


@functools.lru_cache(maxsize=256)
def _read_once(path: str, *stamp: int) -> Any:
    return read_json(path)


class Workflow:
    """The graph's view of a configuration.

    Parameters
    ----------
    config
        The validated configuration.
    repository
        Folder of the Snakefile (scripts and recipes are found there).
    """

    def __init__(self, config: Config, repository: Path) -> None:
        self.config = config
        self.repository = repository
        self.recipes = repository / "config" / "recipes"
        self.plans: dict[str, Plan] = {}
        for name, model in config.models.items():
            self.plans[name] = Plan(model, name)
            for fold in range(model.folds):
                self.plans[f"{name}.fold{fold}"] = Plan(model, name, fold)
            self.plans |= dict(zip(self.members(name), self._ensemble_of(name), strict=True))
        self.groups = self._components()

    # What is made ------------------------------------------------------------------------------------------------

    def samples(self, kind: str | None = None) -> list[str]:
        """Names of the samples (of one kind)."""
        return [name for name, sample in self.config.samples.items() if kind in (None, sample.kind)]

    def samples_cut(self, *read: str) -> list[str]:
        """Samples of mosaics that are read in one of these ways: whole, ranges, auto."""
        return [name for name in self.samples("mosaic") if self.config.samples[name].images.read in read]  # type: ignore[union-attr]

    def samples_measured(self) -> list[str]:
        """Samples whose Petrosian radii are measured on the image."""
        return [name for name in self.samples("mosaic") if self.config.samples[name].size.source == "image"]  # type: ignore[union-attr]

    def predictions(self) -> list[tuple[str, str]]:
        """Pairs (model, sample) to predict: a model's own sample, those it names, and those of the catalogues."""
        pairs = {(name, model.train): None for name, model in self.config.models.items()}
        pairs |= {(name, sample): None for name, model in self.config.models.items() for sample in model.predict}
        pairs |= {(product.model, product.sample): None for product in self.config.catalogues.values()}
        pairs |= {(name, self.evaluated_on(name)): None for name in self.config.models}
        pairs |= {(other, self.evaluated_on(name)): None for name, model in self.config.models.items() for other in model.compare_to}
        return list(pairs)

    def features(self) -> list[tuple[str, str]]:
        """Pairs (model, sample) whose features are written: of the models that ask for it, and of those that such an adapted one is compared with."""
        pairs = {(name, sample): None for name, sample in self.predictions() if self.config.models[name].features}
        for name, model in self.config.models.items():
            pairs |= {(other, sample): None for sample in self.domains(name) for other in (name, *model.compare_to)}
        return list(pairs)

    def domains(self, name: str) -> list[str]:
        """The two samples of an adapted model that says what its features are; none for other models."""
        model = self.config.models[name]
        return [model.train, model.adapt_to.sample] if model.adapt_to and model.features else []

    def evaluated_on(self, name: str) -> str:
        """The sample on whose test rows a model is judged."""
        model = self.config.models[name]
        return model.evaluate_on or model.train

    def paper_targets(self, name: str) -> list[str]:
        """Everything that one paper makes: its catalogues, the models behind them, and those that these are compared with."""
        products = self.config.papers[name]
        models = {product: None for product in (self.config.catalogues[p].model for p in products)}
        samples = {self.config.catalogues[p].sample: None for p in products}
        waiting = list(models)
        while waiting:
            model = self.config.models[waiting.pop()]
            others = [*model.compare_to, *([model.parent] if model.parent else [])]
            waiting += [other for other in others if other not in models]
            models |= dict.fromkeys(others)
        for model_name in models:
            samples |= dict.fromkeys(self.samples_of(model_name))
        kept = [f"results/catalogues/{product}" for product in products]
        kept += [f"results/models/{model_name}/" for model_name in models] + [f"results/samples/{sample}/" for sample in samples]
        return [target for target in self.targets() if target.startswith(tuple(kept))]

    def targets(self) -> list[str]:
        """Everything that the default run makes."""
        files = [f"results/catalogues/{name}.{suffix}" for name in self.config.catalogues for suffix in FORMATS]
        files += [f"results/catalogues/{name}_wide.csv" for name in self.config.catalogues]
        files += [f"results/models/{name}/metrics.json" for name in self.config.models if self._is_labelled(self.evaluated_on(name))]
        files += [f"results/models/{name}/checks.json" for name, model in self.config.models.items() if model.claims]
        files += [f"results/models/{model}/predictions/{sample}.parquet" for model, sample in self.predictions()]
        files += [f"results/models/{model}/features/{sample}.parquet" for model, sample in self.features()]
        files += [f"results/samples/{name}/figures/stamps.png" for name in self.samples()]
        return files

    def _is_labelled(self, sample: str) -> bool:
        described = self.config.samples[sample]
        return not isinstance(described, FolderSample) or described.labels is not None

    def pattern(self, names: Iterable[str]) -> str:
        """A wildcard constraint for these names; an empty list matches nothing (an empty alternation would match everything)."""
        return "|".join(re.escape(name) for name in names) or "(?!)"

    # Which samples are frozen together ----------------------------------------------------------------------------

    def _components(self) -> dict[str, list[str]]:
        """Connected components of the samples, joined by the models; each is named after its first sample."""
        component = {name: name for name in self.config.samples}

        def root(name: str) -> str:
            while component[name] != name:
                name = component[name]
            return name

        for name in self.config.models:
            first, *others = self.samples_of(name)
            for other in others:
                a, b = sorted((root(first), root(other)))
                component[b] = a
        groups: dict[str, list[str]] = {}
        for name in sorted(self.config.samples):
            groups.setdefault(root(name), []).append(name)
        return groups

    def samples_of(self, name: str) -> list[str]:
        """Samples that a model touches: its own, those it predicts, and those of the model it starts from."""
        model = self.config.models[name]
        found = [sample for predicted, sample in self.predictions() if predicted == name]
        if model.adapt_to:
            found.append(model.adapt_to.sample)
        if model.parent:
            found += self.samples_of(model.parent)
        return list(dict.fromkeys(found))

    def group_of(self, sample: str) -> str:
        """Name of the component that a sample belongs to."""
        return next(name for name, samples in self.groups.items() if sample in samples)

    # Slices of the configuration: what a rule passes as params ------------------------------------------------------

    def sample_slice(self, sample: str, *sections: str) -> dict[str, Any]:
        """The named sections of a sample, as plain JSON."""
        return self.config.samples[sample].model_dump(mode="json", include=set(sections), by_alias=True)

    def catalogue_query(self, sample: str, catalogue: str) -> dict[str, Any]:
        """What is asked of the archive for one catalogue of a sample."""
        cutouts = self.config.samples[sample]
        if isinstance(cutouts, CutoutSample):
            return in_order(cutouts.catalogue.options)
        described = self._mosaic_sample(sample)
        if catalogue == described.catalogue.name:
            query: dict[str, Any] = {"source": described.catalogue.source, "fields": list(described.images.fields)}
            return {**query, "petrosian_factor": described.size.petrosian_factor} if described.size.source == "catalogue" else query
        return {"source": "vizier", "fields": list(described.images.fields)}

    def mosaic_request(self, sample: str, field: str) -> dict[str, Any]:
        """Which mosaics of a field are fetched."""
        described = self._mosaic_sample(sample)
        images = described.images
        return {
            "collection": images.collection,
            "bands": list(images.bands),
            "weights": images.weights,
            "read": images.read,
            "hosts": list(images.hosts),
            "detection": described.size.source == "image",
        }

    def selection(self, sample: str) -> dict[str, Any]:
        """The part of a sample that decides which objects it has, their labels and their split."""
        described = self.config.samples[sample]
        if isinstance(described, FolderSample):
            given = described.split.model_dump(mode="json", include={"by", "column"})  # how else it is split, the shards decide
            return {**self.sample_slice(sample, "kind", "folder", "labels", "task", "targets", "stamp"), "split": given}
        if isinstance(described, CutoutSample):
            return self.sample_slice(sample, "kind", "images", "select", "classes", "label_column", "stamp", "task", "targets")
        bands = {"bands": list(described.images.bands), "fields": list(described.images.fields), "collection": described.images.collection}
        return {**self.sample_slice(sample, "kind", "catalogue", "match", "labels", "select", "size", "stamp", "task", "targets"), **bands}

    def sharding(self, sample: str) -> dict[str, Any]:
        """The part of a sample that decides its shards."""
        errors = ["label_errors"] if self.config.samples[sample].label_errors else []
        return self.sample_slice(sample, "kind", "split", "shards", "stamp", "targets", "task", *errors)

    def evaluation(self, name: str) -> dict[str, Any]:
        """What an evaluation needs to know besides its files."""
        model = self.config.models[name]
        judged = self.evaluated_on(name)
        sample = self.config.samples[judged]
        return {
            "model": name,
            "sample": judged,
            "kind": sample.kind,
            "task": sample.task,
            "targets": list(sample.targets),
            "seed": model.seed,
            "folds": model.folds if judged == model.train else 0,
            "compare_to": list(model.compare_to),
            "parent": model.parent,
            "loss": recipe_of(model, self.recipes)["loss"],
            "vote_model": {"exclusive": "multinomial", "independent": "binomial"}[sample.votes],
            "assumed_votes": sample.assumed_votes,
            **({"label_errors": dict(sample.label_errors)} if sample.label_errors else {}),
            "histories": [name, *self.folds(name), *self.members(name), *model.compare_to],
            "simulated": self.simulated(judged),
            **({"domains": domains} if (domains := self.domains(name)) else {}),
        }

    def publication(self, name: str) -> dict[str, Any]:
        """What a published catalogue needs to know besides its files."""
        product = self.config.catalogues[name]
        sample = self.config.samples[product.sample]
        origins = [] if isinstance(sample, FolderSample) else [sample.catalogue.name]
        if isinstance(sample, MosaicSample) and sample.match:
            origins.append(sample.match.name)
        images = None if isinstance(sample, FolderSample) else sample.images
        collection = images.collection if isinstance(images, Images) else images and (images.layer or images.service)
        return {
            "name": name,
            "title": product.title or f"{name}: {product.model} applied to {product.sample}",
            "model": product.model,
            "sample": product.sample,
            "task": sample.task,
            "targets": list(sample.targets),
            "catalogues": origins,
            "collection": collection,
            "networks": self.networks(product.model, product.sample),
            "simulated": self.simulated(product.sample),
            "configuration": digest_of(self._behind(product.model, product.sample)),
            **self._origin_of_weights(product.model),
        }

    def _origin_of_weights(self, model: str) -> dict[str, Any]:
        """Files of weights from elsewhere behind a model, and the papers that these and its network owe; nothing for most models."""
        files = self.weights_files(model)
        methods = ["convnext"] if self.config.models[model].network.name.removeprefix("timm:").startswith("convnext") else []
        methods += ["zoobot"] if any("zoobot" in file["file"].lower() for file in files.values()) else []
        return {**({"weights_from": files} if files else {}), **({"methods": methods} if methods else {})}

    def _behind(self, model: str, sample: str) -> dict[str, Any]:
        """The part of the configuration that a catalogue rests on: its model, those that this starts from, and their samples.

        What else is done with the models is left out: what they are compared with, what is claimed of them, how and where else they are judged.
        """
        models, waiting = dict[str, Any](), [model]
        samples = {sample: None}
        while waiting:
            name = waiting.pop()
            described = self.config.models[name]
            models[name] = described.model_dump(mode="json", by_alias=True, exclude={"compare_to", "claims", "evaluate_on", "predict"})
            samples |= dict.fromkeys(self.trained_on(name))
            waiting += [described.parent] if described.parent else []
        return {"models": models, "samples": {name: self._sample_behind(name) for name in samples}}

    def _sample_behind(self, name: str) -> dict[str, Any]:
        return self.config.samples[name].model_dump(mode="json", by_alias=True, exclude={"votes", "assumed_votes"})

    def simulated(self, sample: str) -> bool:
        """Whether a sample's pixels come from the simulated sky (pictures of a folder never do)."""
        return self.config.archives.mode == "simulated" and self.config.samples[sample].kind != "folder"

    def _mosaic_sample(self, name: str) -> MosaicSample:
        described = self.config.samples[name]
        assert isinstance(described, MosaicSample), f"rules of mosaics asked for the folder sample {name}"
        return described

    def wire(self, sample: str) -> dict[str, Any]:
        """What decides the archives' answers; a parameter of every rule on the wire, so that simulated and live never mix.

        Who asks (``contact``) decides nothing: the scripts take it from the configuration, and a new address fetches nothing again.
        """
        archives = self.config.archives
        if archives.mode == "simulated":
            return {"mode": archives.mode, "sky": self.sky_key(sample)}
        return {"mode": archives.mode, **({"mirror": str(archives.mirror)} if archives.mirror else {})}

    def skies(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """The simulated skies: kind of sample -> folder and parameters. Mosaics have one, cutouts of the wide surveys another."""
        return self._skies

    @functools.cached_property
    def _skies(self) -> dict[str, tuple[str, dict[str, Any]]]:
        found = {}
        for kind, folder, section in (("mosaic", "sky", self.config.sky), ("cutout", "survey_sky", self.config.survey_sky)):
            parameters = section.model_dump(mode="json")
            found[kind] = (f"resources/{folder}/{digest_of(parameters)[:12]}", parameters)
        return found

    def sky_key(self, sample: str) -> str:
        """Digest of the parameters of a sample's simulated sky."""
        return Path(self.skies()[self.config.samples[sample].kind][0]).name

    def sky_input(self, sample: str) -> list[str]:
        """What a rule on the wire waits for: in simulated mode, the rendered sky of the sample's kind."""
        return [f"{self.skies()[self.config.samples[sample].kind][0]}/sky.json"] if self.config.archives.mode == "simulated" else []

    def local_files(self, sample: str) -> dict[str, str]:
        """Files of the user's own that a cutout sample reads: its table, and its footprint."""
        described = self.config.samples[sample]
        found = {}
        if isinstance(described, CutoutSample):
            if described.catalogue.name == "table" and described.catalogue.options.get("file"):
                found["table"] = str(described.catalogue.options["file"])
            moc = described.images.footprint
            if moc and moc != "auto" and "://" not in moc:
                found["footprint"] = moc
        return found

    def retry_token(self, sample: str, shard: str) -> int:
        """Changes as long as a shard's last fetch left objects behind for a reason that may pass, so that the next run asks for them again."""
        try:
            last = read_json(f"results/samples/{sample}/stamps/{shard}.retry.json")
        except FileNotFoundError:
            return 0
        return int(last["token"]) + (last["failed"] > 0 and self.config.archives.retry_failed)

    def training(self, name: str) -> dict[str, Any]:
        """Everything about a training that changes its weights."""
        plan = self.plans[name]
        sample = self.config.samples[plan.model.train]
        return {
            "sample": plan.model.train,
            "task": sample.task,
            "targets": list(sample.targets),
            "network": in_order(plan.model.network.model_dump(mode="json")),
            "recipe": in_order(recipe_of(plan.model, self.recipes)),
            "seed": plan.model.seed,
            "fold": plan.fold,
            "folds": plan.model.folds if plan.fold is not None else None,
            "split_seed": sample.split.seed,
            "simulated": self.simulated(plan.model.train),
            **({"votes": sample.votes} if recipe_of(plan.model, self.recipes)["loss"] == "dirichlet_multinomial" else {}),
            **({"label_errors": dict(sample.label_errors)} if sample.label_errors else {}),
            **({"adapt_to": plan.model.adapt_to.model_dump(mode="json")} if plan.model.adapt_to else {}),
            **({"handed": True} if sample.handed else {}),
            **({"size": plan.size} if plan.size is not None else {}),
        }

    def trained_on(self, name: str) -> list[str]:
        """The samples whose pixels and labels decide a training: its own, and the one it adapts to."""
        model = self.plans[name].model
        return [model.train, *([model.adapt_to.sample] if model.adapt_to else [])]

    def parent(self, name: str) -> str | None:
        """The model whose weights `name` starts from."""
        return self.plans[name].model.parent

    def start(self, name: str) -> Any:
        """Where the first weights of `name` come from: a model's name, None, or a file from elsewhere with its digest in the place of its time."""
        file = self.plans[name].model.weights_file
        if file is None:
            return self.parent(name)
        return {**file.model_dump(mode="json"), "file": file.file.name, "sha256": remembered_sha256(file.file)}

    def weights_files(self, name: str) -> dict[str, dict[str, Any]]:
        """Files of weights from elsewhere behind a model: the model that starts from one, itself or an ancestor -> file, digest, prefix, first layer."""
        chain = [name]
        while (parent := self.parent(chain[-1])) is not None:
            chain.append(parent)
        return {model: self.start(model) for model in chain if self.plans[model].model.weights_file is not None}

    def folds(self, name: str) -> list[str]:
        """The fold models of a model."""
        return [f"{name}.fold{fold}" for fold in range(self.config.models[name].folds)]

    def members(self, name: str) -> list[str]:
        """The further networks of a model's ensemble: other seeds, sizes, architectures. Each name says all that tells it from the others, so that a new
        one leaves those there are as they are.
        """
        ensemble = self.config.models[name].ensemble
        seeds = [f"{name}.seed{number}" for number in range(1, ensemble.seeds + 1)]
        return [*seeds, *(f"{name}.size{size}" for size in ensemble.sizes), *(f"{name}.network{number}" for number in range(1, len(ensemble.networks) + 1))]

    def _ensemble_of(self, name: str) -> list[Plan]:
        model = self.config.models[name]
        seeds = [Plan(model.model_copy(update={"seed": model.seed + number}), name) for number in range(1, model.ensemble.seeds + 1)]
        sizes = [Plan(model, name, size=size) for size in model.ensemble.sizes]
        return [*seeds, *sizes, *(Plan(model.model_copy(update={"network": network}), name) for network in model.ensemble.networks)]

    def networks(self, name: str, sample: str) -> list[str]:
        """The networks that predict a sample: the model, its ensemble, and on its own sample its folds."""
        return [name, *self.members(name), *(self.folds(name) if self.config.models[name].train == sample else [])]

    def prediction(self, name: str, sample: str) -> dict[str, Any]:
        """What a prediction needs to know besides its files."""
        model = self.config.models[name]
        return {
            "members": len(self.members(name)),
            "sizes": [self.plans[network].size for network in self.networks(name, sample)],
            "shifts_px": model.ensemble.shifts_px,
        }

    def calibration(self, name: str) -> dict[str, Any]:
        """What a calibration needs to know besides its files."""
        model = self.config.models[name]
        sample = self.config.samples[model.train]
        asked = model.calibration.model_dump(mode="json") if model.calibration else {}
        return {"model": name, "sample": model.train, "task": sample.task, "targets": list(sample.targets), **asked}

    def gpu(self) -> dict[str, Any]:
        """Resources of a rule that trains or predicts; on a machine without a GPU it runs on the CPU."""
        compute = self.config.compute
        found: dict[str, Any] = {"gpu": compute.gpu}
        if compute.gpu_model:
            found["gpu_model"] = compute.gpu_model
        if compute.gpu_partition:
            found["slurm_partition"] = compute.gpu_partition
        return found

    def net(self, archive: str) -> dict[str, Any]:
        """Resources of a rule that asks an archive: one of the jobs that may do so at once, and the partition that reaches the internet."""
        partition = self.config.compute.download_partition
        return {f"net_{archive}": 1, **({"slurm_partition": partition} if partition else {})}

    def environment(self) -> dict[str, str]:
        """What a profile's expressions may name: memory and time of one training, from which retries grow."""
        compute = self.config.compute
        return {"TUNINGFORK_TRAINING_MEM_MB": str(compute.training_mem_mb), "TUNINGFORK_TRAINING_MINUTES": str(compute.training_minutes)}

    def downloads_here(self) -> bool:
        """Whether the rules that ask archives run beside snakemake in place of on a cluster's nodes."""
        return self.config.compute.downloads == "head_node"

    # Digests that stand for files -----------------------------------------------------------------------------------

    def code(self, script: str, *modules: str) -> str:
        """Fingerprint of a rule's code; `modules` are loaded by name at run time."""
        extra = list(modules)
        if "tuningfork.wire" in extra and self.config.archives.mode == "simulated":
            extra += ["tuningfork.sky.server"]
        return fingerprint.code_of(self.repository / "workflow" / "scripts" / f"{script}.py", tuple(extra))

    def network_modules(self, *names: str) -> list[str]:
        """Modules of the networks of models, each once."""
        networks = [self.plans[name].model.network.name for name in names]
        return list(dict.fromkeys("tuningfork.networks.timm_backbones" if name.startswith("timm:") else network_modules()[name] for name in networks))

    def folder_listing(self, sample: str) -> str:
        """Digest of names, sizes and times of an image folder: Snakemake cannot watch a folder's contents."""
        described = self.config.samples[sample]
        if not isinstance(described, FolderSample):
            return ""
        rows = []
        for folder, _, names in os.walk(described.folder):
            for name in names:
                stat = os.stat(os.path.join(folder, name))
                rows.append([os.path.join(folder, name), stat.st_size, stat.st_mtime_ns])
        return digest_of(sorted(rows))

    @staticmethod
    def shards(index: str | Path) -> Mapping[str, Mapping[str, Any]]:
        """What `shard_sample` wrote: shard -> digest of its rows, number of rows, fields."""
        return _as_it_is(index)["shards"]

    @staticmethod
    def frozen(path: str | Path, samples: Iterable[str], *what: str) -> dict[str, Any]:
        """Digests of samples that `freeze_group` wrote; `what` picks among stamps, sides, labels, objects and ledger."""
        found = _as_it_is(path)
        return {sample: {key: found[sample][key] for key in what} for sample in samples}
