"""Predict every object of a sample: the mean over an ensemble; rows that it was trained on get out-of-fold predictions where there are folds."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork.gpu_lease import hold_gpus

hold_gpus(snakemake.resources.get("gpu", 0))

from pathlib import Path

import numpy as np

from tuningfork import tables
from tuningfork.inference.compose import compose, held_out_of, learned_rows, prediction_table
from tuningfork.inference.load import load_model
from tuningfork.inference.partial import forget
from tuningfork.inference.predict import predict
from tuningfork.samples.folds import fold_split
from tuningfork.stamps.resized import resized
from tuningfork.stamps.store import StampSet

files, split_seed, spec = snakemake.input, snakemake.params.split_seed, snakemake.params.prediction
objects, stamps = tables.read_columns(files.objects), StampSet(files.stamps)
ids, galaxies = objects["object_id"], objects.get("galaxy_id")
model = load_model(Path(files.weights[0]).parent)
own = snakemake.params.trained_on == snakemake.wildcards.sample
split = objects["split"] if own else np.full(len(ids), "unlabelled")
adapted = model.info["training"].get("adapt_to") or {}
beside = adapted.get("sample") == snakemake.wildcards.sample
# a network that learns without labels, and the second sample of an adaptation, have learned from unlabelled rows too
learned = learned_rows(objects, unlabelled=beside or model.unsupervised) if own or beside else None
resume = Path("resume/predictions") / f"{snakemake.wildcards.model}.{snakemake.wildcards.sample}"
kept = {"resume_dir": resume, "resume_key": [snakemake.params.code, snakemake.params.frozen]}
options = {"threads": snakemake.threads, "galaxy_id": galaxies, "shifts_px": spec["shifts_px"], **kept}
networks = zip(files.weights, spec["sizes"], strict=True)
main, *others = [predict(load_model(Path(path).parent), resized(stamps, size), ids, **options) for path, size in networks]
members, folds = others[: spec["members"]], others[spec["members"] :]
held_out = [held_out_of(ids, {"object_id": ids, "split": fold_split(objects, number, len(folds), split_seed)}) for number in range(len(folds))]
columns = compose(main, model.targets, split, folds, np.stack(held_out, axis=1) if folds else None, learned, members)
meta = {"model": snakemake.wildcards.model, "sample": snakemake.wildcards.sample, "networks": 1 + len(others)}
tables.write(prediction_table(columns, model.targets, model.task, meta), snakemake.output[0])
forget(resume)
