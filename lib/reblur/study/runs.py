"""From params.yaml to a trained network: what a run is made of, and what it leaves behind."""

import json
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from reblur.errors import ReblurError
from reblur.evaluation.scoring import METRICS, restorer_of
from reblur.files import atomic_path, sha256_of_file, sha256_of_value, write_json
from reblur.losses.multi_scale import multi_scale_objective
from reblur.losses.reblurring import DefocusObjective
from reblur.measures.full_reference import psnr
from reblur.networks import build_network
from reblur.networks.complexity import count_macs, count_parameters
from reblur.networks.weights import load_network, save_network
from reblur.study.data import SYNTHETIC, data_hashes
from reblur.study.params import (
    Run,
    chapter_of,
    data_of,
    profile_of,
    project_root,
    refuse_unknown,
    steps_of,
)
from reblur.study.sources import open_made_pairs, synthesised_pairs, training_source
from reblur.training import TrainingOptions, TrainingResult, train

#: Multiply-adds are counted at this size, so that they compare across profiles.
MACS_AT = (720, 1280)


def configuration(params: dict[str, Any], run: Run) -> dict[str, Any]:
    """Everything that the bytes of a trained network hang on, as one plain dict.

    The keys: `network` (name, options), `training` (TrainingOptions), `data`, `crop`, `seed`,
    `machine` and `data_hashes`; in chapter 2 also `objective` (DefocusObjective), in chapter 3
    `task`. Two runs with equal configurations give equal networks.

    Raises:
        ReblurError: an unknown profile, variant or option of the objective.
    """
    chapter = chapter_of(params, run.variant)
    profile = profile_of(params, run.profile)
    part, section = profile[chapter], data_of(params, run.profile, chapter)
    options = dict(params[chapter]["variants"][run.variant])
    if chapter == "diffusion":
        return _of_pair_set(params, run, options.pop("task"), options)
    name, objective = options.pop("network"), options.pop("objective", None)
    training = {**part["training"], "steps": steps_of(part, run.variant)}
    data = {k: v for k, v in section.items() if k not in ("synthetic", "real", "kohler")}
    if run.level is not None:
        data = misaligned(data, run.level)
    hashes = data_hashes(section)
    config = {
        "variant": run.arm,
        "network": {"name": name, "options": {**part["networks"], **options}},
        "training": training,
        "data": data,
        "crop": part["crop"],
        "seed": run.seed,
        "machine": profile["machine"],
        "data_hashes": {k: hashes[k] for k in data.get("photographs", [data.get("pairs")])},
    }
    return config if objective is None else guided(config, objective, part)


def _of_pair_set(
    params: dict[str, Any], run: Run, task: str, restorer: dict[str, Any]
) -> dict[str, Any]:
    """`configuration` of a run of chapter 3: its training pairs are a data set that was made."""
    from reblur.study.diffusion_data import pair_set_of, task_of  # diffusers: a second

    profile = profile_of(params, run.profile)
    part = profile["diffusion"]
    name = restorer["network"]
    data = pair_set_of(params, run.profile, task, str(run.level))
    return {
        "variant": run.arm,
        "task": task,
        "network": {
            "name": name,
            "options": {
                **part["networks"][name],
                **{k: v for k, v in restorer.items() if k != "network"},
            },
        },
        "training": {**part["training"], "steps": steps_of(part, run.variant)},
        "data": data,
        "crop": min(part["crop"], task_of(params, run.profile, task).high),
        "seed": run.seed,
        "machine": profile["machine"],
        "data_hashes": {data["pair_set"]: data["pair_set_sha256"]},
    }


def misaligned(data: dict[str, Any], level: int) -> dict[str, Any]:
    """A data section whose training pairs are misaligned by `level` pixels.

    Raises:
        ReblurError: pairs that exist, for which only the level 0 (as they are) is possible.
    """
    if "pairs" not in data:
        return {**data, "defocus": {**data["defocus"], "misalignment_px": level}}
    if level:
        raise ReblurError(
            f"{data['pairs']}: its pairs are as they are and cannot be misaligned by {level} px; "
            "give the level 0, or synthesise the pairs from photographs."
        )
    return data


def guided(
    config: dict[str, Any], objective: dict[str, Any], part: dict[str, Any]
) -> dict[str, Any]:
    """A configuration with the objective of chapter 2, and the reblurring network if it needs one.

    Args:
        objective: what the variant changes in the defaults of `DefocusObjective`.
        part: the profile's part of the chapter. `phases`: shares of the steps, of the `warmup` and
            of what follows it, the `reblurring` network alone; `reblurring`: what the profile
            changes for variants that reblur.
    """
    known = [field.name for field in fields(DefocusObjective)]
    refuse_unknown(objective, known, f"objective of {config['variant']}")
    refuse_unknown(part["reblurring"], known, "reblurring")
    phases, steps = part["phases"], config["training"]["steps"]
    chosen = {"warmup_steps": round(phases["warmup"] * steps), **objective}
    reblurs = DefocusObjective(**chosen).reblurs
    if reblurs:
        alone = {"reblurring_steps": round(phases["reblurring"] * steps), **part["reblurring"]}
        chosen = {**alone, **chosen}
    network = config["network"]
    options = {**network["options"], "reblurring": reblurs}
    return {**config, "objective": chosen, "network": {**network, "options": options}}


def build_for(config: dict[str, Any]) -> nn.Module:
    """The untrained network of a configuration; its initial weights are a function of the seed."""
    network = config["network"]
    return build_network(network["name"], seed=config["seed"], **network["options"])


