"""Feed one reader with made-up input for as long as one likes: ``python tests/fuzz/fuzz.py votable -max_total_time=60``.

Needs ``pip install atheris``, which is no dependency of anything else; what follows the target's name goes to libFuzzer. The corpus is in
``fuzz-corpus/<target>`` here (ignored by git); what a reader did not bear is beside it, and belongs as a case into `test_findings.py`. An
exception ends the run, unless ``--keep-going`` is said: then the first input of each kind of exception is kept, with its traceback.
"""

import hashlib
import sys
import tempfile
import traceback
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))
with atheris.instrument_imports(include=["tuningfork"]):
    from fuzz_targets import TARGETS, survives

    import tuningfork.networks.pretrained
    import tuningfork.networks.weights  # noqa: F401

LIMITS = ("-timeout=20", "-rss_limit_mb=3000", "-malloc_limit_mb=1500", "-max_len=20000")
"""Longer than this many seconds on one input is a hang, more memory than this is no bound."""


def main(arguments: list[str]) -> None:
    """Run libFuzzer on the target that is named first."""
    if len(arguments) < 2 or arguments[1] not in TARGETS:
        raise SystemExit(f"usage: {arguments[0]} TARGET [libFuzzer options]; targets: {', '.join(TARGETS)}")
    name, target = arguments[1], TARGETS[arguments[1]]
    corpus = Path("fuzz-corpus", name)
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    words = corpus.with_suffix(".dict")
    words.write_text("".join(f"{_quoted(token)}\n" for token in (*target.tokens, b"\0")))
    keep_going = "--keep-going" in arguments
    options = [arguments[0], *LIMITS, f"-artifact_prefix={corpus}.crash-", f"-dict={words}", *(a for a in arguments[2:] if a != "--keep-going"), str(corpus)]
    with tempfile.TemporaryDirectory() as folder:

        def once(data: bytes) -> None:
            try:
                survives(target, data, Path(folder))
            except Exception as error:
                if not keep_going:
                    raise
                _keep(corpus, data, error)

        atheris.Setup(options, once)
        atheris.Fuzz()


def _keep(corpus: Path, data: bytes, error: Exception) -> None:
    """The input and the traceback of the first exception of its kind and place."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    found = corpus.with_name(f"{corpus.name}.{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}")
    if not found.exists():
        found.write_bytes(data)
        found.with_name(f"{found.name}.txt").write_text("".join(traceback.format_exception(error)))


def _quoted(token: bytes) -> str:
    """A token as libFuzzer's dictionaries have it: 64 bytes at most."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in token[:64]) + '"'


if __name__ == "__main__":
    main(sys.argv)
