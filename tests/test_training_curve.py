"""The live curve: its content, and that it stays one figure in an executed notebook."""

import nbformat
import pytest
from nbclient import NotebookClient

from reblur.training import LiveCurve
from reblur.training.progress import curve_figure

LOG = [{"step": 10 * n, "loss": 0.1 / n, "psnr": 20.0 + n, "lr": 1e-4} for n in range(1, 6)]
VALIDATION = [{"step": 25, "seconds": 1.0, "psnr": 21.5}, {"step": 50, "seconds": 2.0, "psnr": 23}]


def test_the_figure_shows_loss_and_both_psnr():
    loss, quality = curve_figure(LOG, VALIDATION).axes
    assert loss.lines[0].get_ydata().tolist() == [row["loss"] for row in LOG]
    assert [line.get_label() for line in quality.lines] == ["training batches", "validation"]
    assert quality.lines[1].get_xdata().tolist() == [25, 50]


def test_an_objective_without_psnr_has_a_loss_curve():
    axes = curve_figure([{"step": 1, "loss": 0.5}], []).axes
    assert [axis.get_ylabel() for axis in axes] == ["loss"]


def test_outside_a_notebook_only_the_finished_figure_is_written(tmp_path):
    curve = LiveCurve(save=tmp_path / "curve.png")
    curve(LOG[:2], [], False)
    assert not (tmp_path / "curve.png").exists()
    curve(LOG, VALIDATION, True)
    first = (tmp_path / "curve.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    curve(LOG, VALIDATION, True)
    assert (tmp_path / "curve.png").read_bytes() == first


@pytest.mark.slow
def test_a_notebook_keeps_one_figure():
    code = f"""
from reblur.training import LiveCurve
curve = LiveCurve(seconds=0)
log = {LOG}
for n in range(1, 6):
    curve(log[:n], [], n == 5)
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    assert [output.output_type for output in outputs] == ["display_data"]
    assert "image/png" in outputs[0].data
