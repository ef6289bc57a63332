"""What made a result: the code that it reaches, definition by definition."""

import importlib

import pytest

from reblur.study import provenance
from reblur.study.provenance import closure, code_hash, code_state
from reblur.study.rows import Run
from reblur.study.runs import scoring_code, training_code

TINY = {
    "top.py": (
        '"""Top."""\nfrom reblur.low import helper\nfrom reblur import deep\nLIMIT = 3\n\n'
        "def used():\n    return helper() + LIMIT\n\n"
        "def by_module():\n    return deep.inner()\n\n"
        "def lazily():\n    from reblur.low import other\n    return other\n\n"
        "def unused():\n    return other_thing\n"
    ),
    "low.py": "def helper():\n    return 1\n\ndef other():\n    return 2\n",
    "deep.py": "def inner():\n    return 1\n\ndef apart():\n    return 2\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    def write(**changes):
        for name, text in TINY.items():
            for old, new in changes.get(name[:-3], []):
                assert old in text
                text = text.replace(old, new)
            (tmp_path / name).write_text(text)
        provenance._read_module.cache_clear()

    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    write()
    return write


def test_the_closure_follows_names_and_nothing_else(package):
    assert set(closure(["reblur.top:used"])) == {
        "reblur.top:used", "reblur.top:LIMIT", "reblur.low:helper",
    }  # fmt: skip
    assert set(closure(["reblur.top:by_module"])) == {"reblur.top:by_module", "reblur.deep:inner"}
    assert set(closure(["reblur.top:lazily"])) == {"reblur.top:lazily", "reblur.low:other"}


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"low": [("return 1", "return 7")]}, False),
        ({"top": [("LIMIT = 3", "LIMIT = 4")]}, False),
        ({"low": [("return 1", "return 1  # a comment")]}, True),
        ({"low": [("def helper():\n", 'def helper():\n    """A docstring."""\n')]}, True),
        ({"top": [('"""Top."""', '"""Another text."""')]}, True),
        ({"low": [("return 2", "return 9")]}, True),  # another function of the same module
        ({"deep": [("return 1", "return 9")]}, True),
        ({"top": [("return other_thing", "return 0")]}, True),
    ],
)
def test_the_hash_changes_with_the_code_that_is_reached_alone(package, changes, same):
    before = code_hash(["reblur.top:used"])
    package(**changes)
    assert (code_hash(["reblur.top:used"]) == before) is same


CONFIG = {"data": {"pairs": None}}


@pytest.mark.parametrize(
    ("chapter", "network", "reached", "apart"),
    [
        ("scale_recurrent", "sr_edrb3",
         ["reblur.losses.multi_scale:multi_scale_loss", "reblur.randomness:key",
          "reblur.networks.recurrent:ConvLSTM", "reblur.study.training:train_network",
          "reblur.datasets.motion.trajectories:HandMotion", "reblur.training.session:Session"],
         ["reblur.losses.reblurring:DefocusObjective", "reblur.networks.nafnet:NAFNet",
          "reblur.diffusion:refine", "reblur.study.params:read_params"]),
        ("defocus", "defocus_unet",
         ["reblur.losses.reblurring:DefocusObjective", "reblur.warping:correspond"],
         ["reblur.losses.multi_scale:MultiScaleObjective",
          "reblur.datasets.motion.synthesis:MotionBlur"]),
    ],
)  # fmt: skip
def test_a_run_reaches_its_own_chapter_and_no_other(chapter, network, reached, apart):
    found = closure(training_code(Run(chapter, "x", network, 0), CONFIG))
    assert set(reached) <= set(found)
    assert not set(apart) & set(found)


def test_scores_follow_from_the_metrics_and_weights_do_not():
    run = Run("scale_recurrent", "x", "sr_edrb3", 0)
    assert "reblur.measures.full_reference:lpips_distance" in closure(scoring_code(run, {}))
    assert "reblur.measures.full_reference:lpips_distance" not in closure(
        training_code(run, CONFIG)
    )


def test_every_entry_is_a_definition_that_exists():
    for run in (Run("scale_recurrent", "x", "nafnet", 0), Run("defocus", "x", "defocus_unet", 0)):
        for entry in (*training_code(run, CONFIG), *scoring_code(run, {})):
            module, name = entry.split(":")
            assert hasattr(importlib.import_module(module), name), entry
            assert entry in closure([entry])


def test_the_state_of_the_code_names_a_commit_or_says_that_there_is_none():
    state = code_state()
    assert state["commit"] in ("unknown", "none") or len(state["commit"]) == 40
