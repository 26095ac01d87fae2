"""Train one network: from scratch, from another model's weights, adapted to a second sample, or as a leave-out fold."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork.gpu_lease import hold_gpus

hold_gpus(snakemake.resources.get("gpu", 0))

from pathlib import Path

from tuningfork.files import digest_of
from tuningfork.samples.folds import fold_split
from tuningfork.stamps.resized import resized
from tuningfork.stamps.store import StampSet
from tuningfork.tables import read_columns
from tuningfork.training.distributed import visible_processes
from tuningfork.training.loop import train

training, files = snakemake.params.training, snakemake.input
objects = read_columns(files.objects)
if training["fold"] is not None:
    objects["split"] = fold_split(objects, training["fold"], training["folds"], training["split_seed"])
name = snakemake.wildcards.model
start_from = snakemake.params.parent
if isinstance(start_from, str):
    from tuningfork.samples.leaks import refuse_leak  # a tree of positions, for those trainings that need one

    refuse_leak(read_columns(files.parent_objects), objects)
elif start_from:
    log.warning("what the network of %s was trained on is not known here: objects of this test set may be among it", files.parent)
adapt_to, size = training.get("adapt_to"), training.get("size")
params = {key: snakemake.params[key] for key in ("code", "training", "parent", "frozen")}
train(
    network=training["network"],
    stamps=resized(StampSet(files.stamps), size),
    objects=objects,
    targets=training["targets"],
    task=training["task"],
    recipe=training["recipe"],
    seed=training["seed"],
    out_dir=Path(snakemake.output.weights).parent,
    resume_dir=Path("resume") / name / digest_of(params)[:16],
    parent_weights=files.get("parent"),
    parent_file=start_from if isinstance(start_from, dict) else None,
    threads=snakemake.threads,
    code=snakemake.params.code,
    name=name,
    data={sample: digests["stamps"] for sample, digests in snakemake.params.frozen.items()},
    simulated=training["simulated"],
    memory_mb=snakemake.resources.mem_mb,
    votes=training.get("votes", "exclusive"),
    label_errors=training.get("label_errors"),
    placement=snakemake.resources.stamps,
    adapt_to=adapt_to,
    adapt_stamps=resized(StampSet(files.adapt_stamps), size) if adapt_to else None,
    adapt_objects=read_columns(files.adapt_objects) if adapt_to else None,
    processes=visible_processes(snakemake.resources.get("gpu", 1)),
    save_minutes=snakemake.config.get("compute", {}).get("save_minutes", 10.0),
    handed=training.get("handed", False),
)
