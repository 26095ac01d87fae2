"""Fail if a claim of the configuration about this model is not borne out by its metrics."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork.analysis.claims import broken, check_claims
from tuningfork.errors import ModelError
from tuningfork.files import read_json, write_json

checked = check_claims(read_json(snakemake.input[0]), snakemake.params.claims)
for check in checked:
    log.info("%s", check)
lines = broken(checked)
if lines:
    raise ModelError(f"{snakemake.wildcards.model}: {'; '.join(lines)}")
write_json(snakemake.output[0], checked)
