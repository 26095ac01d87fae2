"""Fit a model's calibration to the validation rows of the sample that it was trained on."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork.analysis.calibrate import fit_calibration
from tuningfork.files import write_json
from tuningfork.tables import read_columns

files = snakemake.input
write_json(snakemake.output[0], fit_calibration(read_columns(files.objects), read_columns(files.predictions), **snakemake.params.calibration))
