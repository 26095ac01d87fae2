"""Fetch one published catalogue of a sample and write it in the common columns."""

from tuningfork.scripting import start

log = start(snakemake)

import importlib
from pathlib import Path

from tuningfork import tables
from tuningfork.wire import open_archives

catalogue = importlib.import_module(f"tuningfork.catalogues.{snakemake.wildcards.catalogue}")
contact = snakemake.config.get("archives", {}).get("contact")
with open_archives(snakemake.params.wire, *map(Path, snakemake.input.sky), contact=contact) as transport:
    table = catalogue.fetch(transport, **snakemake.params.query)
log.info("%d rows", len(table))
tables.write(table, snakemake.output[0])
