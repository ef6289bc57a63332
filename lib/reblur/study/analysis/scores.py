"""The scores of a study as one long frame: the run's fields, then what was measured.

    results/<profile>/
      runs/<chapter>/<slug>/seed_<n>/    scores.csv, run.json, log.csv, validation.csv
      blurred/<chapter>/[<task>/]        scores.csv of the blurred input itself
      targets/<task>-<seed>/             measures.csv of sets of pairs, by source and t0

`scores.csv` has the columns of `SCORE_COLUMNS`. A metric that is not available has no row; an
infinite PSNR (two equal images) is written `inf`. What a run is, is known from the list of runs
that was asked for, and never read out of a folder's name.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from reblur.errors import ReblurError
from reblur.files import atomic_path
from reblur.study.rows import CONFIGURATION_FIELDS, RUN_FIELDS, Run, blurred_input

#: dataset: the test set; photograph: what is drawn in statistics, with all its images (a sequence,
#: for videos); image: unique in its data set.
SCORE_COLUMNS = ("dataset", "photograph", "image", "metric", "value")
FACT_COLUMNS = (*RUN_FIELDS, "done", "steps", "seconds", "parameters", "macs", "samples", "commit")
#: The variant of a set of training pairs that was measured, and of no network.
PAIRS = "pairs"

Which = Run | Mapping[str, Any]


def read_scores(root: Path, runs: Sequence[Run]) -> pd.DataFrame:
    """Every score of `runs` and of their chapters' blurred inputs; columns RUN_FIELDS +
    SCORE_COLUMNS. A run without scores.csv has no rows: `read_facts` lists it as not done.

    Args:
        root: results/<profile>.

    Raises:
        ReblurError: a file is broken (its name and the remedy are in the message).
    """
    inputs = dict.fromkeys(blurred_input(run.chapter, run.task) for run in runs)
    paths = {run: Path(root) / run.folder / "scores.csv" for run in (*inputs, *runs)}
    found = [(run, read_long(path)) for run, path in paths.items() if path.is_file()]
    return _joined(found, SCORE_COLUMNS)


def read_measures(root: Path, runs: Sequence[Run]) -> pd.DataFrame:
    """What was measured of the sets of training pairs of the tasks and seeds of `runs`, in the
    columns of `read_scores`: variant `pairs`, and the source and t0 that the file names.

    Raises:
        ReblurError: a file is broken.
    """
    found = []
    for chapter, task, seed in dict.fromkeys((run.chapter, run.task, run.seed) for run in runs):
        path = Path(root) / "targets" / f"{task}-{seed}" / "measures.csv"
        if not path.is_file():
            continue
        table = read_long(path, ("source", "t0"))
        for (source, t0), rows in table.groupby(["source", "t0"], sort=False):
            start = _start(path, t0)
            found.append((Run(chapter, PAIRS, "none", seed, task, None, source, start), rows))
    return _joined(found, SCORE_COLUMNS)


def denoiser_seconds(root: Path, runs: Sequence[Run]) -> float:
    """How long the diffusion models of the tasks and seeds of `runs` trained, those that are here.

    Raises:
        ReblurError: a run.json of a target is broken.
    """
    targets = dict.fromkeys(f"{run.task}-{run.seed}" for run in runs if run.task is not None)
    paths = [Path(root) / "targets" / target / "run.json" for target in targets]
    there = [path for path in paths if path.is_file()]
    return sum((float(_read_json(path, ["seconds"])["seconds"]) for path in there), 0.0)


def write_scores(path: Path, scores: pd.DataFrame, fields: Sequence[str] = ()) -> None:
    """Write the `SCORE_COLUMNS` of a frame, whole or not at all; rows without a value are left out.

    Args:
        fields: columns to write before them (`source`, `t0` of sets of pairs).
    """
    table = scores.loc[scores["value"].notna(), [*fields, *SCORE_COLUMNS]]
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")


def read_facts(root: Path, runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run that was asked for: FACT_COLUMNS. A missing run stays, with `done` False.

    samples: steps × batch, what the network saw; seconds: of its training; macs: of restoring.

    Raises:
        ReblurError: a run.json is not JSON, lacks a key, or describes another run.
    """
    rows = []
    for run in runs:
        folder = Path(root) / run.folder
        row: dict[str, Any] = {"done": False}
        if (folder / "run.json").is_file():
            facts = _read_run(folder / "run.json", run)
            row = {key: facts[key] for key in ("steps", "seconds", "parameters", "macs")}
            row["samples"] = row["steps"] * facts["configuration"]["training"]["batch"]
            row |= {
                "commit": facts["code"].get("commit"),
                "done": (folder / "scores.csv").is_file(),
            }
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(FACT_COLUMNS[len(RUN_FIELDS) :]))
    whole = dict.fromkeys(("steps", "parameters", "macs", "samples"), "Int64")
    table = table.astype({"done": bool, "seconds": float, "commit": "str"} | whole)
    return pd.concat([run_frame(runs), table], axis=1)


