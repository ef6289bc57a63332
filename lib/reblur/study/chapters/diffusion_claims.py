"""Chapter 3's names, the rule that chooses the start step, and what is put to the test."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reblur.study.analysis.claims import Claim, Side
from reblur.study.analysis.scores import PAIRS, start_steps
from reblur.study.rows import BLURRED

PAPER = "Diffusion-synthesised training pairs, arXiv 2303.06994"
CLEAN, HANDMADE, INITIAL, FITTED = "clean", "handmade", "softened", "fitted"
REFINED, ORACLE = "refined", "oracle"
TARGET = "target"  # the target's images against each other
#: The data set of what was measured of pairs; a sampler's cost has the sampler's name.
MEASURED = "pairs"
SOURCES = {
    CLEAN: "bicubic",
    HANDMADE: "Real-ESRGAN-like",
    INITIAL: "mild",
    FITTED: "fitted by hand",
    REFINED: "diffusion-refined",
    ORACLE: "true camera",
    TARGET: "target's halves",
}
#: Names of sources whose recipe differs by the task: those that keep the size are clean by one
#: Gaussian blur, and faces and deblurring have other hand-made chains than Real-ESRGAN's.
OF_TASK = {
    ("deblur", CLEAN): "Gaussian blur",
    ("real_faces", CLEAN): "Gaussian blur",
    ("deblur", HANDMADE): "BSRGAN-like",
    ("faces", HANDMADE): "GFPGAN-like",
    ("real_faces", HANDMADE): "GFPGAN-like",
}
RESTORERS = {
    "rrdb": "RRDB",
    "nafnet": "NAFNet",
    "sr_edrb3": "SR-EDRB3",
    "sr_edrb3_skip": "SR-EDRB3 + skip",
}
DATASETS = {
    "superres": "super-resolution",
    "deblur": "deblurring",
    "faces": "faces",
    "real_superres": "real photographs",
    "real_faces": "real faces",
}


def label(fields: Mapping[str, Any]) -> str:
    """What people call a configuration: its restorer and its source of pairs, 'RRDB: mild'."""
    if fields["variant"] == BLURRED:
        return "low-quality input"
    name = source_label(fields.get("task"), fields.get("source"), fields.get("t0"))
    restorer = RESTORERS.get(fields["variant"], fields["variant"])
    return name if fields["variant"] == PAIRS else f"{restorer}: {name}"


def pairs_label(fields: Mapping[str, Any]) -> str:
    """`label` where all configurations have one restorer."""
    if fields["variant"] == BLURRED:
        return label(fields)
    return source_label(fields["task"], fields["source"], fields["t0"])


def source_label(task: str | None, source: str | None, t0: Any = None) -> str:
    """What people call a source of pairs: 'mild', 'diffusion-refined, t₀ = 100'."""
    name = OF_TASK.get((task or "", source or "")) or SOURCES.get(source or "", str(source))
    if pd.isna(t0):
        return name
    return f"{name}, t₀ {'drawn' if t0 == 'drawn' else f'= {t0}'}"


def trade_off(measured: pd.DataFrame, task: str, metric: str, bound: float) -> pd.DataFrame:
    """How near each source of a task comes to the target, and how far its content moved: `label`,
    `panel`, `source`, `t0`, `distance` and `deviation` with _low and _high, `floor`, `chosen`.

    The floor is the distance of the true camera's pairs, whose content is that of the other
    sources; of a real target, that of its images against each other.

    chosen: by the rule, which was fixed before anything was measured. Of the refined sources and
    the images that refinement starts from (t₀ = 0) those count whose content deviates from the
    latter by at most `bound`; the smallest t₀ is chosen whose distance lies within the interval of
    the smallest distance.

    Args:
        measured: `summarise` of `read_measures`.
        metric: the distance.
    """
    here = measured[(measured["task"] == task) & (measured["dataset"] == MEASURED)]
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    for row in here[here["variant"] == PAIRS].to_dict("records"):
        key = row["source"], None if pd.isna(row["t0"]) else row["t0"]
        if row["metric"] == metric:
            found.setdefault(key, {})["distance"] = row["mean"]
        elif row["metric"] == f"{metric}_deviation":
            found.setdefault(key, {})["spread"] = 1.96 * row["mean"]
        elif row["metric"] == "content_deviation":
            ends = {f"deviation_{end}": row[end] for end in ("low", "high")}
            found.setdefault(key, {}).update({"deviation": row["mean"], **ends})
    halves = found.pop((TARGET, None), {})
    floor = found.get((ORACLE, None), halves).get("distance", float("nan"))
    for values in found.values():
        spread, middle = values.pop("spread", float("nan")), values.get("distance", float("nan"))
        values |= {"distance_low": max(middle - spread, 0.0), "distance_high": middle + spread}
    records = [
        {
            "label": source_label(task, source, t0) + ", t₀ = 0" * (source == INITIAL),
            "panel": DATASETS.get(task, task),
            "source": source,
            "t0": t0,
            "floor": floor,
            **values,
        }
        for (source, t0), values in found.items()
    ]
    columns = ["label", "panel", "source", "t0", "distance", "distance_high", "deviation", "floor"]
    frame = pd.DataFrame(records, columns=None if records else columns)
    frame["t0"] = start_steps(frame["t0"])
    best = _best(frame, bound, (INITIAL, REFINED))
    return frame.assign(chosen=[n == best for n in frame.index])


def _best(frame: pd.DataFrame, bound: float, sources: Iterable[str]) -> Any:
    """The index of the rule's choice among `sources`; None if there is none."""
    kept = []
    for index, row in frame.iterrows():
        start = 0 if row["source"] == INITIAL else row["t0"]
        counts = row["source"] in sources and isinstance(start, int)
        if counts and pd.notna(row["distance"]) and row["deviation"] <= bound:
            kept.append((row["distance"], start, index))
    if not kept:
        return None
    nearest = frame.loc[min(kept)[2]]
    reach = max(nearest["distance"], np.nan_to_num(nearest["distance_high"], nan=0.0))
    return min((start, index) for distance, start, index in kept if distance <= reach)[1]


