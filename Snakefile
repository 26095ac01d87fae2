# tuningfork: from published galaxy catalogues to deep-learned ones.
# The nouns are in the YAML (config/README.md), the verbs in rules/, the thinking in tuningfork/.
import os
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from tuningfork.config import load
from tuningfork.errors import ConfigError
from tuningfork.workflow import Workflow

min_version("9.12")

HERE = Path(workflow.basedir)

# A configuration given with --configfile stands alone: the demo's samples must not run along with it.
if "samples" not in config:

    configfile: HERE / "config" / "config.yaml"


try:
    wf = Workflow(load(config, workflow.configfiles, HERE / "config" / "recipes"), HERE)
except ConfigError as error:
    raise WorkflowError(f"the configuration is not valid:\n{error}") from None


# Profiles name these in expressions: the first attempt of a training asks for what the configuration says.
os.environ.update(wf.environment())


wildcard_constraints:
    sample=wf.pattern(wf.samples()),
    field=r"[A-Za-z0-9_-]+",
    catalogue=r"[a-z0-9_]+",
    shard="[0-9a-f]+",
    group=wf.pattern(wf.groups),
    model=wf.pattern(wf.plans),
    product=wf.pattern(wf.config.catalogues),


report: "workflow/report/workflow.rst"


localrules:
    all,
    check_ledger,
    check_model,
    freeze_group,


rule all:
    default_target: True
    input:
        wf.targets(),


# One target a paper: `snakemake deepshadows`.
for paper in wf.config.papers:

    rule:
        name:
            paper
        input:
            wf.paper_targets(paper),


include: "rules/common.smk"
include: "rules/catalogues.smk"
include: "rules/samples.smk"
include: "rules/stamps.smk"
include: "rules/models.smk"
include: "rules/publishing.smk"
