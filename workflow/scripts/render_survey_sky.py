"""Render the simulated sky of the wide surveys into the folder of its `sky.json`."""

from tuningfork.scripting import start

log = start(snakemake)

import sys
from pathlib import Path

from tuningfork.sky.wide.build import render_wide
from tuningfork.sky.wide.parameters import WideParameters

render_wide(WideParameters(**snakemake.params.sky), Path(snakemake.output[0]).parent, progress=sys.stderr.isatty())
