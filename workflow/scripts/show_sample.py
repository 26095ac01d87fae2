"""Draw a sample: random stamps, and what became of every object."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork.reporting import draw_sample
from tuningfork.stamps.store import StampSet
from tuningfork.tables import read_columns

files = snakemake.input
draw_sample(
    read_columns(files.objects),
    read_columns(files.ledger),
    StampSet(files.stamps),
    simulated=snakemake.params.sample["simulated"],
    seed=1,
    gallery=snakemake.output.stamps,
    scatter=snakemake.output.objects,
)
