"""Chapter 2: how far may a training pair be off, and what does reblurring win back?"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from reblur.errors import ReblurError
from reblur.study.analysis.claims import Claim, Side
from reblur.study.chapters.scale_recurrent import data_names
from reblur.study.params import Params, merged
from reblur.study.rows import BLURRED, Run

CHAPTER = "defocus"
TITLE = "Reblurring-guided learning"
DATA, TESTS = "reblur.study.data.triplets", "reblur.study.data.triplet_tests"

BASELINE, FULL = "baseline", "full"
STEPS = (BASELINE, "flow", "mask", "reblurring", FULL)  # each adds a term
PAPER = "reblurring-guided learning (arXiv 2409.17792)"
MARGIN = 0.1  # dB: what a misalignment 'costs' at least, fixed before any run
LABELS = {
    BLURRED: "blurred input",
    "aligned": "aligned pairs",
    "baseline": "baseline",
    "flow": "+ flow",
    "mask": "+ mask",
    "reblurring": "+ reblurring",
    "full": "full method",
    "matched": "matched reblurring (ours)",
    "baseline_noprior": "baseline, no prior",
    "flow_noprior": "+ flow, no prior",
    "mask_noprior": "+ mask, no prior",
    "reblurring_noprior": "+ reblurring, no prior",
    "full_sr_edrb3": "full method on SR-EDRB3",
}
DRAWN = "thin_lens"  # the test set whose depth is drawn
DATASETS = {
    DRAWN: "drawn depth",
    "thin_lens_misaligned_raw": "drawn depth, misaligned truth, raw",
    "thin_lens_misaligned_to_input": "drawn depth, GT warped to input",
    "thin_lens_misaligned_to_output": "drawn depth, GT warped to output",
    "thin_lens_pair": "drawn depth, from the pair",
    "thin_lens_misaligned_pair": "drawn depth, from the misaligned pair",
    "measured_depth": "measured depth",
    "focus_stack_pcb_raw": "focus stack, raw",
    "focus_stack_pcb_to_input": "focus stack, GT warped to input",
    "focus_stack_pcb_to_output": "focus stack, GT warped to output",
    "cuhk_samples": "CUHK",
}


def label(fields: Mapping[str, Any]) -> str:
    """What people call a configuration: its variant's name, and its misalignment."""
    name = LABELS.get(fields["variant"], fields["variant"])
    level = fields.get("level")
    if level is None or level != level or fields["variant"] in (BLURRED, "aligned"):
        return name
    return f"{name}, {int(level)} px"


def step_label(fields: Mapping[str, Any]) -> str:
    """`label` where all configurations are of one level."""
    return LABELS.get(fields["variant"], fields["variant"])


def ladder_level(runs: Sequence[Run]) -> int:
    """The misalignment (px) at which the steps of the method are compared: the largest at which a
    profile trains all of them, or, where it leaves steps out, the largest of all."""
    levels = [{run.level for run in runs if run.variant == step} for step in STEPS]
    shared = set.intersection(*levels) if levels else set()
    return max(shared or {run.level or 0 for run in runs})


def claims(dataset: str, levels: Sequence[int], place: int) -> list[Claim]:
    """What is put to the test: what misalignment costs, what the method wins back, and each step.

    Args:
        dataset: the test set that decides; its truth is aligned.
        levels: the misalignments (px) that the profile trains at, ascending.
        place: that of the comparison of the steps, `ladder_level`.
    """
    where = f"at {place} px" if place else "on pairs as they are"

    def at(variant: str, level: int = place) -> dict[str, Any]:
        if variant == BASELINE and not level:
            return {"variant": "aligned"}  # the baseline's own upper bound
        return {"variant": variant, "level": level}

    def claim(key: str, text: str, *pairs: tuple[Side, ...], **more: Any) -> Claim:
        source, kind = more.pop("source", "this study"), more.pop("kind", "greater")
        return Claim(key, text, source, kind, pairs, dataset, **more)

    upper, lost, won = at(BASELINE, 0), at(BASELINE), at(FULL)
    found = [
        claim(
            "useful",
            f"The full method beats the blurred input, learned {where}.",
            (won, BLURRED),
            question=f"Does the full method beat the blurred input, learned {where}?",
        )
    ]
    if place:
        found.append(
            claim(
                "wins_back",
                f"The baseline loses from {place} px of misalignment, and the full method wins "
                "back more than half of that.",
                (upper, lost),
                (won, lost, upper),
                question="Does reblurring-guided learning win back more than half of what a "
                f"misalignment of {place} px costs?",
            )
        )
    for level in filter(None, levels):
        cost = f"A misalignment of {level} px costs the baseline more than {MARGIN:g} dB."
        pair = (upper, at(BASELINE, level))
        found.append(claim(f"cost_{level}", cost, pair, margin=MARGIN))
    if place:
        same = (
            f"On aligned pairs the full method and the baseline differ by less than {MARGIN:g} dB."
        )
        pair = (at(FULL, 0), upper)
        found.append(claim("harmless", same, pair, kind="within", margin=MARGIN))
    if levels[-1] > place:
        far = f"At {levels[-1]} px the full method still beats the baseline."
        pair = (at(FULL, levels[-1]), at(BASELINE, levels[-1]))
        found.append(claim("far", far, pair))
    steps = [
        ("flow", "Warping by flow is better than the baseline", "flow", BASELINE),
        ("mask", "The mask adds to warping", "mask", "flow"),
        ("reblurring", "Reblurring adds to warping and mask", "reblurring", "mask"),
        ("pseudo", "Pseudo supervision adds to reblurring", FULL, "reblurring"),
        ("matched", "Matched reblurring is better than the full method", "matched", FULL),
        ("prior", "The blur estimator helps", "reblurring", "reblurring_noprior"),
    ]
    found += [
        claim(
            key,
            f"{text} {where}.",
            (at(better), at(worse)),
            source="this study" if key == "matched" else PAPER,
        )
        for key, text, better, worse in steps
    ]
    return found + [
        Claim(
            f"map_{key}",
            f"The map of matched reblurring, {text}.",
            "this study",
            "greater",
            ((at("matched"), other),),
            on,
            metric,
        )
        for key, text, other, on, metric in (
            ("pair", "from the misaligned pair, is nearer to the truth than the best even disc",
             BLURRED, f"{DRAWN}_misaligned_pair", "mae"),
            ("paper", "from the misaligned pair, is nearer to the truth than the full method's",
             at(FULL), f"{DRAWN}_misaligned_pair", "mae"),
            ("alone", "from the photograph alone, is nearer to the truth than one value everywhere",
             BLURRED, DRAWN, "mae"),
            ("cuhk", "from the photograph alone, finds what is out of focus on CUHK better than "
             "local contrast", BLURRED, "cuhk_samples", "auc"),
        )
    ]  # fmt: skip


