"""What a training or a prediction imports before its first step: every job of a run pays for it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"
HEAVY = ("astropy", "scipy", "sklearn", "pandas", "duckdb", "matplotlib", "requests", "galsim", "sympy", "torch._dynamo", "torch._inductor")
TRAIN = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from toy_sample import TARGETS, NETWORK, RECIPE, make_store
from tuningfork.inference.load import load_model
from tuningfork.inference.predict import predict
from tuningfork.training.loop import train
folder = Path({folder!r})
stamps, objects = make_store(folder, 12)
for name in ("adam", "sgd"):
    recipe = {{**RECIPE, "epochs": 1, "batch_size": 4, "ema": 0.9, "optimizer": {{"name": name, "learning_rate": 1e-3}}}}
    train(network=NETWORK, stamps=stamps, objects=objects, targets=TARGETS, task="fractions", recipe=recipe, seed=1, out_dir=folder / "model",
          resume_dir=folder / "resume", threads=1)
predict(load_model(folder / "model"), stamps, threads=1)
"""


def modules_after(code: str) -> set[str]:
    """Names of the modules that are loaded in a fresh interpreter when `code` is done."""
    command = [sys.executable, "-c", code + "\nimport sys\nprint('MODULES', *sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return set(done.stdout.split("MODULES", 1)[1].split())


def imports_of(script: str) -> str:
    """The import statements at the top of a rule's script."""
    return "\n".join(line for line in (SCRIPTS / script).read_text(encoding="utf-8").splitlines() if re.match(r"(from|import) ", line))


@pytest.mark.parametrize("script", ["train_model.py", "predict.py"])
def test_a_script_imports_nothing_heavy_that_it_may_not_need(script):
    loaded = modules_after(imports_of(script))
    assert "torch" in loaded and "tuningfork.stamps.store" in loaded
    assert sorted(loaded & set(HEAVY)) == []


def test_a_whole_training_and_its_prediction_need_no_compiler_and_no_astronomy(tmp_path):
    loaded = modules_after(TRAIN.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    assert "tuningfork.training.fit" in loaded and (tmp_path / "model/model.json").is_file()
    assert sorted(loaded & set(HEAVY)) == []
