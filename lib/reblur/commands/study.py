"""`reblur plan · study · notebook · train · reproduce · report · verify`."""

import argparse
import os
from pathlib import Path

from reblur.errors import ReblurError


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add this room's sub-commands to the command line."""
    plan = commands.add_parser("plan", help="write the pipeline and a profile's recipes")
    plan.add_argument("profile", nargs="?", help="only this profile's recipes, as its stage does")
    plan.set_defaults(run=run_plan)

    study = commands.add_parser("study", help="run a profile's whole pipeline (DVC)")
    study.add_argument("--profile", default="demo", help="a profile of params.yaml (default: demo)")
    study.add_argument(
        "--jobs", type=int, help="runs side by side (default: processors / threads of a run)"
    )
    study.set_defaults(run=run_study)

    notebook = commands.add_parser("notebook", help="execute one parameterised notebook")
    notebook.add_argument("name", help="a notebook under notebooks/, without its ending")
    notebook.add_argument(
        "-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", dest="parameters"
    )
    notebook.add_argument("-o", "--output", type=Path, required=True, help="the executed copy")
    notebook.set_defaults(run=run_notebook)

    train = commands.add_parser(
        "train", help="train and score one run without a notebook; also for 'accelerate launch'"
    )
    train.add_argument("run_name", metavar="run", help="its name, such as scale_recurrent-ss-0")
    train.add_argument("--profile", default="demo")
    train.add_argument("--from", dest="start", type=Path, help="weights to start from")
    train.set_defaults(run=run_train)

    again = commands.add_parser(
        "reproduce", help="train a committed run again and compare it with what was committed"
    )
    again.add_argument("run_name", metavar="run")
    again.add_argument("--profile", default="cpu")
    again.add_argument("--updates", type=int, help="stop early and compare the logs alone")
    again.add_argument(
        "--confirm", action="store_true", help="note in run.json that the code now does the same"
    )
    again.set_defaults(run=run_reproduce)

    report = commands.add_parser("report", help="make a profile's pages from its results")
    report.add_argument("profile")
    report.set_defaults(run=run_report)

    verify = commands.add_parser(
        "verify", help="recompute hashes and tables and say what does not match"
    )
    verify.add_argument("profile", nargs="?", default="demo")
    verify.set_defaults(run=run_verify)


def run_plan(arguments: argparse.Namespace) -> int:
    from reblur.study.params import project_root, read_params
    from reblur.study.pipeline import check_pipeline, plan, write_pipeline
    from reblur.study.runs import all_runs

    root = project_root()
    params = read_params()
    if arguments.profile:
        params.profile(arguments.profile)
        check_pipeline(params, root)
        plan(params, arguments.profile, root)
        return 0
    for name in write_pipeline(params, root):
        print(f"{name} written")
    for profile in params.profiles:
        names = [run.name for run in all_runs(params, profile)]
        print(f"{profile}: {len(names)} runs: {', '.join(names)}")
    return 0


def run_study(arguments: argparse.Namespace) -> int:
    from reblur.study.params import project_root, read_params
    from reblur.study.pipeline import run_profile

    root = project_root()
    machine = read_params().profile(arguments.profile).machine
    processors = os.cpu_count() or 1
    jobs = arguments.jobs
    if jobs is not None and jobs < 1:
        raise ReblurError(f"--jobs {jobs}: takes a whole number from 1.")
    if machine.threads > processors and machine.device == "cpu":
        raise ReblurError(
            f"profile {arguments.profile!r} asks for machine.threads {machine.threads}, and this "
            f"machine has {processors} processors; give it {processors} or fewer in params.yaml."
        )
    if jobs is None:
        jobs = 1 if machine.device == "cuda" else processors // machine.threads
    failed = run_profile(root, arguments.profile, jobs)
    report = Path("results") / arguments.profile / "report" / "index.html"
    if failed:
        print(f"{failed} stages failed (their messages stand above); the others' results are kept.")
        return 1
    print(f"The study is up to date. Read {report}, in a browser or beside the tables.")
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
    from reblur.study.params import prepare_machine, read_params
    from reblur.study.runs import find_run, make_run, recipe, started_from

    params, profile = read_params(), arguments.profile
    run = find_run(params, profile, arguments.run_name)
    device = prepare_machine(params.profile(profile).machine, profile)
    made = recipe(params, profile, run)
    if arguments.start is not None:
        made = started_from(made, arguments.start)
    make_run(profile, run, made, device)
    print(f"results/{profile}/{run.folder}")
    return 0


def run_reproduce(arguments: argparse.Namespace) -> int:
    from reblur.study.params import read_params
    from reblur.study.reproduce import reproduce
    from reblur.study.runs import find_run

    params, profile = read_params(), arguments.profile
    run = find_run(params, profile, arguments.run_name)
    print(reproduce(params, profile, run, arguments.updates, arguments.confirm))
    return 0


def run_report(arguments: argparse.Namespace) -> int:
    from reblur.study.params import read_params
    from reblur.study.report import write_report

    print(write_report(read_params(), arguments.profile))
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    from reblur.study.params import read_params
    from reblur.study.verify import verify

    problems = verify(read_params(), arguments.profile)
    for problem in problems:
        print(problem)
    if not problems:
        print(f"results/{arguments.profile}: every hash and every table matches.")
    return 1 if problems else 0
