"""Chapter 2: how far may a training pair be off, and what does reblurring win back?

What the chapter tells, in the report's order. Which variants stand in which table comes from its
section of params.yaml, at which levels of misalignment from the profile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from reblur.evaluation.protocols import PROTOCOLS
from reblur.study import data as chapter_data
from reblur.study import figures as draw
from reblur.study.claims import Claim, claims_table, plain
from reblur.study.comparisons import differences_table, losses_table, variants_table
from reblur.study.data import MEASURED, MISALIGNED, THIN_LENS
from reblur.study.defocus_data import CHAPTER, data_folder
from reblur.study.defocus_figures import (
    quality_over_misalignment,
    read_reading,
    reading_files,
    readings_panel,
)
from reblur.study.figures import Drawing
from reblur.study.levels import (
    ALIGNED,
    PLAIN,
    arm_at,
    at_largest,
    level_of,
    levels_of,
    levels_table,
    maps_table,
    sets_table,
    variant_of,
)
from reblur.study.panels import Example
from reblur.study.report import Section
from reblur.study.results import BLURRED, Study
from reblur.study.tables import Table

TITLE = "Defocus, learned from misaligned pairs"
QUESTION = (
    "A blurred and a sharp photograph of one scene never quite fit onto each other. How far may "
    "they be off before training breaks, and how much does reblurring-guided learning (arXiv "
    "2409.17792) win back?"
)
PAPER = "Reblurring-guided learning for defocus deblurring, arXiv 2409.17792"

NAMES = {
    ALIGNED: "aligned pairs (upper bound)",
    PLAIN: "plain Charbonnier",
    "flow": "+ flow warping",
    "mask": "+ mask",
    "reblurring": "+ reblurring",
    "whole": "+ pseudo supervision (the whole)",
    "aligned_noprior": "aligned pairs, no prior",
    "plain_noprior": "plain, no prior",
    "flow_noprior": "+ flow warping, no prior",
    "mask_noprior": "+ mask, no prior",
    "reblurring_noprior": "+ reblurring, no prior",
    "whole_sr_edrb3": "the whole on SR-EDRB3",
}
SECTIONS = (
    Section("claims", "What holds?", "", ("tables/defocus_claims",)),
    Section(
        "curve",
        "Quality over misalignment",
        "The curve that no paper shows: training pairs that are off by more and more, test pairs "
        "that are not.",
        ("figures/defocus_curve", "tables/defocus_levels", "tables/defocus_differences"),
    ),
    Section(
        "prior",
        "The prior, and another backbone",
        "Does the network profit from an estimate of the blur, and does the method carry over to a "
        "network of chapter 1?",
        ("tables/defocus_prior",),
    ),
    Section(
        "protocols",
        "Three protocols",
        "How a result is scored when the truth does not fit onto it decides what is praised.",
        ("tables/defocus_protocols", "tables/defocus_real"),
    ),
    Section(
        "maps",
        "The blur that it sees",
        "Training needs no true map; here is one to compare with. There is an easy way out that "
        "explains every photograph: restore nothing and blur by nothing. An empty map beside a "
        "gain of 0.00 dB is that. Profiles with few steps guard against it: a long first phase, a "
        "phase in which the reblurring network learns alone, and a light weight for what it says.",
        ("figures/defocus_panel", "tables/defocus_maps"),
    ),
    Section(
        "pictures",
        "Pictures",
        "Choose what stands on either side of the seam, and move it.",
        ("figures/defocus/slider/slider",),
    ),
    Section(
        "training",
        "Every run",
        "",
        ("tables/defocus_scores", "figures/defocus_training", "tables/defocus_losses"),
    ),
)
FIGURES = "figures/defocus"  # where this chapter's slider stands
MARGIN = 0.1  # dB: what a misalignment 'costs' at least, fixed before any run


def labels(study: Study) -> dict[str, str]:
    """Every arm's name for people, asked for or not: the variant's, and its level."""
    arms = [arm_at(study, variant, level) for variant in NAMES for level in levels_of(study)]
    return {
        arm: NAMES[variant_of(arm)]
        + ("" if variant_of(arm).startswith(ALIGNED) else f", {level_of(arm)} px")
        for arm in arms
    }


def judged_on(study: Study) -> str:
    """The test set of claims, curve and differences: the first one, whose truth is aligned.

    Where it is a set of real misaligned pairs (SDD), which no truth fits, the truth warped to the
    input: raw scores would punish a result that lies where its photograph lies, and the truth
    warped to each output would forgive what a method moves.
    """
    first = study.datasets[0]
    warped = f"{first.removesuffix('_raw')}_to_input"
    return warped if first.endswith("_raw") and warped in study.datasets else first


def claims(study: Study) -> list[Claim]:
    """What is put to the test: misalignment's cost, what the method wins back, and each step."""
    levels = levels_of(study)
    largest = levels[-1]
    place = f"at {largest} px" if largest else "on pairs as they are"
    upper = arm_at(study, PLAIN, 0)
    lost, won = arm_at(study, PLAIN, largest), arm_at(study, "whole", largest)

    def step(key: str, better: str, worse: str, text: str) -> Claim:
        pair = (arm_at(study, better, largest), arm_at(study, worse, largest))
        return Claim(key, f"{text} {place}.", PAPER, "greater", (pair,))

    costs = [
        Claim(
            f"cost_{level}",
            f"A misalignment of {level} px costs plain training more than {MARGIN:g} dB.",
            "this study",
            "greater",
            ((upper, arm_at(study, PLAIN, level)),),
            margin=MARGIN,
        )
        for level in levels
        if level
    ]
    off = [
        Claim(
            "wins_back",
            f"Plain training loses from {largest} px of misalignment, and the whole method wins "
            "back more than half of that.",
            "this study",
            "greater",
            ((upper, lost), (won, lost, upper)),
            question="Does reblurring-guided learning win back more than half of what a "
            f"misalignment of {largest} px costs?",
        ),
        *costs,
        Claim(
            "harmless",
            f"On aligned pairs the whole method and plain training differ by less than {MARGIN:g} "
            "dB.",
            "this study",
            "within",
            ((arm_at(study, "whole", 0), upper),),
            margin=MARGIN,
        ),
    ]
    return [
        Claim(
            "useful",
            f"The whole method beats doing nothing, learned {place}.",
            "this study",
            "greater",
            ((won, BLURRED),),
            question=f"Does the whole method beat doing nothing, learned {place}?",
        ),
        *(off if largest else []),
        step("flow", "flow", PLAIN, "Warping by flow is better than plain training"),
        step("mask", "mask", "flow", "The mask adds to warping"),
        step("reblurring", "reblurring", "mask", "Reblurring adds to warping and mask"),
        step("pseudo", "whole", "reblurring", "Pseudo supervision adds to reblurring"),
        step("prior", "reblurring", "reblurring_noprior", "The blur estimator helps"),
    ]


