"""Train one network: from scratch, from another model's weights, adapted to a second sample, or as a leave-out fold."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork.gpu_lease import hold_gpus

hold_gpus(snakemake.resources.get("gpu", 0))

from pathlib import Path

from tuningfork.files import digest_of
from tuningfork.samples.build import fold_split, refuse_leak
from tuningfork.stamps.store import StampSet
from tuningfork.tables import read_columns
from tuningfork.training.loop import train

training, files = snakemake.params.training, snakemake.input
objects = read_columns(files.objects)
if training["fold"] is not None:
    objects["split"] = fold_split(objects, training["fold"], training["folds"], training["split_seed"])
name = snakemake.wildcards.model
parent = files.get("parent")
if parent:
    refuse_leak(read_columns(files.parent_objects), objects)
adapt_to = training.get("adapt_to")
params = {key: snakemake.params[key] for key in ("code", "training", "parent", "frozen")}
train(
    network=training["network"],
    stamps=StampSet(files.stamps),
    objects=objects,
    targets=training["targets"],
    task=training["task"],
    recipe=training["recipe"],
    seed=training["seed"],
    out_dir=Path(snakemake.output.weights).parent,
    resume_dir=Path("resume") / name / digest_of(params)[:16],
    parent_weights=parent,
    threads=snakemake.threads,
    code=snakemake.params.code,
    name=name,
    data={sample: digests["stamps"] for sample, digests in snakemake.params.frozen.items()},
    simulated=training["simulated"],
    memory_mb=snakemake.resources.mem_mb,
    adapt_to=adapt_to,
    adapt_stamps=StampSet(files.adapt_stamps) if adapt_to else None,
    adapt_objects=read_columns(files.adapt_objects) if adapt_to else None,
)
