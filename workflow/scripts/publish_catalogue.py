"""Publish a catalogue: every format, ReadMe, BibTeX and provenance."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork import tables
from tuningfork.analysis.calibration import calibrated_table
from tuningfork.files import read_json
from tuningfork.publishing.product import publish
from tuningfork.stamps.store import StampSet

files, spec = snakemake.input, snakemake.params.product
stamps, predictions = StampSet(files.stamps), tables.read(files.predictions)
calibration = read_json(files.calibration) if files.get("calibration") else None
publish(
    dict(snakemake.output.items()),
    objects=tables.read(files.objects),
    ledger=tables.read(files.ledger),
    predictions=calibrated_table(predictions, calibration) if calibration else predictions,
    spec=spec,
    code=snakemake.params.code,
    scalars={"object_id": stamps.object_id, **stamps.scalars},
    weights=dict(zip(spec["networks"], files.weights, strict=True)),
    calibration=calibration,
)
