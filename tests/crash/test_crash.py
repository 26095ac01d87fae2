"""A few of the accidents of `matrix.py` on every run of the tests; the fifty kills are `make crashtest`."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import matrix

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> matrix.Lab:
    lab = matrix.Lab(tmp_path_factory.mktemp("lab"), random.Random(7))
    lab.undisturbed()
    return lab


def test_kills_at_random_moments(lab: matrix.Lab) -> None:
    matrix.survive_kills(lab, 3)
    assert lab.kills == 3


def test_the_clock_goes_backwards(lab: matrix.Lab) -> None:
    matrix.clock_backwards(lab)


def test_two_runs_of_one_directory(lab: matrix.Lab) -> None:
    matrix.two_at_once(lab)
