"""Decompression bombs, headers that promise terabytes, entities, pickles, data that lie elsewhere: refused in one line, with little memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bombs import BOMBS

HERE = Path(__file__).parent
MEGABYTES = 250
"""More than any of them may add to the memory of the process."""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What became of each, in one process that has not the memory for any."""
    folder = tmp_path_factory.mktemp("bombs")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, HERE / "bombs.py", folder], capture_output=True, text=True, env=environment, cwd=folder, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout), [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb_is_refused_in_one_line_with_little_memory(told, what):
    outcome, words, megabytes = told[0][what]
    assert outcome == "refused", (outcome, words)
    assert words and "\n" not in words and len(words) < 600
    assert megabytes < MEGABYTES


def test_no_code_ran_and_nothing_was_left(told):
    assert told[1] == []
