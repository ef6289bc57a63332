"""What `Explorer` has chosen, drawn: each view is HTML that shows with and without a kernel.

`controls` and `show` display; in JupyterLab a change of a choice draws the views again where they
stand. Executed without a browser, the notebook keeps what they showed at first.
"""

import base64
import html
import io
from collections.abc import Callable
from typing import Any

import ipywidgets
import matplotlib.style
import numpy as np
import pandas as pd
from IPython.display import HTML, display
from matplotlib.figure import Figure

from reblur.errors import ReblurError
from reblur.study.analysis.tables import METRICS
from reblur.study.explore import BLUR_LENGTH, BLURRED_INPUT, FIELDS, Explorer

View = Callable[[Explorer], str]
EXTREMES = 6  # best and worst images that are shown
SLIDER, CROP = 768, 192  # pixels: sides of the squares that are shown, at 100 %
NOTHING = "Nothing to show: no run of this chapter was scored in this profile."
STYLE = ("seaborn-v0_8-whitegrid", "seaborn-v0_8-colorblind", {"grid.color": "#E4E4E4"})
_TABLE = "explore-images"
_MIME = "application/vnd.jupyter.widget-view+json"


def controls(explorer: Explorer, *fields: str) -> None:
    """Display a box of choices for each of FIELDS (by default all but the image), and what is
    chosen in words."""
    boxes = {name: ipywidgets.Dropdown() for name in fields or FIELDS[:-1]}
    following = False

    def follow(changed: set[str]) -> None:
        nonlocal following
        following = True  # what the boxes say now was not chosen in them
        for name, box in boxes.items():
            box.options, box.value = explorer.options(name), explorer.choice[name]
        following = False

    def observe(name: str, box: ipywidgets.Dropdown) -> None:
        box.description = name.upper() if len(name) == 1 else name.replace("_", " ")
        box.add_class(f"explore-{name}")
        box.observe(lambda change: following or explorer.choose(**{name: change["new"]}), "value")

    follow(set())
    for name, box in boxes.items():
        observe(name, box)
    explorer.listeners.insert(0, follow)
    layout = ipywidgets.Layout(flex_flow="row wrap")
    data = ipywidgets.HBox(list(boxes.values()), layout=layout)._repr_mimebundle_()
    words = "Choosing needs a running kernel: open the notebook in JupyterLab and run it."
    display({_MIME: data[_MIME], "text/plain": words}, raw=True)
    if not fields:
        show(explorer, chosen)


def show(explorer: Explorer, *views: View, of: tuple[str, ...] = FIELDS[:-1]) -> None:
    """Display views, and draw them again when one of the fields `of` changes."""

    def drawn(view: View) -> HTML:
        try:
            return HTML(view(explorer))
        except ReblurError as error:
            return HTML(_note(str(error)))

    handles = {view: display(drawn(view), display_id=True) for view in views}

    def again(changed: set[str]) -> None:
        for view, handle in handles.items() if changed & set(of) else ():
            handle.update(drawn(view))

    explorer.listeners.append(again)


def chosen(explorer: Explorer) -> str:
    """The choice in a sentence."""
    word = {name: html.escape(str(value)) for name, value in explorer.choice.items()}
    return (_note(explorer.said) if explorer.said else "") + (
        f"<p>Profile <b>{word['profile']}</b>, chapter {word['chapter']}, test set "
        f"{word['test_set']} ({len(explorer.images())} images), {word['metric']}: A is "
        f"<b>{word['a']}</b>, B is <b>{word['b']}</b>.</p>"
    )