def best_start(frame: pd.DataFrame, bound: float) -> int | None:
    """The rule's choice among the refined sources alone; None if none is within the bound.

    Args:
        frame: `trade_off`.
    """
    index = _best(frame, bound, (REFINED,))
    return None if index is None else int(frame.loc[index, "t0"])


def rule_in_words(frame: pd.DataFrame, bound: float) -> str:
    """What the rule chooses, and what refining the images changed; '' where nothing was measured.

    Args:
        frame: `trade_off`.
    """
    if frame.empty:
        return ""
    task, chosen = frame["panel"].iloc[0].capitalize(), frame[frame["chosen"]]
    if chosen.empty:
        return f"{task}: no source was measured within the bound."
    row, start = chosen.iloc[0], best_start(frame, bound)
    name = "not to refine (t₀ = 0)" if row["source"] == INITIAL else f"t₀ = {row['t0']}"
    said = f"{task}: the rule chooses {name}, at a distance of {row['distance']:.3g}"
    said += f" (floor {row['floor']:.3g})" if pd.notna(row["floor"]) else ""
    if start is None:
        return f"{said}; no refined source keeps its content within the bound."
    if row["source"] == INITIAL:
        return f"{said}; of the refined sources within the bound it would take t₀ = {start}."
    mild = frame.loc[frame["source"] == INITIAL, "distance"]
    return f"{said}; unrefined pairs are at {mild.iloc[0]:.3g}." if len(mild) else f"{said}."


def claims(
    task: str, variant: str, sources: Sequence[tuple[str, Any]], start: int | None
) -> list[Claim]:
    """What is put to the test for a task with a hidden camera, with one restorer.

    Args:
        sources: those of the task's pairs that were asked for, with their t₀.
        start: `best_start`; None: what is claimed of refined pairs cannot be told.
    """
    place, restorer = DATASETS.get(task, task), RESTORERS.get(variant, variant)

    def side(source: str, t0: Any = None) -> dict[str, Any]:
        return {"task": task, "variant": variant, "source": source, "t0": t0}

    def claim(key: str, text: str, by: str, ours: Side, *theirs: Side, asked: str = "") -> Claim:
        words = f"{place.capitalize()}, {restorer}: {text}"
        pairs = tuple((ours, other) for other in theirs)
        return Claim(f"{task}_{key}", words, by, "greater", pairs, task, question=asked)

    plain, hand = source_label(task, CLEAN), source_label(task, HANDMADE)
    found = []
    if start is not None:
        ours, refined = side(REFINED, start), f"diffusion-refined pairs (t₀ = {start})"
        found = [
            claim(
                "softened",
                f"{refined} beat the mild degradation that they start from.",
                PAPER,
                ours,
                side(INITIAL),
                asked=f"{place.capitalize()}: do diffusion-refined pairs beat the degradation that "
                "they start from?",
            ),
            claim("handmade", f"{refined} beat {hand} ones.", PAPER, ours, side(HANDMADE)),
            claim(
                "fitted",
                f"{refined} beat a hand-made degradation that is fitted to the same images.",
                "this study",
                ours,
                side(FITTED),
            ),
        ]
    others = [side(*source) for source in sources if source[0] != ORACLE]
    return [
        *found,
        claim(
            "clean",
            f"{hand} pairs beat {plain}.",
            "this study",
            side(HANDMADE),
            side(CLEAN),
        ),
        claim(
            "oracle",
            "the true camera's pairs beat every other source.",
            "this study",
            side(ORACLE),
            *others,
        ),
    ]
