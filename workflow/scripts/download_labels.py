"""Fetch a table of labels by its URL."""

from tuningfork.scripting import start

log = start(snakemake)

import shutil
from pathlib import Path

from tuningfork.archives.urls import fetch_url
from tuningfork.files import atomic_path
from tuningfork.wire import open_archives

contact = snakemake.config.get("archives", {}).get("contact")
with open_archives(snakemake.params.wire, *map(Path, snakemake.input), contact=contact) as transport:
    fetched = fetch_url(transport, snakemake.params.url)
with atomic_path(snakemake.output[0]) as part:
    shutil.copyfile(fetched.path, part)
