"""Fetch the cutouts of one shard."""

from tuningfork.scripting import start

log = start(snakemake)

from pathlib import Path

from tuningfork.stamps.cutouts import fetch_shard, note_failures
from tuningfork.stamps.rows import rows_of_shard
from tuningfork.stamps.store import write_shard
from tuningfork.wire import open_archives

objects, stamp = rows_of_shard(snakemake.input.table, snakemake.wildcards.shard), snakemake.params.stamp
contact = snakemake.config.get("archives", {}).get("contact")
with open_archives(snakemake.params.wire, *map(Path, snakemake.input.sky), contact=contact) as transport:
    shard, failed = fetch_shard(transport, objects, images=stamp["images"], stamp=stamp["stamp"])
write_shard(snakemake.output.stamps, shard)
note_failures(snakemake.output.stamps, failed, token=snakemake.params.retry)
