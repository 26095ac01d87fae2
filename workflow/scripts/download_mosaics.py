"""Fetch the mosaics of one field into the cache; write where they lie and which filters the archive does not have."""

from tuningfork.scripting import start

log = start(snakemake)

from pathlib import Path

from tuningfork.archives.manifest import fetch_field
from tuningfork.files import write_json
from tuningfork.wire import open_archives

contact = snakemake.config.get("archives", {}).get("contact")
with open_archives(snakemake.params.wire, *map(Path, snakemake.input), contact=contact) as transport:
    manifest = fetch_field(transport, field=snakemake.wildcards.field, **snakemake.params.images)
manifest["simulated"] = snakemake.params.wire["mode"] == "simulated"
log.info("%s", {band: found["status"] for band, found in manifest["bands"].items()})
write_json(snakemake.output[0], manifest)
