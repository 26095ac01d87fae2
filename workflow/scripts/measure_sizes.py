"""Measure the Petrosian radius of every galaxy, once, on the detection image of its field."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork import tables
from tuningfork.stamps.sizes import measure_sample

selected = tables.read(snakemake.input.selected)
sizes = measure_sample(selected, snakemake.input.mosaics)
tables.write(sizes, snakemake.output[0])