def tables(study: Study, chapter: Mapping[str, Any]) -> list[Table]:
    """Every table of the chapter, in the report's order.

    Args:
        chapter: the section `defocus` of params.yaml: `tables` names the rows.
    """
    rows, test_set, named = chapter["tables"], judged_on(study), labels(study)
    upper = arm_at(study, PLAIN, 0)
    compared = list(dict.fromkeys([upper, *at_largest(study, rows["ladder"])]))
    synthesised = [name for name in study.datasets if name.startswith(MISALIGNED)]
    aligned = test_set == study.datasets[0]
    others = [
        name
        for name in study.datasets
        if name not in synthesised and not (aligned and name == test_set)
    ]
    protocols = "; ".join(f"{_heading(name)}: {text}" for name, text in PROTOCOLS.items())
    return [
        claims_table(
            study,
            stem="defocus_claims",
            title="What holds?",
            claims=plain(claims(study)),
            dataset=test_set,
            labels=named,
        ),
        levels_table(
            study,
            stem="defocus_levels",
            title="Quality over misalignment",
            variants=[PLAIN, *(v for v in chapter["variants"] if v not in (ALIGNED, PLAIN))],
            dataset=test_set,
            names=NAMES,
        ),
        differences_table(
            study,
            stem="defocus_differences",
            title="Differences from training on aligned pairs",
            variants=study.variants,
            reference=upper,
            dataset=test_set,
            labels=named,
        ),
        variants_table(
            study,
            stem="defocus_prior",
            title="With and without the prior, and on a backbone of chapter 1",
            heading="training",
            variants=at_largest(study, rows["prior"]),
            dataset=test_set,
            labels=named,
            do_nothing=True,
            caption="Without a prior there are no seeds to supervise: + reblurring is all of it "
            "there. Parameters: with the 474,987 of the reblurring network, where there is one; "
            "only training uses it. MACs: of restoring.",
        ),
        sets_table(
            study,
            stem="defocus_protocols",
            title="One result, four scores",
            variants=compared,
            sets=[
                (test_set, "aligned truth" if aligned else _words(test_set)),
                *((name, _heading(name.removeprefix(f"{MISALIGNED}_"))) for name in synthesised),
            ],
            metrics=["psnr", "ssim"],
            labels=named,
            caption="The same restorations of synthesised photographs, against the aligned truth "
            f"and, as real pairs would have it, against a misaligned one. {protocols}.",
        ),
        sets_table(
            study,
            stem="defocus_real",
            title="Measured depth, and real photographs",
            variants=compared,
            sets=[(name, _words(name)) for name in others],
            metrics=["psnr"],
            labels=named,
            caption=f"Real misaligned pairs by three protocols. {protocols}.",
        ),
        maps_table(
            study,
            stem="defocus_maps",
            title="The estimated map of the blur",
            variants=[a for a in study.variants if variant_of(a) in rows["maps"]],
            columns=_map_columns(chapter),
            labels=named,
        ),
        variants_table(
            study,
            stem="defocus_scores",
            title="Every run of the chapter",
            heading="training",
            variants=study.variants,
            dataset=test_set,
            labels=named,
            do_nothing=True,
        ),
        losses_table(study, stem="defocus_losses", title="Do the losses fall?", labels=named),
    ]


