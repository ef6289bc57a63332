"""A run from its recipe to its files: trained if it is not yet, and scored.

results/<profile>/recipes/<run>.json    what makes the run: its configuration, code and data
results/<profile>/runs/…/               run.json, scores.csv, cost.csv, log.csv, validation.csv
results/<profile>/weights/<run>.safetensors
scratch/<identity>/                     the resumable state of a training
"""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from torch import nn

from reblur.datasets.defocus.synthesis import DefocusOptions
from reblur.datasets.motion.options import MotionBlurOptions
from reblur.errors import ReblurError
from reblur.evaluation.scoring import Restorer, do_nothing, restorer_of
from reblur.files import atomic_path, sha256_of_file, sha256_of_value, write_json, write_text
from reblur.losses.reblurring import DefocusObjective
from reblur.network_names import NETWORKS, class_of
from reblur.networks import network_options
from reblur.networks.complexity import count_macs, count_parameters
from reblur.networks.weights import save_network
from reblur.study.data.available import data_hashes, noted, refuse_changed, trained_on
from reblur.study.params import Params, project_root, refuse_unknown, results_folder
from reblur.study.provenance import code_hash, code_state, library_versions, machine
from reblur.study.rows import Run, blurred_input
from reblur.study.training import train_network
from reblur.training import TrainingOptions, TrainingResult

#: Multiply-adds are counted at this size, so that they compare across profiles.
MACS_AT = (720, 1280)


def chapter_module(chapter: str) -> ModuleType:
    """`reblur.study.chapters.<chapter>`: its runs, their configurations, what they reach."""
    return importlib.import_module(f"reblur.study.chapters.{chapter}")


def data_module(run: Run) -> ModuleType:
    """The module of `reblur.study.data` that a run trains from: its pairs and its objective."""
    return importlib.import_module(chapter_module(run.chapter).DATA)


def tests_module(run: Run) -> ModuleType:
    """The module of `reblur.study.data` that a run is scored by."""
    return importlib.import_module(chapter_module(run.chapter).TESTS)


def all_runs(params: Params, profile: str) -> list[Run]:
    """Every run that a profile asks for, chapter by chapter."""
    chapters = params.profile(profile).chapters
    return [run for name in chapters for run in chapter_module(name).runs(params, profile)]


def planned_runs(params: Params, profile: str, chapter: ModuleType) -> list[Run]:
    """Every run of a chapter that a profile is to have in the end (`Profile.planned`)."""
    return chapter.runs(params, params.profile(profile).planned or profile)


def find_run(params: Params, profile: str, name: str) -> Run:
    """The run of a name (`Run.name`); ReblurError that lists similar ones where there is none."""
    import difflib

    known = {run.name: run for run in all_runs(params, profile)}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        raise ReblurError(
            f"profile {profile!r} has no run {name!r}; similar ones: {', '.join(near) or 'none'}. "
            "'reblur plan' lists them all."
        )
    return known[name]


def source_name(config: Mapping[str, Any]) -> str:
    """The function of the chapter's data module that gives the training samples."""
    return "from_pairs" if config["data"].get("pairs") else "from_photographs"


def training_code(run: Run, config: Mapping[str, Any]) -> list[str]:
    """What the weights of a run follow from: the entries of `provenance.code_hash`."""
    data = chapter_module(run.chapter).DATA
    parts = [f"{data}:{n}" for n in (source_name(config), "objective", "validation_pairs")]
    return ["reblur.study.training:train_network", class_of(run.network), *parts]


def scoring_code(run: Run, tests: Mapping[str, Any]) -> list[str]:
    """What the scores of a run follow from besides its weights."""
    module = chapter_module(run.chapter).TESTS
    parts = ["reblur.evaluation.scoring:restorer_of", class_of(run.network), f"{module}:score"]
    return parts + [f"{module}:score_benchmark"] * bool(tests.get("kohler"))