def costs(facts: pd.DataFrame) -> pd.DataFrame:
    """One row a configuration: CONFIGURATION_FIELDS, parameters, macs (in units of 1e9), steps,
    hours (of a training), unequal and trained ('2 of 3' seeds).

    steps: of the shortest training, where the seeds differ. unequal: whether the configuration saw
    another number of samples than most of those in `facts`, or its seeds differ.
    """
    fields = list(CONFIGURATION_FIELDS)
    usual = facts["samples"].mode()
    groups = facts.groupby(fields, sort=False, dropna=False)
    table = groups.agg(
        parameters=("parameters", "max"), macs=("macs", "max"), steps=("steps", "min"),
        hours=("seconds", "mean"), least=("samples", "min"), most=("samples", "max"),
        done=("done", "sum"), asked=("done", "size"),
    ).reset_index()  # fmt: skip
    table["macs"], table["hours"] = table["macs"].astype(float) / 1e9, table["hours"] / 3600
    common = usual.iloc[0] if len(usual) else 0
    same = (table["least"] == common) & (table["most"] == common)
    table["unequal"] = table["least"].notna() & ~same.fillna(False)
    table["trained"] = [f"{d} of {a}" for d, a in table[["done", "asked"]].itertuples(index=False)]
    table["t0"] = start_steps(table["t0"])
    return table.drop(columns=["least", "most", "done", "asked"])


def read_curves(root: Path, runs: Sequence[Run]) -> pd.DataFrame:
    """The learning curves of `runs`: RUN_FIELDS + step, curve, value.

    curve: each column of log.csv (loss, lr, …; its own PSNR, on training crops, is
    `training_psnr`), and `psnr` and `seconds` of validation.csv.

    Raises:
        ReblurError: a file cannot be read, or has no column `step`.
    """
    found = []
    for run in runs:
        for name in ("log.csv", "validation.csv"):
            path = Path(root) / run.folder / name
            if not path.is_file():
                continue
            table = _read_csv(path, {})
            if "step" not in table:
                raise ReblurError(f"{path}: lacks the column step; run it again.")
            if name == "log.csv":
                table = table.rename(columns={"psnr": "training_psnr"})
            curves = table.melt("step", var_name="curve").dropna(subset="value")
            found.append((run, curves.astype({"value": float})))
    return _joined(found, ("step", "curve", "value"))


def run_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """The fields of `runs` as a frame; what is not set is missing; t0 is a whole number or
    "drawn"."""
    frame = pd.DataFrame([run.as_dict() for run in runs], columns=list(RUN_FIELDS))
    words = dict.fromkeys(("chapter", "task", "variant", "network", "source"), "str")
    frame["t0"] = start_steps([run.t0 for run in runs])
    return frame.astype({**words, "level": "Int64", "seed": int})


def start_steps(values: Iterable[Any]) -> pd.Series:
    """A column of t0: whole numbers, "drawn", or None."""
    found = [None if pd.isna(v) else v if isinstance(v, str) else int(v) for v in values]
    return pd.Series(found, dtype=object)


