"""`reblur reproduce`: a committed run trained again, here, and compared with what was committed.

On a processor of the same kind the same code gives the same bytes; elsewhere the scores agree to
within so many dB. With `updates` the training stops early and its log is compared, which is enough
to see whether code that has changed since still does the same: then the run can be confirmed for
the code as it is now, and need not be trained again.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from reblur.errors import ReblurError
from reblur.evaluation.scoring import restorer_of
from reblur.files import sha256_of_file, write_json
from reblur.networks.weights import save_network
from reblur.study.data.available import trained_on
from reblur.study.params import Params, prepare_machine
from reblur.study.provenance import machine
from reblur.study.rows import Run
from reblur.study.runs import read_run, recipe, run_folder, scored, train


class _Enough(Exception):
    """Raised to leave a training after so many updates."""


def reproduce(
    params: Params, profile: str, run: Run, updates: int | None = None, confirm: bool = False
) -> str:
    """Train a committed run again and say how the two compare.

    Args:
        updates: stop after so many (rounded up to a row of the log) and compare the logs alone;
            None: to the end, and compare weights and scores.
        confirm: where the logs agree in every digit, note in `run.json` that the code as it is now
            does the same.

    Raises:
        ReblurError: the run is not there.
    """
    facts = read_run(run_folder(profile, run))
    if facts is None:
        raise ReblurError(f"{run.name}: was not run in profile {profile!r}; run it first.")
    device = prepare_machine(params.profile(profile).machine, profile)
    made = recipe(params, profile, run)
    with TemporaryDirectory(prefix="reblur-reproduce-") as folder:
        if updates is None:
            return _whole(profile, run, made, facts, device, Path(folder))
        found = _logs(profile, run, made, device, Path(folder), updates)
    if found is None and confirm and made["identity"] != facts["identity"]:
        noted = {"identity": made["identity"], "trained_by": made["trained_by"], "updates": updates}
        write_json(run_folder(profile, run) / "run.json", facts | {"confirmed": noted})
        return f"{run.name}: the same over {updates} updates; confirmed for the code as it is now."
    if found is None:
        return f"{run.name}: the same over {updates} updates, digit by digit."
    return f"{run.name}: {found} ({_machines(facts)})."


def _logs(
    profile: str, run: Run, made: Mapping[str, Any], device: str, folder: Path, updates: int
) -> str | None:
    """How the first rows of the log differ, in words; None where they do not."""

    def enough(log: list[dict], validation: list[dict], ended: bool) -> None:
        if log and log[-1]["step"] >= updates:
            raise _Enough

    with suppress(_Enough):
        train(made, device, folder, watch=enough)
    ours = pd.read_csv(folder / "log.csv")
    theirs = pd.read_csv(run_folder(profile, run) / "log.csv").head(len(ours))
    if list(ours.columns) != list(theirs.columns):
        return "its log has other columns"
    if ours.equals(theirs):
        return None
    worst = ((ours - theirs).abs() / theirs.abs().clip(lower=1e-12)).max().max()
    return f"its log differs by up to {worst:.2g} of a value in the first {updates} updates"


def _whole(
    profile: str, run: Run, made: Mapping[str, Any], facts: dict, device: str, folder: Path
) -> str:
    network = train(made, device, folder).network
    weights = folder / "weights.safetensors"
    save_network(network, weights, run=run.as_dict(), **trained_on(made["data"]))
    if sha256_of_file(weights) == facts["weights_sha256"]:
        return f"{run.name}: the same bytes ({_machines(facts)})."
    restorer = restorer_of(network, device=device, channels_last=True)
    ours, _ = scored(run, restorer, network, made, device)
    theirs = pd.read_csv(run_folder(profile, run) / "scores.csv")
    means = [s[s["metric"] == "psnr"].groupby("dataset")["value"].mean() for s in (ours, theirs)]
    worst = (means[0] - means[1]).abs().max()
    return (
        f"{run.name}: other bytes; mean PSNR within {worst:.3f} dB on every test set "
        f"({_machines(facts)})."
    )


def _machines(facts: Mapping[str, Any]) -> str:
    there, here = facts["machine"], machine()
    return f"trained on {_words(there)}, again on {_words(here)}"


def _words(about: Mapping[str, Any]) -> str:
    units = "with" if about["matrix_units"] else "without"
    return f"{about['device']} {units} matrix units, {about['threads']} threads"
