"""Draw docs/rule_graph.png: the rules of the default run, as Snakemake itself sees them."""

import re
import subprocess
import sys
from pathlib import Path

from tuningfork.publishing.figures import rule_graph, save

HERE = Path(__file__).parent
STAGES = {"catalogues": "download", "samples": "select", "stamps": "stamps", "models": "train and predict", "publishing": "publish"}

# The graph after the checkpoints stands in the files, so the edges that only appear then are read off a second look: what the default
# run makes from frozen samples needs cut stamps and trained weights.
AFTER_CHECKPOINTS = [
    ("shard_sample", "cut_stamps"),
    ("download_mosaics", "cut_stamps"),
    ("cut_stamps", "collect_stamps"),
    ("shard_sample", "fetch_cutouts"),
    ("render_survey_sky", "fetch_cutouts"),
    ("fetch_cutouts", "collect_stamps"),
    ("freeze_group", "train_model"),
    ("train_model", "predict"),
    ("predict", "calibrate_model"),
    ("calibrate_model", "evaluate_model"),
    ("calibrate_model", "publish_catalogue"),
]


def stages() -> dict[str, str]:
    """Rule -> stage, in the order of the rule files."""
    found = {}
    for name, stage in STAGES.items():
        text = (HERE.parent / "rules" / f"{name}.smk").read_text()
        found |= dict.fromkeys(re.findall(r"^(?:rule|checkpoint) (\w+):", text, re.MULTILINE), stage)
    return found


def edges() -> set[tuple[str, str]]:
    """Pairs (needed, needing) of rules, from `snakemake --rulegraph`."""
    snakemake = Path(sys.executable).with_name("snakemake")
    dot = subprocess.run([snakemake, "--rulegraph", "--quiet", "all"], cwd=HERE.parent, capture_output=True, text=True, check=True).stdout
    names = dict(re.findall(r'(\d+)\[label = "(\w+)"', dot))
    # A rule that reads its own output of another sample is one box without an arrow.
    pairs = {(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", dot) if names[a] != names[b]}
    return {pair for pair in pairs | set(AFTER_CHECKPOINTS) if "all" not in pair}


if __name__ == "__main__":
    drawn = edges()
    used = {name for pair in drawn for name in pair}
    save(rule_graph(drawn, {rule: stage for rule, stage in stages().items() if rule in used}), HERE / "rule_graph.png")