def recipe(params: Params, profile: str, run: Run) -> dict[str, Any]:
    """Everything that a run's files follow from, as JSON values.

    Keys: `run` (its fields), `configuration` (what its chapter says, `seed` and `machine`),
    `trained_by` and `scored_by` (hashes of the code), `data` and `tests` (hashes of the data), and
    `identity`, a hash of all that the trained weights follow from. Two runs with one identity have
    the same weights.
    """
    chapter = chapter_module(run.chapter)
    config = chapter.configuration(params, profile, run)
    check_options(run, config)
    config |= {"seed": run.seed, "machine": params.profile(profile).machine.as_dict()}
    network = config["network"]
    network["options"] = {**NETWORKS[run.network][2], **network["options"]}
    tests = config.pop("tests")
    trained, tested = chapter.data_names({**config, "tests": tests})
    real = noted(profile)
    made = {
        "run": run.as_dict(),
        "configuration": config,
        "trained_by": code_hash(training_code(run, config)),
        "data": data_hashes(trained),
    }
    identity = sha256_of_value({k: made[k] for k in ("configuration", "trained_by", "data")})
    known = {name: real[name] for name in tested if name in real}
    return made | {
        "identity": identity,
        "tests": tests,
        "test_data": known | data_hashes(set(tested) - set(known)),
        "scored_by": code_hash(scoring_code(run, tests)),
    }


def check_options(run: Run, config: Mapping[str, Any]) -> None:
    """Refuse, before anything is trained, options that their own model does not know.

    Raises:
        ReblurError: an unknown option of the training, the network, the simulator or the objective,
            or a value that cannot be; it names the run.
    """
    try:
        TrainingOptions.from_dict(config["training"], "training")
        refuse_unknown(config["network"]["options"], network_options(run.network), "networks")
        if "motion" in config["data"]:
            MotionBlurOptions.from_dict(config["data"]["motion"], "motion")
        if "defocus" in config["data"]:
            DefocusOptions.from_dict(config["data"]["defocus"], "defocus")
        if run.chapter == "defocus":
            DefocusObjective.from_dict(config["objective"], "objective")
    except ReblurError as error:
        raise ReblurError(f"{run.name}: {error}") from None


def started_from(made: dict[str, Any], weights: Path) -> dict[str, Any]:
    """A recipe whose network starts from other weights: their hash is part of its identity."""
    start = {"file": str(Path(weights).resolve()), "sha256": sha256_of_file(weights)}
    identity = sha256_of_value([made["identity"], start["sha256"]])
    config = made["configuration"] | {"start": start}
    return made | {"configuration": config, "identity": identity}


def recipe_path(profile: str, name: str) -> Path:
    return project_root() / results_folder(profile) / "recipes" / f"{name}.json"


def weights_path(profile: str, run: Run) -> Path:
    return project_root() / results_folder(profile) / "weights" / f"{run.name}.safetensors"


def run_folder(profile: str, run: Run) -> Path:
    return project_root() / results_folder(profile) / run.folder


def scratch_folder(made: Mapping[str, Any]) -> Path:
    """Where a training keeps its resumable state: one folder an identity, never two in one."""
    return project_root() / "scratch" / made["identity"][:16]


