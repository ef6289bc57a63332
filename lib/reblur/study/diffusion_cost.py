"""Tables of chapter 3: what sampling costs, how the DDPMs were trained, and every run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reblur.study.comparisons import DASH, register
from reblur.study.diffusion_results import (
    TASKS,
    data_folder,
    mean_of,
    metric_columns,
    metrics_in_order,
    metrics_in_words,
    read_cost,
    restorer_of,
    source_of,
    task_of,
)
from reblur.study.diffusion_tables import RESTORER, SOURCE, TASK, named
from reblur.study.params import run_folder
from reblur.study.results import Study, read_csv
from reblur.study.tables import MISSING, NOT_AVAILABLE, Column, Table


@register
def cost_table(study: Study, *, stem: str, title: str, tasks: Sequence[str]) -> Table:
    """What a refined image costs by sampler, and how near to the target it comes."""
    found = {task: read_cost(study, task) for task in tasks}
    metrics = metrics_in_order([name for table in found.values() for name in table["metric"]])
    rows = []
    for task, cost in found.items():
        name = TASKS.get(task, task)
        if not len(cost):
            rows.append({"task": name, "sampler": DASH, "status": MISSING})
        for (start, sampler, calls), same in cost.groupby(["t0", "sampler", "calls"], sort=False):
            plain = cost[(cost["t0"] == start) & (cost["calls"] == start + 1)]["images_per_second"]
            rate = float(same["images_per_second"].mean())
            row = {"task": name, "sampler": sampler, "t0": start, "calls": calls, "rate": rate}
            row["times"] = rate / float(plain.mean()) if len(plain) else float("nan")
            row |= {metric: mean_of(same, metric, "distance") for metric in metrics}
            rows.append(row | {"device": same["device"].iloc[0], "status": "done"})
    columns = [
        TASK,
        Column("sampler", "sampler", "text"),
        Column("t₀", "t0", "count"),
        Column("network calls an image", "calls", "count"),
        Column("images/s", "rate", "number", 2),
        Column("times as fast", "times", "number", 1, DASH),
    ]
    columns += metric_columns(metrics)
    columns += [Column("device", "device", "text", absent=DASH)]
    caption = (
        "Times as fast: as plain ancestral sampling from the same t₀, which asks the network once "
        f"a step, t₀ + 1 times. Distances: of the refined images to the target. "
        f"{metrics_in_words(metrics)}"
    )
    return Table(stem, title, caption, pd.DataFrame(rows), tuple(columns))


@register
def denoisers_table(study: Study, *, stem: str, title: str, tasks: Sequence[str]) -> Table:
    """Each task's DDPM: its size, its training, and whether its loss fell."""
    rows = []
    for task in tasks:
        folder = data_folder(study) / task / "denoiser"
        row: dict[str, Any] = {"task": TASKS.get(task, task), "falls": MISSING, "status": MISSING}
        if (folder / "run.json").is_file():
            facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            row |= {key: facts.get(key) for key in ("parameters", "steps", "seconds")}
            network = facts.get("configuration", {}).get("network", {})
            row |= {"network": network.get("name", ""), "status": "done", "falls": NOT_AVAILABLE}
        rows.append(row | _fall(folder))
    columns = (
        TASK,
        Column("network", "network", "text", absent=DASH),
        Column("params", "parameters", "count"),
        Column("steps", "steps", "count"),
        Column("training (s)", "seconds", "count"),
        Column("loss, first tenth", "first", "number", 4),
        Column("loss, last tenth", "last", "number", 4),
        Column("falls", "falls", "text"),
    )
    caption = (
        "One denoising network a task, trained on the target's low-quality images alone. Loss: "
        "mean squared error of the predicted noise, over the first and the last tenth of the "
        "logged steps."
    )
    return Table(stem, title, caption, pd.DataFrame(rows), columns)


def _fall(folder: Path) -> dict[str, Any]:
    if not (folder / "log.csv").is_file():
        return {}
    loss = read_csv(folder / "log.csv")["loss"]
    tenth = max(1, len(loss) // 10)
    first, last = float(loss[:tenth].mean()), float(loss[-tenth:].mean())
    return {"first": first, "last": last, "falls": "yes" if last < first else "no"}


@register
def runs_table(study: Study, *, stem: str, title: str) -> Table:
    """Every arm of the chapter, real tasks too: what was trained, and how much of it is there."""
    rows = []
    for arm in study.variants:
        asked = study.seeds_asked(arm)
        done = [study.facts[arm, seed] for seed in asked if (arm, seed) in study.facts]
        files = ("scores.csv", "realism.csv")
        judged = [
            any((run_folder(study.root, arm, seed) / name).is_file() for name in files)
            for seed in asked
        ]
        row = {"variant": arm, **named(task_of(arm), source_of(arm)), "restorer": restorer_of(arm)}
        row |= {key: study.fact(arm, key) for key in ("parameters", "macs", "steps")}
        row["seconds"] = float(np.mean([facts["seconds"] for facts in done])) if done else None
        row |= {"seeds": f"{len(done)} of {len(asked)}", "scored": f"{sum(judged)} of {len(asked)}"}
        rows.append(row | {"status": "done" if done else MISSING})
    columns = (
        TASK,
        RESTORER,
        SOURCE,
        Column("params", "parameters", "count"),
        Column("MACs", "macs", "giga"),
        Column("steps", "steps", "count"),
        Column("training (s)", "seconds", "count"),
        Column("trained", "seeds", "text"),
        Column("scored", "scored", "text"),
    )
    caption = "Trained and scored: seeds of those asked for. Training: mean seconds of a run."
    return Table(stem, title, caption, pd.DataFrame(rows), columns)
