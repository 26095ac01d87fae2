"""The command `tuningfork`: what one does beside the workflow."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tuningfork.errors import ArchiveError, ConfigError, TuningforkError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; an error that the library raises on purpose is one line on stderr and exit code 1."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        options.run(options)
    except TuningforkError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    about = "Beside the workflow: what a run will cost, whether it will work here, why a file is stale, whether all is whole, new pictures, mirrors, locks."
    parser = argparse.ArgumentParser(prog="tuningfork", description=about)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    plan = commands.add_parser("plan", help="what a configuration will cost: requests, gigabytes, hours, disk, GPU hours; nothing is fetched")
    plan.add_argument("configuration", type=Path, help="a YAML file, such as config/papers/clash.yaml")
    plan.add_argument("--ask", action="store_true", help="ask the archives for the sizes that they tell cheaply (HEAD requests)")
    plan.add_argument("--megabytes-per-second", type=float, default=10.0, help="speed of the line to one archive (default: 10)")
    plan.add_argument("--teraflops", type=float, default=10.0, help="what a training sustains on one GPU, TFLOP/s (default: 10)")
    plan.set_defaults(run=_plan)

    mirror = commands.add_parser("mirror", help="lay out what has been downloaded as the archives' own trees, for machines without internet")
    mirror.add_argument("directory", type=Path, help="folder to write; set it as archives.mirror there")
    mirror.add_argument("--configfile", type=Path, help="download first everything that this configuration needs (runs snakemake up to the stamps)")
    mirror.add_argument("--cores", type=int, default=2, help="cores of that run (default: 2)")
    mirror.add_argument("--cache", type=Path, default=Path("resources/cache"), help="cache of the workflow (default: resources/cache)")
    mirror.set_defaults(run=_mirror)

    sky = commands.add_parser("sky", help="the simulated sky")
    serve = sky.add_subparsers(required=True, metavar="COMMAND").add_parser("serve", help="run the stand-in archives over a rendered sky until interrupted")
    serve.add_argument("sky", type=Path, help="folder of a rendered sky: resources/sky/<key> or resources/survey_sky/<key>")
    serve.add_argument("--port", type=int, default=8642, help="TCP port on this machine (default: 8642)")
    serve.set_defaults(run=_serve_sky)

    predict = commands.add_parser("predict", help="predict a folder of new pictures with a trained model")
    predict.add_argument("model", type=Path, help="folder of the model, such as results/models/clash")
    predict.add_argument("folder", type=Path, help="folder with the pictures (FITS, JPEG, PNG), searched in depth")
    predict.add_argument("--output", type=Path, default=Path("predictions.csv"), help="table to write: .csv or .parquet (default: predictions.csv)")
    predict.add_argument("--batch", type=int, default=64, help="pictures at a time (default: 64)")
    predict.set_defaults(run=_predict)

    why = commands.add_parser("why", help="in one line: why a file is up to date, or what makes it stale")
    why.add_argument("file", help="a file that a rule makes, such as results/catalogues/Deep-CLASH.csv")
    why.add_argument("--configfile", type=Path, help="the configuration of the run, if it is not the demo")
    why.add_argument("--snakefile", "-s", type=Path, help="default: ./Snakefile, else that of this installation")
    why.add_argument("--directory", "-d", type=Path, default=Path(), help="working directory (default: here)")
    why.set_defaults(run=_why)

    verify = commands.add_parser("verify", help="read everything that was made and downloaded again, and name what is no longer what it was")
    verify.add_argument("directory", type=Path, nargs="?", default=Path(), help="working directory (default: here)")
    verify.add_argument("--cache", type=Path, default=Path("resources/cache"), help="cache of the workflow, in the directory (default: resources/cache)")
    verify.add_argument("--remove", action="store_true", help="delete what has changed, so that it can be made again")
    verify.add_argument("--forget", action="store_true", help="what was deleted is not wanted any more")
    verify.add_argument("--list", action="store_true", help="print nothing but the paths, one a line, as targets for snakemake")
    verify.set_defaults(run=_verify)

    trace = commands.add_parser("trace", help="follow one object from its published row through network, stamp and selection back to the archive's reply")
    trace.add_argument("object", help="its object_id, or a galaxy_id")
    trace.add_argument("--configfile", type=Path, help="configuration of the run (default: the demo's)")
    trace.add_argument("--directory", type=Path, default=Path(), help="working directory (default: here)")
    trace.set_defaults(run=_trace)

    unlock = commands.add_parser(
        "unlock", help="clear what a killed run or a wrong clock left (the lock, files dated in the future), unless a snakemake is running"
    )
    unlock.add_argument("directory", type=Path, nargs="?", default=Path(), help="working directory (default: here)")
    unlock.set_defaults(run=_unlock)

    doctor = commands.add_parser(
        "doctor", help="will a run work here: profile, GPUs, Slurm's partitions and limits, disk, archives, clock; nothing is submitted"
    )
    doctor.add_argument("--profile", action="append", default=[], metavar="P", help="as for snakemake --profile; may be given more than once")
    doctor.add_argument("--configfile", type=Path, help="a YAML file (default: the demo's)")
    doctor.add_argument("--directory", type=Path, default=Path(), help="where the workflow would run (default: here)")
    doctor.set_defaults(run=_doctor)
    return parser


def _plan(options: argparse.Namespace) -> None:
    import contextlib

    from tuningfork.config import load, read_yaml
    from tuningfork.planning import Assumptions, make_plan, render
    from tuningfork.wire import open_archives

    recipes = Path(__file__).parents[1] / "config" / "recipes"
    if not options.configuration.is_file():
        raise ConfigError(f"{options.configuration}: there is no such file")
    config = load(read_yaml(options.configuration), [options.configuration], recipes)
    given = Assumptions(options.megabytes_per_second * 1e6, options.teraflops * 1e12)
    opened = open_archives({"mode": "live"}, contact=config.archives.contact) if options.ask else contextlib.nullcontext()
    with opened as transport:
        plan = make_plan(config, recipes, transport=transport, assumptions=given)
    sys.stdout.write(render(plan, given))


def _mirror(options: argparse.Namespace) -> None:
    import subprocess

    from tuningfork.archives.mirror import export

    if options.configfile is not None:
        from tuningfork.config import load, read_yaml

        samples = load(read_yaml(options.configfile), [options.configfile], Path(__file__).parents[1] / "config" / "recipes").samples
        stamps = [f"results/samples/{name}/stamps.json" for name in samples]
        snakemake = Path(sys.executable).with_name("snakemake")
        snakefile = Path(__file__).parents[1] / "Snakefile"
        command = [snakemake, "-s", snakefile, "--configfile", options.configfile, "--cores", str(options.cores), "--", *stamps]
        if subprocess.run(command).returncode:
            raise ArchiveError("not everything could be downloaded (see above); run the same command again, what is here is kept")
    counts = export(options.cache, options.directory)
    logging.getLogger(__name__).info("%s: %s", options.directory, counts)


def _serve_sky(options: argparse.Namespace) -> None:
    from tuningfork.sky.server import serve_forever

    serve_forever(options.sky, options.port)


def _verify(options: argparse.Namespace) -> None:
    from tuningfork.verification import act, examine, render

    found = examine(options.directory, options.cache)
    act(options.directory, found, remove=options.remove, forget=options.forget)
    sys.stdout.write(
        "".join(f"{finding.path}\n" for finding in found.findings) if options.list else render(found, removed=options.remove, forgotten=options.forget)
    )
    if wrong := found.wrong(forgotten=options.forget):
        raise TuningforkError(f"{wrong} file(s) are not what they were when they were made")


def _trace(options: argparse.Namespace) -> None:
    from tuningfork.config import load, read_yaml
    from tuningfork.trace import render, trace
    from tuningfork.workflow import Workflow

    repository = Path(__file__).parents[1]
    file = options.configfile or repository / "config" / "config.yaml"
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file")
    config = load(read_yaml(file), [file], repository / "config" / "recipes")
    sys.stdout.write(render(trace(Workflow(config, repository), options.object, options.directory)))


def _predict(options: argparse.Namespace) -> None:
    from tuningfork.inference.folder import predict_folder

    counts = predict_folder(options.model, options.folder, options.output, batch_size=options.batch)
    logging.getLogger(__name__).info("%s: %s", options.output, ", ".join(f"{number} {status}" for status, number in counts.items()))


def _why(options: argparse.Namespace) -> None:
    from tuningfork.why import why

    snakefile = options.snakefile or next(path for path in (Path("Snakefile"), Path(__file__).parents[1] / "Snakefile") if path.is_file())
    given = ["-s", str(snakefile.resolve()), *(["--configfile", str(options.configfile.resolve())] if options.configfile else [])]
    sys.stdout.write(f"{why(options.file, given, options.directory.resolve())}\n")


def _doctor(options: argparse.Namespace) -> None:
    from tuningfork.doctor.examine import examine
    from tuningfork.doctor.finding import render

    findings = examine(options.profile, options.configfile, Path(__file__).parents[1], options.directory.resolve())
    sys.stdout.write(render(findings))
    problems = sum(finding.level == "problem" for finding in findings)
    if problems:
        raise SystemExit(1)


def _unlock(options: argparse.Namespace) -> None:
    from tuningfork.locks import set_back, unlock

    log = logging.getLogger(__name__)
    if unlock(options.directory):
        log.info("removed the lock that a killed run left behind")
    if count := set_back(options.directory):
        log.info("%d file(s) were dated in the future, by a clock that was ahead; they are dated now, in their old order", count)
