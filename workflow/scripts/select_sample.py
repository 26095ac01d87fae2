"""Choose the objects of a sample and attach their labels."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork import tables
from tuningfork.catalogues.image_labels import read_csv
from tuningfork.samples.build import select_mosaic_sample
from tuningfork.samples.cutouts import select_cutout_sample
from tuningfork.samples.folder import select_folder_sample

spec, files = snakemake.params.sample, snakemake.input
if spec["kind"] == "folder":
    selected = select_folder_sample(spec)
elif spec["kind"] == "cutout":
    selected = select_cutout_sample(tables.read(files.catalogue), spec)
else:
    matched = tables.read(files.match) if files.get("match") else None
    label_table = read_csv(files.labels) if files.get("labels") else None
    selected = select_mosaic_sample(tables.read(files.catalogue), spec, matched=matched, label_table=label_table)
tables.write(selected, snakemake.output[0])
