"""Collect the digests of the samples that models join: {sample: {stamps, labels, ledger}}."""

from tuningfork.scripting import start

log = start(snakemake)

from pathlib import Path

from tuningfork.files import read_json, write_json

frozen = {}
for digests, index, ledger in zip(snakemake.input.digests, snakemake.input.index, snakemake.input.ledger, strict=True):
    found = read_json(digests)
    frozen[Path(digests).parent.name] = {
        "stamps": found["stamps"],
        "ledger": found["ledger"],
        "labels": read_json(index)["labels"],
        "statuses": read_json(ledger)["statuses"],
    }
log.info("%s", frozen)
write_json(snakemake.output[0], frozen)
