"""Render the simulated sky into the folder of its `sky.json`."""

from tuningfork.scripting import start

log = start(snakemake)

import sys
from pathlib import Path

from tuningfork.sky.build import render_sky
from tuningfork.sky.parameters import SkyParameters

render_sky(SkyParameters(**snakemake.params.sky), Path(snakemake.output[0]).parent, progress=sys.stderr.isatty())
