"""`reblur study · fetch · notebook · report · verify`."""

import argparse
import os
from pathlib import Path

from reblur.errors import ReblurError


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add this room's sub-commands to the command line."""
    study = commands.add_parser("study", help="run a profile's whole pipeline (DVC)")
    study.add_argument("--profile", default="demo", help="a profile of params.yaml (default: demo)")
    study.add_argument(
        "--jobs", type=int, help="runs side by side (default: processors / threads of a run)"
    )
    study.set_defaults(run=run_study)

    fetch = commands.add_parser("fetch", help="note which real test sets of a profile are here")
    fetch.add_argument("profile")
    fetch.set_defaults(run=run_fetch)

    notebook = commands.add_parser("notebook", help="execute one parameterised notebook")
    notebook.add_argument("name", help="a notebook under notebooks/, without its ending")
    notebook.add_argument(
        "-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", dest="parameters"
    )
    notebook.add_argument("-o", "--output", type=Path, required=True, help="the executed copy")
    notebook.set_defaults(run=run_notebook)

    train = commands.add_parser(
        "train", help="train one variant without a notebook, for 'accelerate launch' and clusters"
    )
    train.add_argument("--profile", default="demo")
    train.add_argument("--variant", required=True)
    train.add_argument("--seed", type=int, default=0)
    train.set_defaults(run=run_train)

    report = commands.add_parser("report", help="make a profile's report page from its results")
    report.add_argument("profile")
    report.set_defaults(run=run_report)

    verify = commands.add_parser(
        "verify", help="recompute hashes and tables and say what does not match"
    )
    verify.add_argument("profile", nargs="?", default="demo")
    verify.set_defaults(run=run_verify)


def run_study(arguments: argparse.Namespace) -> int:
    from reblur.study.params import profile_of, project_root, read_params
    from reblur.study.pipeline import run_profile

    root = project_root()
    machine = profile_of(read_params(root / "params.yaml"), arguments.profile)["machine"]
    jobs = arguments.jobs
    if jobs is None:
        on_gpu = machine["device"] == "cuda"
        jobs = 1 if on_gpu else (os.cpu_count() or 1) // (machine["threads"] or os.cpu_count() or 1)
    if jobs < 1:
        raise ReblurError(f"--jobs {jobs}: takes a whole number from 1.")
    failed = run_profile(root, arguments.profile, jobs)
    report = Path("results") / arguments.profile / "report" / "index.html"
    if failed:
        print(f"{failed} stages failed (their messages stand above); the others' results are kept.")
        return 1
    print(f"The study is up to date. Read {report}, in a browser or beside the tables.")
    return 0


def run_fetch(arguments: argparse.Namespace) -> int:
    from reblur.study.data import note_available
    from reblur.study.params import project_root, read_params

    note_available(read_params(project_root() / "params.yaml"), arguments.profile)
    return 0


def run_notebook(arguments: argparse.Namespace) -> int:
    from reblur.study.notebooks import checked_parameters, execute
    from reblur.study.params import project_root

    given: dict[str, str] = {}
    for text in arguments.parameters:
        name, equals, value = text.partition("=")
        if not equals:
            raise ReblurError(f"-p {text}: write it as NAME=VALUE.")
        given[name] = value
    root = project_root()
    path = root / "notebooks" / f"{arguments.name}.ipynb"
    execute(path, arguments.output, checked_parameters(path, given), working_folder=root)
    return 0


def run_train(arguments: argparse.Namespace) -> int:
    """Train to the end; the run's stage then finds it finished and only writes its notebook."""
    from reblur.study.params import prepare_machine, project_root, read_params, runs_of_variant
    from reblur.study.provenance import stamp
    from reblur.study.runs import configuration, save_run, train_run

    root = project_root()
    params = read_params(root / "params.yaml")
    device = prepare_machine(params, arguments.profile)
    for run in runs_of_variant(params, arguments.profile, arguments.variant, arguments.seed):
        config = configuration(params, run)
        result = train_run(config, device)
        if os.environ.get("RANK", "0") == "0":  # one process of several writes
            made = stamp(run.profile, config, config["data_hashes"], [], root / run.folder)
            save_run(root / run.folder, config, result, made)
            print(root / run.folder)
    return 0


def run_report(arguments: argparse.Namespace) -> int:
    from reblur.study.params import project_root, read_params
    from reblur.study.report import write_report

    root = project_root()
    print(write_report(root, arguments.profile, read_params(root / "params.yaml")))
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    from reblur.study.params import project_root, read_params
    from reblur.study.verify import remarks, verify

    root = project_root()
    params = read_params(root / "params.yaml")
    problems = verify(root, arguments.profile, params)
    for problem in problems:
        print(problem)
    for remark in remarks(root, arguments.profile, params):
        print(f"note: {remark}")
    if not problems:
        print(f"results/{arguments.profile}: every hash and every table matches.")
    return 1 if problems else 0
