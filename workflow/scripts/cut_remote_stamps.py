"""Fetch the pixels under the stamps of one shard, and cut them."""

from tuningfork.scripting import start

log = start(snakemake)

from pathlib import Path

from tuningfork.stamps.remote import fetch_stamps
from tuningfork.stamps.rows import rows_of_shard
from tuningfork.stamps.shard import cut_objects
from tuningfork.stamps.store import write_shard
from tuningfork.wire import open_archives

files, contact = snakemake.input, snakemake.config.get("archives", {}).get("contact")
objects = rows_of_shard(files.table, snakemake.wildcards.shard)
stamp = snakemake.params.stamp["stamp"]
with open_archives(snakemake.params.wire, *map(Path, files.sky), contact=contact) as transport:
    traffic = fetch_stamps(transport, objects, {Path(path).stem: path for path in files.mosaics}, orientation=stamp["orientation"])
log.info("%s", traffic)
shard = cut_objects(objects, files.mosaics, pixels=stamp["pixels"], orientation=stamp["orientation"])
write_shard(snakemake.output.stamps, shard)
