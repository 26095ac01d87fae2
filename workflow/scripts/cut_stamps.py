"""Cut the stamps of one shard."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork.stamps.rows import rows_of_shard
from tuningfork.stamps.shard import cut_objects
from tuningfork.stamps.store import write_shard

objects = rows_of_shard(snakemake.input.table, snakemake.wildcards.shard)
stamp = snakemake.params.stamp["stamp"]
shard = cut_objects(objects, snakemake.input.mosaics, pixels=stamp["pixels"], orientation=stamp["orientation"])
write_shard(snakemake.output.stamps, shard)
