"""Chapter 1: which parts of the scale-recurrent network earn their keep?

What the chapter tells, in the report's order. The rows of its tables, the flagship and the variants
of the panel come from its section of params.yaml.
"""

from collections.abc import Sequence
from typing import Any

from reblur.study import data as chapter_data
from reblur.study import figures as draw
from reblur.study.claims import Claim, claims_table, plain
from reblur.study.comparisons import (
    datasets_table,
    differences_table,
    losses_table,
    published_table,
    variants_table,
)
from reblur.study.figures import Drawing
from reblur.study.panels import Example, panel
from reblur.study.published import ABLATION, SRN_PAPER
from reblur.study.report import Section
from reblur.study.results import BLURRED, Study
from reblur.study.tables import Table

TITLE = "Scale-recurrent networks"
QUESTION = (
    "Which parts of the coarse-to-fine network of Tao et al. (2018) earn their keep: shared "
    "weights, the recurrence, the encoder with its skips, the number of scales?"
)

LABELS = {
    "ss": "SS",
    "sc": "SC",
    "wo_r": "w/o R",
    "rnn": "RNN",
    "gru": "GRU (ours)",
    "sr_flat": "SR-Flat (our reading)",
    "sr_rb": "SR-RB (our reading)",
    "sr_ed": "SR-ED",
    "sr_edrb1": "SR-EDRB1",
    "sr_edrb2": "SR-EDRB2",
    "sr_edrb3": "SR-EDRB3",
    "sr_edrb3_skip": "SR-EDRB3 + skip (ours)",
    "sr_edrb3_1_scale": "SR-EDRB3, 1 scale",
    "sr_edrb3_2_scales": "SR-EDRB3, 2 scales",
    "sr_edrb3_deconvolution": "SR-EDRB3, deconvolution",
    "sr_edrb3_subpixel": "SR-EDRB3, sub-pixel",
    "srn": "SRN 5×5 + ConvLSTM",
    "srn_released": "SRN 5×5, released form",
    "deepdeblur": "DeepDeblur (Nah et al.)",
    "nafnet": "NAFNet",
}
SECTIONS = (
    Section("claims", "What holds?", "", ("tables/claims",)),
    Section(
        "ablation",
        "The ablation",
        "Every variant is the same network with one thing changed.",
        ("figures/ablation", "tables/ablation"),
    ),
    Section(
        "differences",
        "Image by image",
        "A mean may hide that a variant wins on some photographs and loses on others.",
        ("figures/differences", "tables/differences"),
    ),
    Section(
        "choices",
        "Scales, recurrence, upsampling",
        "",
        ("figures/scales", "tables/scales", "tables/recurrence", "tables/upsampling"),
    ),
    Section(
        "peers",
        "Peers and test sets",
        "How far does what was learned carry, and against whom?",
        ("tables/peers", "tables/datasets", "tables/published"),
    ),
    Section(
        "pictures",
        "Pictures",
        "Choose what stands on either side of the seam, and move it.",
        ("figures/slider/slider", "figures/panel"),
    ),
    Section(
        "training",
        "Training",
        "Did the losses fall, and what does a second of training buy?",
        ("figures/training", "figures/losses", "tables/losses"),
    ),
)
CHAPTER = "scale_recurrent"
FIGURES = "figures"  # where this chapter's slider stands
SCALES = {"sr_edrb3_1_scale": "1", "sr_edrb3_2_scales": "2", "sr_edrb3": "3"}
RECURRENCE = {"wo_r": "none", "rnn": "RNN", "gru": "GRU", "sr_edrb3": "ConvLSTM"}
UPSAMPLING = {
    "sr_edrb3": "bilinear",
    "sr_edrb3_deconvolution": "deconvolution",
    "sr_edrb3_subpixel": "sub-pixel",
}
RESIDUAL = "sr_edrb3_skip"
MARGIN = 0.1  # dB: what 'little' means, fixed before any run


def claims(flagship: str, test_set: str) -> list[Claim]:
    """What is put to the test: our own question first, then what the paper is sure of."""
    place = "held-out synthetic blur" if test_set == "synthetic" else test_set
    return [
        Claim(
            "flagship",
            f"{LABELS.get(flagship, flagship)} beats doing nothing on {place}.",
            "this study",
            "greater",
            ((flagship, BLURRED),),
            question=f"Does {LABELS.get(flagship, flagship)} beat doing nothing on {place}?",
        ),
        Claim(
            "residual",
            f"{LABELS[RESIDUAL]} beats doing nothing on {place}.",
            "this study",
            "greater",
            ((RESIDUAL, BLURRED),),
            question=f"Does {LABELS[RESIDUAL]} beat doing nothing on {place}?",
        ),
        Claim(
            "cascade",
            "Three cascaded stages with weights of their own (SC) do worse than shared weights "
            "(w/o R), recurrence (RNN) and the whole network (SR-EDRB3).",
            SRN_PAPER,
            "greater",
            (("wo_r", "sc"), ("rnn", "sc"), ("sr_edrb3", "sc")),
        ),
        Claim(
            "best",
            "SR-EDRB3 is the best of the ablation.",
            SRN_PAPER,
            "greater",
            tuple(("sr_edrb3", name) for name in ABLATION if name != "sr_edrb3"),
        ),
        Claim(
            "flat",
            "SR-Flat is the worst of the ablation.",
            SRN_PAPER,
            "greater",
            tuple((name, "sr_flat") for name in ABLATION if name != "sr_flat"),
        ),
        Claim(
            "third_scale",
            f"A third scale adds little over two (less than {MARGIN:g} dB either way).",
            SRN_PAPER,
            "within",
            (("sr_edrb3", "sr_edrb3_2_scales"),),
            margin=MARGIN,
        ),
    ]


