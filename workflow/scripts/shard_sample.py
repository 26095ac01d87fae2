"""Join the measured sizes, split the sample, and cut it into shards."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork import tables
from tuningfork.files import write_json
from tuningfork.samples.build import finish_sample

sizes = tables.read(snakemake.input.sizes) if snakemake.input.get("sizes") else None
apart = [tables.read_columns(path, ["ra", "dec", "split"]) for path in snakemake.input.apart]
objects, index = finish_sample(tables.read(snakemake.input.selected), snakemake.params.sample, sizes, apart)
tables.write(objects, snakemake.output.table)
write_json(snakemake.output.index, index)