def scatter(explorer: Explorer) -> str:
    """A against B, and the gains of both over how hard the image is; a point an image."""
    frame, choice = explorer.images(), explorer.choice
    if frame.empty:
        return _note(NOTHING)
    a, b, metric = choice["a"], choice["b"], _words(choice["metric"])
    with matplotlib.style.context(list(STYLE)):
        figure = Figure(figsize=(8.6, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.scatter(frame[b], frame[a], s=20)
        finite = frame[[a, b]].replace(np.inf, np.nan)
        ends = [finite.min(axis=None), finite.max(axis=None)]
        left.plot(ends, ends, "--", color="black", lw=1)
        left.set(xlabel=f"B: {b}, {metric}", ylabel=f"A: {a}, {metric}", aspect="equal")
        for name, column in {a: "gain_a", b: "gain_b"}.items():
            if name != BLURRED_INPUT:
                right.scatter(frame["measure"], frame[column], s=20, label=name)
        right.axhline(0, color="black", lw=1, ls="--")
        known = explorer.measured_by == BLUR_LENGTH
        hard = "length of the blur (px)" if known else f"{metric} of the blurred input"
        right.set(xlabel=hard, ylabel=f"gain over the blurred input, {metric}")
        right.legend()
        share = (frame["difference"] > 0).mean()
        words = f"A is better on {share:.0%} of {len(frame)} images; a point is an image."
        stream = io.BytesIO()
        figure.savefig(stream, dpi=120)
    return _figure(stream.getvalue(), "png", f"{a} against {b}.", words)


def table(explorer: Explorer) -> str:
    """The images as a table that sorts, searches and exports CSV; a click on a row chooses it."""
    from itables import to_html_datatable

    frame = explorer.images()
    if frame.empty:
        return _note(NOTHING)
    drop = ["gain_b"] if explorer.measured_by == BLUR_LENGTH else ["gain_b", "measure"]
    named = {"difference": "A better by", "gain_a": "gain of A", "measure": "blur (px)"}
    frame = frame.drop(columns=drop).rename(columns=named).round(3).reset_index()
    file = "-".join(str(explorer.choice[name]) for name in FIELDS[:4])
    options: dict[str, Any] = {
        "layout": {"topStart": "pageLength", "topEnd": "search", "bottom2": "buttons"},
        "buttons": [{"extend": "csvHtml5", "text": "CSV", "filename": file}],
        "order": [[list(frame).index(named["difference"]), "desc"]],
        "table_id": _TABLE,
    }
    made = to_html_datatable(frame, connected=False, showIndex=False, maxBytes=0, **options)
    return made + f"<script>{_CLICK}</script>"


_CLICK = f"""document.getElementById("{_TABLE}").addEventListener("click", event => {{
  const row = event.target.closest("tbody tr");
  const box = document.querySelector(".explore-image select");
  if (!row || !box) return;
  box.value = row.cells[0].textContent.trim();
  box.dispatchEvent(new Event("change", {{bubbles: true}}));
}});"""


def extremes(explorer: Explorer) -> str:
    """The six images on which A is better than B by most, and those on which it is by least."""
    frame = explorer.images()
    if frame.empty:
        return _note(NOTHING)
    best, worst = frame.head(EXTREMES), frame.iloc[::-1].head(EXTREMES)
    return _panel(explorer, best, "better than B by most") + _panel(
        explorer, worst, "better than B by least, or worse"
    )


def _panel(explorer: Explorer, frame: pd.DataFrame, words: str) -> str:
    """A column an image, a row a version of it."""
    from reblur.study.analysis.pictures import Cell, panel

    columns = []
    for image, difference in frame["difference"].items():
        views, known = explorer.pictures(image, CROP), explorer.psnr(image)
        said = {name: f"{value:.2f} dB" for name, value in known.items()}
        said[BLURRED_INPUT] = f"{image} ({difference:+.2f})\n{said.get(BLURRED_INPUT, '')}"
        columns.append([Cell(v, said.get(n, "") if v is not None else "no weights here")
                        for n, v in views.items()])  # fmt: skip
    rows = [list(row) for row in zip(*columns, strict=True)]
    made = panel(rows, key="extremes", title="", labels=list(views))
    title = f"Where A is {words}."
    caption = "The square in which the blur took most detail; PSNR is of the whole image."
    return _figure(made._repr_jpeg_(), "jpeg", title, caption)


def curves(explorer: Explorer) -> str:
    """Learning curves of A and B: the mean of the seeds and their range."""
    from reblur.study.analysis.figures import learning_curves

    known, parts = explorer.curves(), []
    for curve, title in {"psnr": "PSNR on held-out pairs (dB)", "loss": "Loss"}.items():
        log = curve == "loss"
        drawn = learning_curves(
            known[known["curve"] == curve], key=curve, title=f"{title}.", ylabel=title, log=log,
            smooth=5 if log else 1,
        )  # fmt: skip
        if drawn:
            parts.append(_figure(drawn._repr_png_(), "png", drawn.title, drawn.caption))
    return "".join(parts) or _note("Neither A nor B has a learning curve here.")


def pictures(explorer: Explorer) -> str:
    """The chosen image: a slider at 100 %."""
    from reblur.study.analysis.pictures import slider

    image = explorer.choice["image"]
    if image is None:
        return _note(NOTHING)
    views = explorer.pictures(image, SLIDER)
    lacking = [f"{name}: its weights are not here." for name, v in views.items() if v is None]
    shown = {name: view for name, view in views.items() if view is not None}
    first = [name for name in shown if name not in (BLURRED_INPUT, "sharp")]
    opens, against = [*first, *(name for name in shown if name not in first)][:2]
    seam = slider(
        shown, key="explore", opens_on=opens, against=against, psnr=explorer.psnr(image),
        bytes_at_most=8_000_000,
    )  # fmt: skip
    words = f"Image {image}: at most {SLIDER} × {SLIDER} pixels, where the blur took most detail."
    return "".join(map(_note, [words, *lacking])) + seam


def _figure(data: bytes, kind: str, title: str, caption: str) -> str:
    coded, title = base64.b64encode(data).decode(), html.escape(title)
    return (
        f'<figure style="margin:0.5em 0"><img alt="{title}" style="max-width:100%" '
        f'src="data:image/{kind};base64,{coded}">'
        f"<figcaption><strong>{title}</strong> {html.escape(caption)}</figcaption></figure>"
    )


def _words(metric: str | None) -> str:
    """A metric as people call it, with its unit."""
    name, unit, _ = METRICS.get(str(metric), (str(metric), "", 0))
    return f"{name} ({unit})" if unit else name


def _note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>'
