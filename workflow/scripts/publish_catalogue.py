"""Publish a catalogue: every format, ReadMe, BibTeX and provenance."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork import tables
from tuningfork.publishing.product import publish
from tuningfork.stamps.store import StampSet

files, spec = snakemake.input, snakemake.params.product
stamps = StampSet(files.stamps)
publish(
    dict(snakemake.output.items()),
    objects=tables.read(files.objects),
    ledger=tables.read(files.ledger),
    predictions=tables.read(files.predictions),
    spec=spec,
    code=snakemake.params.code,
    scalars={"object_id": stamps.object_id, **stamps.scalars},
    weights={spec["model"]: files.weights},
)