def scratch_folder(config: dict[str, Any]) -> Path:
    """Where a run keeps its resumable state: one folder a configuration, never two in one."""
    return project_root() / "scratch" / sha256_of_value(config)[:16]


def validation_pairs(config: dict[str, Any]) -> list:
    """The held-out pairs on which PSNR is followed while training; none where none are named."""
    if held_out := config["data"].get("validation_set"):
        return list(open_made_pairs(held_out))
    part = config["data"].get("validation")
    if not part:
        return []
    data = misaligned(config["data"], 0) if "objective" in config else config["data"]
    return list(synthesised_pairs(data, "validation", part["pairs"], part["size"], part["seed"]))


def mean_psnr(network: nn.Module, pairs: list, device: str) -> float:
    """Mean PSNR in dB of the network's restorations of `pairs`, as the tables count it."""
    restore = restorer_of(network, device=device, channels_last=True)
    return float(np.mean([psnr(pair.sharp, restore(pair.blurred)) for pair in pairs]))


def shared(options: TrainingOptions) -> TrainingOptions:
    """The options of one of the processes that `accelerate launch` started: its part of the batch.

    A run is the same run, to rounding, on any number of GPUs.

    Raises:
        ReblurError: the batch cannot be shared equally.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if options.batch % processes:
        raise ReblurError(
            f"a batch of {options.batch} cannot be shared by {processes} processes; start a "
            "number of them that divides it."
        )
    return replace(options, batch=options.batch // processes)


def train_run(config: dict[str, Any], device: str, **watching: Any) -> TrainingResult:
    """Train (or go on training) the run of `config`; the exact state stands in its scratch folder.

    Args:
        config: see `configuration`.
        device: "cpu" or "cuda".
        watching: passed to `train` (`validate`, `progress`, `watch`); changes no number.
    """
    options = shared(TrainingOptions.from_dict(config["training"]))
    source = training_source(config["data"], config["crop"])
    objective = config.get("objective")
    return train(
        build_for(config),
        source,
        multi_scale_objective if objective is None else DefocusObjective(**objective),
        options,
        seed=config["seed"],
        folder=scratch_folder(config),
        device=device,
        unused_parameters=objective is not None,  # its first phase does not reblur
        **watching,
    )


def save_run(folder: Path, config: dict[str, Any], result: TrainingResult, stamp: dict) -> None:
    """Write what a finished run of a restorer leaves (`save_training`), with its multiply-adds."""
    macs = count_macs(result.network, *MACS_AT)
    save_training(folder, config, result, stamp, macs=macs, macs_at=list(MACS_AT))


def save_training(
    folder: Path, config: dict[str, Any], result: TrainingResult, stamp: dict, **facts: Any
) -> str:
    """Write `weights.safetensors`, `log.csv`, `validation.csv` and `run.json` of a training.

    Args:
        facts: what else `run.json` holds.

    Returns:
        The SHA-256 of the weights.
    """
    network = result.network
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "weights.safetensors"
    save_network(network, weights, variant=config["variant"], seed=config["seed"])
    for log in (result.log, result.validation):
        if log.is_file():
            with atomic_path(folder / log.name) as copy:
                copy.write_bytes(log.read_bytes())
    sha256 = sha256_of_file(weights)
    write_json(
        folder / "run.json",
        {
            "variant": config["variant"],
            "seed": config["seed"],
            "configuration": config,
            "configuration_sha256": sha256_of_value(config),
            "parameters": count_parameters(network),
            "steps": result.steps,
            "seconds": result.seconds,
            "weights_sha256": sha256,
            "provenance": stamp,
            **facts,
        },
    )
    return sha256


def load_run(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The trained network of a finished run, and its `run.json`."""
    network, _ = load_network(folder / "weights.safetensors")
    return network, json.loads((folder / "run.json").read_text(encoding="utf-8"))


def write_summary(run_folder: Path, blurred: Path) -> pd.DataFrame:
    """Write a run's `metrics.json` from its scores: means and gains by test set.

    `psnr_gain` at its top is the gain in dB on held-out synthetic blur: what `reblur deblur`
    chooses weights by. A metric that is not available is left out.

    Args:
        blurred: the folder with the chapter's scores of doing nothing.

    Returns:
        The same as a table, a row each test set.
    """
    text = {"image": str, "scene": str}
    scores = pd.read_csv(run_folder / "scores.csv", dtype=text)
    nothing = pd.read_csv(blurred / "scores.csv", dtype=text)
    means = scores.groupby("dataset", sort=False)[list(METRICS)].mean()
    blurred = nothing.groupby("dataset", sort=False)[list(METRICS)].mean()
    blurred = blurred.reindex(means.index)
    if blurred["psnr"].isna().any():
        raise ReblurError(f"{run_folder}: was scored on other test sets; evaluate the run again.")
    means["psnr_gain"] = means["psnr"] - blurred["psnr"]
    summary: dict[str, Any] = {
        name: {key: round(float(value), 4) for key, value in row.items() if not np.isnan(value)}
        for name, row in means.iterrows()
    }
    if not summary:  # photographs without a truth have no such scores
        write_json(run_folder / "metrics.json", {})
        return means
    first = SYNTHETIC if SYNTHETIC in summary else next(iter(summary))
    write_json(run_folder / "metrics.json", {"psnr_gain": summary[first]["psnr_gain"], **summary})
    return means
