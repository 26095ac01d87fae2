"""All figures of the report, gathered: each takes arrays, gives a `matplotlib.figure.Figure` and knows nothing of files; `save` writes it.

They never touch pyplot or matplotlib's global state, and `simulated=True` writes SIMULATED across the picture.
"""

from tuningfork.publishing.figures_base import save
from tuningfork.publishing.figures_errors import calibration, confusion, regression_calibration, regression_scatter
from tuningfork.publishing.figures_graph import rule_graph
from tuningfork.publishing.figures_metrics import counts, learning_curves, metric_comparison, rmse_by
from tuningfork.publishing.figures_sky import latent_map, sky_map
from tuningfork.publishing.figures_stamps import example_predictions, magnitude_size, stamp_gallery
from tuningfork.publishing.figures_uncertainty import coverage

__all__ = [
    "calibration",
    "confusion",
    "counts",
    "coverage",
    "example_predictions",
    "latent_map",
    "learning_curves",
    "magnitude_size",
    "metric_comparison",
    "regression_calibration",
    "regression_scatter",
    "rmse_by",
    "rule_graph",
    "save",
    "sky_map",
    "stamp_gallery",
]
