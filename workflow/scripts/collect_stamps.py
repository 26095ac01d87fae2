"""Collect the digests of a sample's shards, and every object's status in one ledger."""

from tuningfork.scripting import start

log = start(snakemake)

from pathlib import Path

from tuningfork import tables
from tuningfork.files import digest_of, sha256_of, write_json
from tuningfork.stamps.rows import ledger_of

digests = {Path(path).stem: Path(path).read_text().strip() for path in snakemake.input}
ledger = ledger_of([Path(path).with_suffix(".arrow") for path in snakemake.input])
tables.write(ledger, snakemake.output.ledger)
write_json(snakemake.output.digests, {"stamps": digest_of(digests), "shards": digests, "ledger": sha256_of(snakemake.output.ledger)})