def tables(study: Study, chapter: dict[str, Any]) -> list[Table]:
    """Every table of the chapter, in the report's order.

    The first test set of the study is the one that everything but 'Every test set' speaks of.

    Args:
        chapter: the section `scale_recurrent` of params.yaml: `tables` names the rows, `flagship`
            what the differences are taken from.
    """
    rows, flagship, test_set = chapter["tables"], chapter["flagship"], study.datasets[0]
    return [
        claims_table(
            study,
            stem="claims",
            title="What holds?",
            claims=plain(claims(flagship, test_set)),
            dataset=test_set,
            labels=LABELS,
        ),
        variants_table(
            study,
            stem="ablation",
            title="The ablation",
            variants=rows["ablation"],
            dataset=test_set,
            labels=LABELS,
            do_nothing=True,
            paper=True,
        ),
        variants_table(
            study,
            stem="scales",
            title="How many scales?",
            heading="scales",
            variants=rows["scales"],
            dataset=test_set,
            labels=SCALES,
            caption="SR-EDRB3 with one, two and three scales.",
        ),
        variants_table(
            study,
            stem="recurrence",
            title="Which recurrence?",
            heading="recurrence",
            variants=rows["recurrence"],
            dataset=test_set,
            labels=RECURRENCE,
            caption="Three scales with shared weights; what carries the state between them.",
        ),
        variants_table(
            study,
            stem="upsampling",
            title="Which upsampling between the scales?",
            heading="upsampling",
            variants=rows["upsampling"],
            dataset=test_set,
            labels=UPSAMPLING,
        ),
        variants_table(
            study,
            stem="peers",
            title="Against the peers and against doing nothing",
            heading="network",
            variants=rows["peers"],
            dataset=test_set,
            labels=LABELS,
            do_nothing=True,
            caption="All trained here, on the same data; the steps stand in the table.",
        ),
        datasets_table(
            study,
            stem="datasets",
            title="Every test set",
            variants=study.variants,
            labels=LABELS,
            caption="A test set that could not be had is marked as not available.",
        ),
        differences_table(
            study,
            stem="differences",
            title=f"Differences from {LABELS.get(flagship, flagship)}",
            variants=study.variants,
            reference=flagship,
            dataset=test_set,
            labels=LABELS,
        ),
        losses_table(study, stem="losses", title="Do the losses fall?", labels=LABELS),
        published_table(study, stem="published", title="What others published"),
    ]


def labels(study: Study) -> dict[str, str]:
    """Every variant's name for people."""
    return {name: LABELS.get(name, name) for name in study.variants}


def examples(params: dict[str, Any], profile: str, study: Study) -> list[Example]:
    """The test images of the panel and the slider."""
    return chapter_data.examples(params, profile, study, CHAPTER, params[CHAPTER]["panel"])


def figures(study: Study, chapter: dict[str, Any], shown: Sequence[Example]) -> list[Drawing]:
    """Every figure of the chapter, in the report's order.

    Args:
        chapter: the section `scale_recurrent` of params.yaml.
        shown: the test images of the panel (`examples`).
    """
    rows, flagship, test_set = chapter["tables"], chapter["flagship"], study.datasets[0]
    peers = [name for name in rows["peers"] if name not in rows["ablation"]]
    return [
        draw.forest(
            study,
            stem="ablation",
            title="What each part of the network is worth",
            variants=[*rows["ablation"], *peers],
            dataset=test_set,
            labels=LABELS,
            highlight=[flagship],
        ),
        draw.curve(
            study,
            stem="scales",
            title="How many scales?",
            points={name: SCALES.get(name, name) for name in rows["scales"]},
            dataset=test_set,
            heading="number of scales",
        ),
        draw.differences(
            study,
            stem="differences",
            title=f"Image by image against {LABELS.get(flagship, flagship)}",
            variants=study.variants,
            reference=flagship,
            dataset=test_set,
            labels=LABELS,
        ),
        draw.training_curves(
            study,
            stem="training",
            title="PSNR over training time",
            variants=list(dict.fromkeys([flagship, *chapter["panel"], "ss", "sc", "deepdeblur"])),
            labels=LABELS,
        ),
        draw.losses(study, stem="losses", title="Training losses", labels=LABELS),
        panel(study, shown, stem="panel", title="What it looks like", labels=LABELS),
    ]