def over_misalignment(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the summary for a figure over the misalignment: a line a variant, and aligned pairs
    as the baseline at 0 px."""
    at_zero = rows[rows["variant"] == "aligned"].assign(variant=BASELINE)
    rows = pd.concat([at_zero, rows[~rows["variant"].isin(["aligned", BLURRED])]])
    return rows.assign(label=rows["variant"].map(lambda name: LABELS.get(name, name)))


def maps_in_words(rows: pd.DataFrame) -> str:
    """Which maps of the blur say more than one value everywhere, by their error in pixels.

    Args:
        rows: of the summary, of one test set; their gain is over the best single value.
    """
    known = rows[(rows["metric"] == "mae") & rows["gain"].notna()]
    if known.empty:
        return "No map was scored against a known one yet."
    said = []
    for row in known.to_dict("records"):
        error = f"{row['label']}: {row['mean']:.2f} px"
        constant = f"{row['mean'] - row['gain']:.2f} px of one value everywhere"
        if row["gain"] >= 0:
            said.append(f"{error}, no better than the {constant}: collapsed, or no map")
        else:
            said.append(f"{error} against the {constant}")
    return f"{'; '.join(said)}."


def without_learning(rows: pd.DataFrame) -> str:
    """Whether the blurred input itself wins back more than half of what the misalignment costs, so
    that a network need not learn anything to do so; '' where it does not, or nothing is known.

    Args:
        rows: gains in PSNR over the blurred input on one test set, of the steps at one level and of
            aligned pairs; `label`.
    """
    gains = rows.dropna(subset="gain").set_index("variant")
    if not {"aligned", BASELINE, FULL} <= set(gains.index):
        return ""
    half = (gains.loc["aligned", "gain"] + gains.loc[BASELINE, "gain"]) / 2
    if half >= 0:
        return ""
    learned = [name for name in (FULL, "matched") if name in gains.index]
    better = [LABELS[name] for name in learned if gains.loc[name, "gain_low"] > 0]
    words = (
        f"{' and '.join(better)} gained over it." if better else
        "No method gained over it for certain."
    )  # fmt: skip
    return (
        f"The blurred input itself lies {-half:.2f} dB above the mean of aligned pairs and "
        "baseline: to return it unchanged wins back more than half of the loss, and whether a "
        f"method deblurs shows in its gain over the blurred input alone. {words}"
    )


def runs(params: Params, profile: str) -> list[Run]:
    """Every run that a profile asks for: each variant at each of its levels, with each seed."""
    part = params.profile(profile).part(CHAPTER)
    variants = params.defocus.variants
    return [
        Run(CHAPTER, name, variants[name].network, seed, level=level)
        for name in part.variants
        for level in part.levels[name]
        for seed in part.seeds_of.get(name, part.seeds)
    ]


def configuration(params: Params, profile: str, run: Run) -> dict[str, Any]:
    """What a run trains and is tested on, as JSON values (see `reblur.study.runs.recipe`).

    Raises:
        ReblurError: pairs that exist, at another level than 0 (as they are).
    """
    part = params.profile(profile).part(CHAPTER).as_dict()
    variant = params.defocus.variants[run.variant]
    part = merged(part, {"data": variant.data, "training": variant.training})
    data = part["data"]
    if not data["pairs"]:
        data["defocus"]["misalignment_px"] = run.level
    elif run.level:
        raise ReblurError(
            f"{data['pairs']}: its pairs are as they are and cannot be misaligned by {run.level} "
            "px; give the level 0, or synthesise the pairs from photographs."
        )
    steps, phases = part["training"]["steps"], part["phases"]
    objective = {"warmup_steps": round(phases["warmup"] * steps), **variant.objective}
    reblurs = any(objective.get(f"{term}_weight", 1) > 0 for term in ("reblurring", "pseudo"))
    if reblurs:
        alone = {"reblurring_steps": round(phases["reblurring"] * steps), **part["reblurring"]}
        objective = {**alone, **objective}
    options = {**part["networks"], **variant.options, "reblurring": reblurs}
    options["matched"] = objective.get("reblurring") == "matched"
    tests = {name: data.pop(name) for name in ("synthetic", "real")}
    return {
        "network": {"name": run.network, "options": options},
        "training": part["training"],
        "data": data,
        "crop": variant.crop or part["crop"],
        "objective": objective,
        "tests": tests | {"defocus": {**data["defocus"], "misalignment_px": 0}},
    }


def all_data(params: Params, profile: str) -> list[str]:
    """Every data set or folder that the chapter reads in a profile."""
    found = [data_names(configuration(params, profile, run)) for run in runs(params, profile)]
    return sorted({name for names in found for part in names for name in part})