def _heading(protocol: str) -> str:
    return protocol.replace("to_", "truth to ").replace("_", " ")


def _words(dataset: str) -> str:
    for protocol in PROTOCOLS:
        if dataset.endswith(f"_{protocol}"):
            return f"{dataset.removesuffix(f'_{protocol}')}, {_heading(protocol)}"
    return dataset.replace("_", " ")


def _map_columns(chapter: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    drawn = [(THIN_LENS, metric, "drawn depth") for metric in ("mae", "correlation")]
    measured = [(MEASURED, metric, "measured depth") for metric in ("mae", "correlation")]
    return [*drawn, *measured, *((name, "auc", name) for name in chapter["masks"])]


def examples(params: dict[str, Any], profile: str, study: Study) -> list[Example]:
    """The test images of the panels, with the files of the readings that the panel shows."""
    section = params[CHAPTER]
    arms = at_largest(study, section["panel"])
    found = chapter_data.examples(params, profile, study, CHAPTER, arms)
    folder = data_folder(profile)
    return [
        replace(one, files=[*one.files, *reading_files(study, _read_arm(study), one, folder)])
        for one in found
    ]


def _read_arm(study: Study) -> str:
    """The arm whose readings the panel shows: the whole method at the largest level."""
    return arm_at(study, "whole", levels_of(study)[-1])


def figures(study: Study, chapter: Mapping[str, Any], shown: Sequence[Example]) -> list[Drawing]:
    """Every figure of the chapter, in the report's order.

    Args:
        chapter: the section `defocus` of params.yaml.
        shown: the test images of the panel (`examples`).
    """
    rows, test_set, named = chapter["tables"], judged_on(study), labels(study)
    ladder = [v for v in rows["ladder"] if v != ALIGNED]
    others = [v for v in chapter["variants"] if v not in (*rows["ladder"], f"{ALIGNED}_noprior")]
    arm = _read_arm(study)
    folder = data_folder(study.root.name)
    drawn = [one for one in shown if one.dataset == THIN_LENS][:3]
    real = [one for one in shown if one.dataset not in (THIN_LENS, MEASURED)][:1]
    measured = [one for one in shown if one.dataset == MEASURED][:1]
    readings = [read_reading(study, arm, one, folder) for one in (*drawn, *measured, *real)]
    return [
        quality_over_misalignment(
            study,
            stem="defocus_curve",
            title="Quality over the misalignment of the training pairs",
            groups={"with the prior": ladder, "without the prior; another backbone": others},
            dataset=test_set,
            names=NAMES,
        ),
        readings_panel(
            study,
            readings,
            stem="defocus_panel",
            title="What the network says of the blur",
            network=named.get(arm, arm),
        ),
        draw.training_curves(
            study,
            stem="defocus_training",
            title="PSNR on aligned validation pairs over training time",
            variants=[arm_at(study, PLAIN, 0), *at_largest(study, ladder)],
            labels=named,
        ),
    ]