def matching(frame: pd.DataFrame, which: Which) -> pd.Series:
    """Which rows of a frame have the fields of `which`: a run (all but its seed), or a mapping of
    some fields (`{"variant": "full", "level": 8}`), where None means that a field is not set."""
    fields = which.as_dict() if isinstance(which, Run) else dict(which)
    unknown = set(fields) - set(RUN_FIELDS)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: no field of a run")
    found = pd.Series(True, index=frame.index)
    for name, value in fields.items():
        if isinstance(which, Run) and name not in CONFIGURATION_FIELDS:
            continue
        column = frame[name]
        found &= column.isna() if value is None else (column == value).fillna(False).astype(bool)
    return found


def _joined(found: Sequence[tuple[Run, pd.DataFrame]], columns: Sequence[str]) -> pd.DataFrame:
    """Tables below each other, each beside the fields of its run."""
    if not found:
        typed = pd.DataFrame(columns=list(columns)).astype({"value": float})
        return pd.concat([run_frame([]), typed], axis=1)
    places = np.repeat(np.arange(len(found)), [len(table) for _, table in found])
    fields = run_frame([run for run, _ in found]).take(places).reset_index(drop=True)
    table = pd.concat([table[list(columns)] for _, table in found], ignore_index=True)
    return pd.concat([fields, table], axis=1)


def read_long(path: Path, fields: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of a scores.csv: `fields` and `SCORE_COLUMNS`.

    Raises:
        ReblurError: a column is missing, a value is no score, or an image is scored twice.
    """
    columns = [*fields, *SCORE_COLUMNS]
    table = _read_csv(path, dict.fromkeys(columns, str))
    lacking = [name for name in columns if name not in table]
    if lacking:
        raise ReblurError(f"{path}: lacks {', '.join(lacking)}; score it again.")
    values = pd.to_numeric(table["value"], errors="coerce")
    if values.isna().any() or (values == -np.inf).any():
        row = int(np.argmax(values.isna() | (values == -np.inf)))
        wrong = table["value"].iloc[row]
        raise ReblurError(f"{path}: row {row + 2}: {wrong!r} is no score; score it again.")
    if table.duplicated([*fields, "dataset", "image", "metric"]).any():
        raise ReblurError(f"{path}: scores an image twice by one metric; score it again.")
    homes = table[["dataset", "image", "photograph"]].drop_duplicates()
    if homes.duplicated(["dataset", "image"]).any():
        raise ReblurError(f"{path}: an image belongs to two photographs; score it again.")
    return table[columns].assign(value=values.astype(float))


def _read_csv(path: Path, types: Mapping[str, Any]) -> pd.DataFrame:
    """A CSV; what `types` names is text, kept as it is ('000051' is a name, and 'NA' too)."""
    try:
        if types:
            return pd.read_csv(path, dtype=dict(types), keep_default_na=False)
        return pd.read_csv(path)
    except (ValueError, pd.errors.ParserError) as error:
        reason = " ".join(str(error).split())
        raise ReblurError(f"{path}: cannot be read ({reason}); run it again.") from error


def _read_run(path: Path, run: Run) -> dict[str, Any]:
    keys = ("run", "configuration", "code", "steps", "seconds", "parameters", "macs")
    facts = _read_json(path, keys)
    if "batch" not in facts["configuration"].get("training", {}):
        raise ReblurError(f"{path}: lacks configuration.training.batch; run it again.")
    if facts["run"] != run.as_dict():
        raise ReblurError(f"{path}: describes another run than {run.name}; run it again.")
    return facts


def _read_json(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReblurError(f"{path}: is not valid JSON; run it again.") from error
    if lacking := [key for key in keys if key not in facts]:
        raise ReblurError(f"{path}: lacks {', '.join(lacking)}; run it again.")
    return facts


def _start(path: Path, text: str) -> int | Literal["drawn"] | None:
    if text == "drawn":
        return "drawn"
    try:
        return int(text) if text else None
    except ValueError:
        raise ReblurError(
            f"{path}: t0 {text!r} is neither a whole number nor 'drawn'; measure it again."
        ) from None
