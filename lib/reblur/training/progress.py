"""What one sees of a training while it runs: a bar, and a curve in a notebook."""

import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from reblur.files import atomic_open
from reblur.training.records import Row


class Progress:
    """A bar with loss, PSNR, images/s and the time left.

    Plain text, never a widget, and outside a terminal (an executed notebook, a log file) redrawn
    every ten seconds only, so that it does not flood what is kept.
    """

    def __init__(self, steps: int, done: int, images_per_step: int, *, shown: bool) -> None:
        self._images_per_step = images_per_step
        self._bar = tqdm(
            total=steps,
            initial=done,
            desc="training",
            unit="step",
            ascii=True,
            ncols=100,
            mininterval=0.5 if sys.stderr.isatty() else 10.0,
            disable=not shown,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n}/{total} [{remaining} left]{postfix}",
        )
        self._done, self._began = done, time.perf_counter()

    def step(self, row: Row | None) -> None:
        """One more update is done; `row` is the log's, if one was due."""
        self._bar.update()
        if row is None or self._bar.disable:
            return
        shown = [f"loss {row['loss']:.3g}"]
        if "psnr" in row:
            shown.append(f"{row['psnr']:.2f} dB")
        seconds = time.perf_counter() - self._began
        shown.append(f"{(self._bar.n - self._done) * self._images_per_step / seconds:.3g} images/s")
        self._bar.set_postfix_str(", ".join(shown), refresh=False)

    def close(self) -> None:
        """Draw the bar for the last time."""
        self._bar.close()


class LiveCurve:
    """Redraws one figure in a notebook while `train(..., watch=LiveCurve())` runs.

    Left: the loss over the steps. Right: the PSNR of the training batches and of the validation.
    The figure is updated in place, at most every `seconds`, and once more at the end. Outside a
    notebook nothing is shown; `save` (a .png) receives the finished figure in either case.
    """

    def __init__(self, seconds: float | int = 5.0, save: Path | None = None) -> None:
        self._seconds, self._save = seconds, save
        self._drawn = -float("inf")
        self._handle = None

    def __call__(self, log: Sequence[Row], validation: Sequence[Row], finished: bool) -> None:
        """Draw the rows so far, if the last drawing is old enough or the training has finished."""
        due = time.monotonic() - self._drawn >= self._seconds and _in_notebook()
        if not log or not (due or finished):
            return
        self._drawn = time.monotonic()
        drawing = io.BytesIO()
        curve_figure(log, validation).savefig(drawing, dpi=100, metadata={"Software": None})
        if self._save is not None and finished:
            with atomic_open(self._save, "wb") as stream:
                stream.write(drawing.getvalue())
        if _in_notebook():
            from IPython.display import Image, display

            image = Image(drawing.getvalue())
            if self._handle is None:
                self._handle = display(image, display_id=True)
            else:
                self._handle.update(image)


def curve_figure(log: Sequence[Row], validation: Sequence[Row]) -> Any:
    """A matplotlib figure of a training's log and validation rows, outside pyplot's bookkeeping.

    A training without a PSNR has the loss alone.
    """
    from matplotlib.figure import Figure

    rated = any("psnr" in row for row in (*log, *validation))
    figure = Figure(figsize=(9 if rated else 4.5, 3), layout="constrained")
    loss, *others = figure.subplots(1, 2 if rated else 1, squeeze=False)[0]
    loss.semilogy([row["step"] for row in log], [row["loss"] for row in log])
    loss.set(xlabel="step", ylabel="loss")
    if not others:
        return figure
    quality = others[0]
    for rows, label in ((log, "training batches"), (validation, "validation")):
        points = [(row["step"], row["psnr"]) for row in rows if "psnr" in row]
        if points:
            quality.plot(*zip(*points, strict=True), label=label)
    quality.set(xlabel="step", ylabel="PSNR (dB)")
    if quality.lines:
        quality.legend()
    return figure


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this; IPython is not loaded to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
