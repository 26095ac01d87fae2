"""Collect the digests of the samples that models join: {sample: {stamps, sides, labels, objects, ledger}}."""

from tuningfork.scripting import start

log = start(snakemake)

from pathlib import Path

from tuningfork.files import read_json, write_json

frozen = {}
for digests, index, ledger in zip(snakemake.input.digests, snakemake.input.index, snakemake.input.ledger, strict=True):
    found, rows = read_json(digests), read_json(index)
    frozen[Path(digests).parent.name] = {
        "stamps": found["stamps"],
        "ledger": found["ledger"],
        **{key: rows[key] for key in ("sides", "labels", "objects")},
        "statuses": read_json(ledger)["statuses"],
    }
log.info("%s", frozen)
write_json(snakemake.output[0], frozen)
