"""Which weights restore, by the rule of params.yaml, and what is told of them."""

import json
from pathlib import Path

import pytest

from reblur.errors import ReblurError
from reblur.networks import build_network
from reblur.networks.weights import load_network, save_network
from reblur.study.rows import Run
from reblur.study.weights import describe, weights_for
from test_deblur import deblur, save


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_network(build_network("sr_edrb1", width=4, seed=1), path)
    return path


RULE = {
    "profiles": ["gpu", "cpu"],
    "tasks": {
        "motion": {"chapter": "scale_recurrent"},
        "low_quality": {"chapter": "diffusion", "task": "deblur"},
    },
}


def scores(path: Path, psnr: dict[str, list[float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{d},p,{i},psnr,{v}" for d, values in psnr.items() for i, v in enumerate(values)]
    lines += [f"{d},p,0,ssim,0.5" for d in psnr]
    path.write_text("\n".join(["dataset,photograph,image,metric,value", *lines]))


def run_of(
    project: Path,
    name: str,
    weights: Path | None,
    psnr: dict[str, list[float]] | None,
    **fields: object,
) -> Path:
    """A run `<profile>/<variant>` of chapter 1, or of what `fields` say; returns its weights."""
    profile, variant = name.split("/")
    described = {"chapter": "scale_recurrent", "variant": variant, "network": "ss", "seed": 0}
    run = Run(**(described | fields))
    root = project / "results" / profile
    (root / run.folder).mkdir(parents=True)
    facts = {"run": run.as_dict(), "data": {"skimage_photographs": "0" * 64}, "steps": 1600}
    (root / run.folder / "run.json").write_text(json.dumps(facts))
    if psnr is not None:
        scores(root / run.folder / "scores.csv", psnr)
    path = root / "weights" / f"{run.name}.safetensors"
    if weights is not None:
        save_network(load_network(weights)[0], path, run=run.as_dict())
    return path


@pytest.fixture
def project(tmp_path) -> Path:
    (tmp_path / "params.yaml").write_text(json.dumps({"restore": RULE}))
    (tmp_path / "data_manifests").mkdir()
    blurred = {"gopro": [20.0, 30.0], "made": [25.0]}
    for profile in ("gpu", "cpu", "demo"):
        root = tmp_path / "results" / profile / "blurred"
        scores(root / "scale_recurrent" / "scores.csv", blurred)
        scores(root / "diffusion" / "deblur" / "scores.csv", blurred)
    return tmp_path


def test_the_rule_of_params_chooses_the_weights(project, weights):
    run_of(project, "demo/a", weights, {"gopro": [29, 39], "made": [39]})
    with pytest.raises(ReblurError, match=r"no trained weights for motion.*make study"):
        weights_for("motion", project)  # the profile demo is not in the rule
    better = run_of(project, "cpu/a", weights, {"gopro": [19, 29.5], "made": [28]})
    run_of(project, "cpu/b", weights, {"gopro": [21, 31], "made": [25.5]})
    chosen = weights_for("motion", project)
    assert chosen.path == better
    assert chosen.gains == pytest.approx({"gopro": -0.75, "made": 3.0})
    assert (chosen.trained_on, chosen.steps) == (("skimage_photographs",), 1600)
    run_of(project, "gpu/no-weights", None, {"gopro": [50, 50], "made": [50]})
    run_of(project, "gpu/not-scored", weights, None)
    assert weights_for("motion", project).path == better
    gpu = run_of(project, "gpu/a", weights, {"gopro": [10, 10], "made": ["inf"]})
    assert weights_for("motion", project).path == gpu
    run_of(project, "gpu/x4", weights, {"made": [40]}, chapter="diffusion", task="superres")
    third = run_of(project, "gpu/d", weights, {"made": [26]}, chapter="diffusion", task="deblur")
    assert weights_for("low_quality", project).path == third
    with pytest.raises(ReblurError, match="no task 'rain'; the choices are motion, low_quality"):
        weights_for("rain", project)
    (project / "params.yaml").write_text("profiles: {}")
    with pytest.raises(ReblurError, match="no rule for weights"):
        weights_for("motion", project)


def test_what_is_known_of_weights_that_lie_alone(weights):
    alone = describe(weights)
    assert (dict(alone.run), dict(alone.gains)) == ({}, {})
    assert "not known" in str(alone)


@pytest.mark.parametrize(("gain", "warned"), [(0.7, False), (-0.3, True)])
def test_each_test_set_has_its_gain_told(project, weights, monkeypatch, capsys, gain, warned):
    run_of(project, "cpu/a", weights, {"gopro": [22, 32], "made": [25 + gain]})
    save(project / "cat.png")
    monkeypatch.chdir(project)
    assert deblur("cat.png", "-o", "out") == 0
    assert (project / "out" / "cat.png").is_file()
    told = capsys.readouterr().err
    assert f"+2.00 dB on gopro, {gain:+.2f} dB on made" in told
    assert "variant a; network ss; seed 0; trained on skimage_photographs; 1,600 steps" in told
    assert ("warning: on made the blurred input was as good or better" in told) == warned
    assert "restored 1 of 1 photographs, 0.0 megapixels in " in told
    assert deblur("cat.png", "-o", "out", "--task", "low_quality", "--overwrite") == 2
    assert "no trained weights for low_quality" in capsys.readouterr().err
