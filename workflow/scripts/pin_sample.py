"""Write a sample's own part of what was frozen for its group."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork.files import read_json, write_json

write_json(snakemake.output[0], read_json(snakemake.input[0])[snakemake.wildcards.sample])
