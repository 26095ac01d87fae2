"""All benchmarks, one after another, each in a process of its own: ratios against a peer that does the same work in the same run."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = {
    "Stamps out of a mosaic": "bench_stamps.py",
    "Random reads of the stamp store": "bench_store.py",
    "Training": "bench_training.py",
    "Training on a GPU": "bench_gpu.py",
    "Prediction": "bench_predict.py",
    "What a training job costs beside its steps": "bench_job.py",
    "Archives": "bench_archives.py",
    "Ranges of remote mosaics": "bench_ranges.py",
    "The graph with nothing to do": "bench_graph.py",
}


def main() -> int:
    """Run them with their defaults; the exit code is that of the first that failed."""
    for title, script in BENCHMARKS.items():
        print(f"\n== {title} ==", flush=True)
        code = subprocess.run([sys.executable, Path(__file__).with_name(script)]).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
