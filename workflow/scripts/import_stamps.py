"""Import the pictures of one shard of an image folder."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork.stamps.folder import holds_fits, import_objects
from tuningfork.stamps.rows import rows_of_shard
from tuningfork.stamps.store import write_shard
from tuningfork.tables import read_columns

objects = rows_of_shard(snakemake.input.table, snakemake.wildcards.shard)
sample = snakemake.params.stamp
stamp = sample["stamp"]
shard = import_objects(
    objects,
    sample["folder"],
    channels=stamp["channels"],
    pixels=stamp["pixels"],
    as_fits=holds_fits(read_columns(snakemake.input.table, ["path"])["path"]),
    arcsec_per_pixel=stamp["arcsec_per_pixel"],
)
write_shard(snakemake.output.stamps, shard)
