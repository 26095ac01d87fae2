"""Metrics, figures and model card of one model."""

from tuningfork.scripting import start

log = start(snakemake)

from tuningfork import reporting
from tuningfork.files import read_json, write_json, write_text
from tuningfork.publishing.model_card import model_card
from tuningfork.publishing.tables_html import metrics_page
from tuningfork.stamps.store import StampSet
from tuningfork.tables import read_columns

files, out, spec = snakemake.input, snakemake.output, snakemake.params.evaluation
names = [spec["model"], *spec["compare_to"]]
predictions = {name: read_columns(path) for name, path in zip(names, files.predictions, strict=True)}
calibration = read_json(files.calibration) if files.get("calibration") else None
found = reporting.evaluate_model(read_columns(files.objects), predictions, StampSet(files.stamps), spec, calibration)
if "domains" in spec:
    tables = [[read_columns(path) for path in files.features[2 * number : 2 * number + 2]] for number in range(len(names))]
    found.metrics["domains"] = reporting.judge_domains([read_columns(path) for path in files.domain_objects], dict(zip(names, tables, strict=True)), spec)
write_json(out.metrics, found.metrics)

histories = dict(zip(spec["histories"], map(reporting.read_history, files.history), strict=True))
reporting.draw_learning_curves(histories, spec, out.learning)
reporting.draw_comparison(found, out.comparison)
reporting.draw_groups(found, out.groups)
reporting.draw_calibration(found, out.calibration)
reporting.draw_coverage(found, out.coverage)
reporting.draw_confusion(found, out.confusion)
reporting.draw_examples(found, out.examples)

description = read_json(files.description)
write_text(out.table, metrics_page(found.metrics))
write_text(out.card, model_card(description, found.metrics))
