"""params.yaml: strict, complete, and every leaf can be overridden by DVC."""

import copy

import pytest
import yaml
from dvc.utils.serialize import dumps_yaml

from reblur.errors import ReblurError
from reblur.study.params import CHAPTERS, merged, read_params
from reblur.study.runs import all_runs, chapter_module, recipe


@pytest.fixture(scope="module")
def raw():
    from reblur.datasets.catalogue.manifests import project_root

    return yaml.safe_load((project_root() / "params.yaml").read_text())


def written(tmp_path, values):
    path = tmp_path / "params.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values, sort_keys=False))
    return path


def changed(raw, trail, value):
    values = copy.deepcopy(raw)
    *path, last = trail.split(".")
    place = values
    for key in path:
        place = place[key]
    place[last] = value
    return values


def test_the_projects_own_parameters_are_read():
    params = read_params()
    assert {"demo", "cpu", "gpu", "paper"} <= set(params.profiles)
    assert params.profile("demo").chapters == list(CHAPTERS)


@pytest.mark.parametrize(
    ("trail", "message"),
    [
        ("profiles.demo.machine.thread", r"machine\.thread is unknown; did you mean 'threads'"),
        ("profiles.demo.scale_recurrent.data.real.sise", r"real\.sise is unknown; did you mean 's"),
        ("profiles.demo.evidnce", r"demo\.evidnce is unknown; did you mean 'evidence'"),
        (
            "profiles.demo.defocus.phases.warm_up",
            "phases.warm_up is unknown; did you mean 'warmup'",
        ),
        (
            "profiles.demo.diffusion.tasks.superes",
            "unknown name 'superes' .did you mean 'superres'",
        ),
        ("profiles.demo.defocus.levels.ful", "unknown name 'ful'"),
        ("diffusion.rule.metrics", r"diffusion\.rule\.metrics is unknown; did you mean 'metric'"),
        ("scale_recurrent.tables.x", "tables"),
        ("scale_recurrent.variants.ss.scale", "ss.scale is unknown"),
        ("profils", "profils is unknown; did you mean 'profiles'"),
    ],
)
def test_an_unknown_key_anywhere_is_refused(raw, tmp_path, trail, message):
    task = {"sources": ["clean"], "t0": []}
    value = task if "tasks" in trail else [0] if "levels" in trail else ["nothing"]
    with pytest.raises(ReblurError, match=message):
        read_params(written(tmp_path, changed(raw, trail, value)))


@pytest.mark.parametrize(
    ("trail", "value", "message"),
    [
        ("profiles.demo.machine.threads", 0, "threads is 0; it must be above 0"),
        ("profiles.demo.machine.threads", "2", "threads is '2'; it must be a whole number, with"),
        ("profiles.demo.machine", 3, "machine is 3; it must be a mapping of options"),
        ("profiles.demo.scale_recurrent.seeds", [-1], "seeds.0 is -1"),
        ("profiles.demo.scale_recurrent.variants", ["srn_", "ss"], "did you mean 'srn'"),
        (
            "profiles.demo.diffusion.tasks.superres.t0",
            ["drawnn"],
            r"superres\.t0\.0 is 'drawnn'; it must be a whole number or 'drawn'",
        ),
        (
            "profiles.demo.diffusion.data.targets",
            {"superres": 3},
            r"targets\.superres is 3; it must be a list or a text",
        ),
        ("scale_recurrent.variants.ss.network", "sss", "unknown name 'sss'"),
        ("profiles.cpu.extends", "demp", "extends is 'demp'; name another profile"),
        ("profiles.cpu.extends", "cpu", "extends is 'cpu'; name another profile"),
    ],
)
def test_a_value_that_cannot_be_is_refused(raw, tmp_path, trail, value, message):
    with pytest.raises(ReblurError, match=message):
        read_params(written(tmp_path, changed(raw, trail, value)))


def test_numbers_are_read_as_yaml_1_2_has_them(raw, tmp_path):
    text = yaml.safe_dump(raw, sort_keys=False)
    assert "lr: 0.002" in text
    path = written(tmp_path, text.replace("lr: 0.002", "lr: 1e-05"))
    lr = read_params(path).profile("demo").part("scale_recurrent").training["lr"]
    assert lr == pytest.approx(1e-5)


def leaves(value, trail=()):
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*trail, key))
    else:
        yield trail, value