def read_run(folder: Path) -> dict[str, Any] | None:
    """`run.json` of a run; None where there is none."""
    path = folder / "run.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def identities(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The recipe that a run was trained by, and the later one that it was confirmed for
    (`reblur.study.reproduce`)."""
    return (facts["identity"], facts.get("confirmed", {}).get("identity", ""))


def trained(profile: str, run: Run, made: Mapping[str, Any]) -> tuple[nn.Module, dict] | None:
    """(network, run.json) of a run that was trained by this very recipe; None where it was not."""
    from reblur.networks.weights import load_network

    facts, weights = read_run(run_folder(profile, run)), weights_path(profile, run)
    if facts is None or made["identity"] not in identities(facts) or not weights.is_file():
        return None
    if sha256_of_file(weights) != facts["weights_sha256"]:
        return None
    return load_network(weights)[0], facts


def make_run(
    profile: str, run: Run, made: Mapping[str, Any], device: str, **watching: Any
) -> tuple[nn.Module, pd.DataFrame]:
    """Train the run, unless its recipe has been trained already, score it, and write its files.

    Args:
        made: its `recipe`.
        watching: passed to `reblur.training.train`; changes no number.

    Returns:
        The network and its scores, long.
    """
    network, facts = trained(profile, run, made) or train_run(
        profile, run, made, device, **watching
    )
    restorer = restorer_of(network, device=device, channels_last=True)
    scores, costs = scored(run, restorer, network, made, device)
    folder = run_folder(profile, run)
    write_long(scores, folder / "scores.csv")
    write_long(costs, folder / "cost.csv")
    tested = {key: made[key] for key in ("tests", "test_data", "scored_by")}
    write_json(folder / "run.json", facts | tested | {"run": run.as_dict()})
    return network, scores


def train(made: Mapping[str, Any], device: str, folder: Path, **watching: Any) -> TrainingResult:
    """Train (or go on training) the network of a recipe; the exact state stands in `folder`."""
    data, config = data_module(Run(**made["run"])), made["configuration"]
    source, objective = getattr(data, source_name(config))(config), data.objective(config)
    held_out = data.validation_pairs(config)
    return train_network(config, source, objective, held_out, folder, device, **watching)


def scored(
    run: Run, restorer: Restorer, network: nn.Module | None, made: Mapping[str, Any], device: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(scores, costs) of a restorer on the tests of the run's recipe; Köhler's benchmark, which has
    a protocol of its own, where it is asked for."""
    tests = tests_module(run)
    found = tests.score(restorer, network, made, device)
    if not made["tests"].get("kohler"):
        return found
    scores, costs = zip(found, tests.score_benchmark(restorer), strict=True)
    return pd.concat(scores, ignore_index=True), pd.concat(costs, ignore_index=True)


def train_run(
    profile: str, run: Run, made: Mapping[str, Any], device: str, **watching: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """Train (or go on training) a run; write its weights and logs.

    Returns:
        The network, and what `run.json` says of the training.
    """
    refuse_changed(made["data"])
    config, result = made["configuration"], train(made, device, scratch_folder(made), **watching)
    folder, weights = run_folder(profile, run), weights_path(profile, run)
    folder.mkdir(parents=True, exist_ok=True)
    save_network(result.network, weights, run=run.as_dict(), **trained_on(made["data"]))
    for log in (result.log, result.validation):
        if log.is_file():
            with atomic_path(folder / log.name) as copy:
                copy.write_bytes(log.read_bytes())
    if "start" in config:  # where the file stood on this machine is nobody's matter
        start = config["start"] | {"file": Path(config["start"]["file"]).name}
        made = {**made, "configuration": {**config, "start": start}}
    return result.network, {
        **{key: made[key] for key in ("configuration", "identity", "trained_by", "data")},
        "code": code_state(),
        "parameters": count_parameters(result.network),
        "macs": count_macs(result.network, *MACS_AT),
        "macs_at": list(MACS_AT),
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "weights_sha256": sha256_of_file(weights),
        "machine": machine(),
        "versions": library_versions(),
    }


def score_blurred(profile: str, run: Run, made: Mapping[str, Any], device: str) -> pd.DataFrame:
    """Score the blurred input itself on the test sets of `run`'s recipe; what its chapter measures
    of the pairs themselves (`measures_of_pairs`) stands below."""
    tests = tests_module(run)
    scores, _ = scored(run, do_nothing, None, made, device)
    if hasattr(tests, "measures_of_pairs"):
        scores = pd.concat([scores, tests.measures_of_pairs(made)], ignore_index=True)
    write_long(scores, run_folder(profile, blurred_input(run.chapter, run.task)) / "scores.csv")
    return scores


def write_long(frame: pd.DataFrame, path: Path) -> None:
    """Write long scores with a fixed number of decimals: the same restorations, the same bytes."""
    decimals = [4 if m.startswith("psnr") or m == "seconds" else 6 for m in frame["metric"]]
    values = [f"{v:.{places}f}" for v, places in zip(frame["value"], decimals, strict=True)]
    text = frame.assign(value=values).to_csv(index=False, lineterminator="\n")
    write_text(path, text)
