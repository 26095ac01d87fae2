"""The longer form of the table: every change is really run, in one go, in shuffled orders and with shuffled numbers of cores.

The table's short form (test_freshness.py) runs up to the checkpoints and reads the rest off a dry run. Here nothing is dry: a run must do exactly
the jobs of its row, and the run after it none. Run with ``python tests/freshness/orders.py``, with ``--orders``, ``--seed``, ``--rows``
(a regular expression on names) and ``--limit`` for less.
"""

import argparse
import random
import re
import sys
import tempfile
import time
from pathlib import Path

from changes import CHANGES, Change, expected
from workbench import Bench, Forges, finished

UNFIT = {  # their dry run is right, but what they ask for cannot be done with these samples
    "a new model that joins the samples of two groups",  # the pixels of the one are not of the other's size
    "another claim",  # it does not hold
}


def check(base: Bench, change: Change, cores: int, folder: Path) -> str:
    """Run one change; what is wrong with it, or ''."""
    bench = base.copy(folder)
    try:
        bench.arguments = ["--cores", str(cores)]
        change.apply(bench)
        got = [job for arguments in change.really if "--forcerun" in arguments for job in bench.snakemake(*arguments)]
        got += bench.snakemake()
        want = expected(change, base.names())
        if sorted(got) != want:
            return f"too much: {sorted(set(got) - set(want))}; too little: {sorted(set(want) - set(got))}"
        again = bench.snakemake()
        return f"and again: {again}" if again else ""
    except AssertionError as error:
        return str(error)
    finally:
        bench.remove()


def main() -> int:
    """Exit code 1 if any row is wrong in any order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=2, help="how often the table is gone through (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the orders and the numbers of cores (default: 1)")
    parser.add_argument("--rows", default="", help="only rows whose name fits this regular expression")
    parser.add_argument("--limit", type=int, default=len(CHANGES), help="at most so many rows of each order")
    parser.add_argument("--base", type=Path, help="the folder of an earlier run (with base/ and trace/ in it), instead of making one")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    chosen = [change for change in CHANGES if re.search(options.rows, change.name) and change.name not in UNFIT]
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        forges = Forges(1)
        with finished(Path(name), forges, options.base) as base:
            for order in range(options.orders):
                for row, change in enumerate(chance.sample(chosen, min(options.limit, len(chosen)))):
                    cores, start = chance.choice((1, 2, 3)), time.monotonic()
                    wrong = check(base, change, cores, Path(name) / f"order{order}-{row:02d}")
                    failures += bool(wrong)
                    print(f"{'FAIL' if wrong else 'ok  '} order {order}, {cores} core(s), {time.monotonic() - start:5.1f} s: {change.name} {wrong}", flush=True)
        forges.close()
    print(f"{failures} failures")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