def test_every_leaf_of_the_demo_can_be_overridden_as_dvc_does_it(raw, tmp_path):
    """There is no anchor or alias: what DVC writes into one place changes that place alone."""
    from reblur.datasets.catalogue.manifests import project_root

    text = (project_root() / "params.yaml").read_text()
    assert not [e for e in yaml.parse(text) if getattr(e, "anchor", None)]
    before = dict(leaves(raw))
    demo = [trail for trail in before if trail[:2] == ("profiles", "demo")]
    assert len(demo) > 100
    numbers = [t for t in demo if type(before[t]) in (int, float)]
    for trail in numbers:
        value = before[trail] * 1e-5 if isinstance(before[trail], float) else before[trail] + 1
        values = changed(raw, ".".join(map(str, trail)), value)
        again = dict(leaves(yaml.load(dumps_yaml(values), _loader())))
        assert {t for t in again if again[t] != before[t]} == {trail}, trail


def _loader():
    from reblur.study.params import _Yaml12

    return _Yaml12


def test_a_profile_says_only_what_differs(raw, tmp_path):
    mine = {
        "extends": "demo",
        "chapters": ["scale_recurrent"],
        "scale_recurrent": {"variants": ["ss"], "seeds": [3], "training": {"lr": 0.5}},
    }
    params = read_params(written(tmp_path, changed(raw, "profiles.mine", mine)))
    assert params.profile("mine").chapters == ["scale_recurrent"]
    [run] = all_runs(params, "mine")
    assert (run.variant, run.seed) == ("ss", 3)
    ours = params.profile("mine").part("scale_recurrent")
    theirs = params.profile("demo").part("scale_recurrent")
    assert ours.training == theirs.training | {"lr": 0.5}
    assert ours.data == theirs.data


def test_what_is_planned_and_seeds_of_single_variants_are_not_inherited(raw, tmp_path):
    mine = {"extends": "cpu", "scale_recurrent": {"variants": ["nafnet"]}}
    params = read_params(written(tmp_path, changed(raw, "profiles.mine", mine)))
    assert params.profile("cpu").planned == "protocol"
    assert params.profile("mine").planned is None
    assert params.profile("mine").scale_recurrent.seeds_of == {}
    wrong = changed(raw, "profiles.cpu.planned", "protokol")
    with pytest.raises(ReblurError, match=r"unknown name 'protokol' .did you mean 'protocol'"):
        read_params(written(tmp_path, wrong))


def test_every_run_of_the_evidence_is_planned():
    params = read_params()
    asked, planned = (
        {
            run: chapter_module(run.chapter).configuration(params, profile, run)
            for run in all_runs(params, profile)
        }
        for profile in ("cpu", params.profile("cpu").planned)
    )
    assert asked == {run: planned[run] for run in asked}


def test_merging_touches_neither_side():
    base, change = {"a": {"b": 1, "c": 2}, "levels": {"x": [0]}}, {"a": {"b": 3}, "levels": {}}
    assert merged(base, change) == {"a": {"b": 3, "c": 2}, "levels": {}}
    assert base == {"a": {"b": 1, "c": 2}, "levels": {"x": [0]}}


@pytest.mark.parametrize(
    ("trail", "value", "message"),
    [
        ("scale_recurrent.training.lrr", 1.0, "training.lrr is unknown; did you mean 'lr'"),
        ("scale_recurrent.training.lr", -1.0, "lr is -1.0; "),
        ("scale_recurrent.networks.widht", 8, "unknown name 'widht' .did you mean 'width'"),
        ("scale_recurrent.data.motion.extend", [2, 16], "extend is unknown; did you mean .extent."),
        ("defocus.data.defocus.max_cok", 9, "max_cok"),
        ("defocus.reblurring.pseudo_wait", 0.1, "pseudo_wait is unknown"),
        ("diffusion.training.ema", 1.5, "ema is 1.5; "),
    ],
)
def test_options_are_refused_before_anything_is_trained(raw, tmp_path, trail, value, message):
    chapter = trail.split(".")[0]
    params = read_params(written(tmp_path, changed(raw, f"profiles.demo.{trail}", value)))
    run = next(run for run in reversed(all_runs(params, "demo")) if run.chapter == chapter)
    with pytest.raises(ReblurError, match=message):
        recipe(params, "demo", run)
