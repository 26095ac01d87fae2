"""The features that a network sees in every stamp of a sample."""

from tuningfork.scripting import start

log = start(snakemake)

from pathlib import Path

from tuningfork import tables
from tuningfork.inference.features import extract_features, feature_table
from tuningfork.inference.load import load_model
from tuningfork.stamps.store import StampSet

files, names = snakemake.input, snakemake.wildcards
model = load_model(Path(files.weights).parent)
ids = tables.read_columns(files.objects, ["object_id"])["object_id"]
found = extract_features(model, StampSet(files.stamps), ids, threads=snakemake.threads)
tables.write(feature_table(found, {"model": names.model, "sample": names.sample}), snakemake.output[0])
