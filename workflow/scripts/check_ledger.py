"""Fail, with the missing ids, if an object was lost between selection and stamps; else count the statuses."""

from tuningfork.scripting import start

log = start(snakemake)

from collections import Counter

from tuningfork.files import write_json
from tuningfork.samples.ledger import assert_conserved
from tuningfork.tables import read_columns

selected = read_columns(snakemake.input.selected, ["object_id"])["object_id"]
ledger = read_columns(snakemake.input.ledger, ["object_id", "status"])
assert_conserved(selected, ledger)
counts = dict(sorted(Counter(ledger["status"].tolist()).items()))
log.info("%d objects: %s", len(selected), counts)
write_json(snakemake.output[0], {"objects": len(selected), "statuses": counts})
