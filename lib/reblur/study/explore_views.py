"""What `Explorer` has chosen, drawn: each view is HTML that shows with and without a kernel.

`controls` and `show` display; in JupyterLab a change of a choice draws the views again where they
stand. Executed without a browser, the notebook keeps what they showed at first.
"""

import base64
import html
from collections.abc import Callable
from typing import Any

import ipywidgets
import pandas as pd
import seaborn as sns
from IPython.display import HTML, display
from itables import to_html_datatable

from reblur.errors import ReblurError
from reblur.study.analysis.drawing import INK, Drawing, canvas, house_style
from reblur.study.analysis.figures import learning_curves
from reblur.study.analysis.pictures import Cell, Panel, crop_window, crops, panel, slider
from reblur.study.analysis.tables import METRICS
from reblur.study.examples import BLURRED_INPUT
from reblur.study.explore import FIELDS, Explorer

View = Callable[[Explorer], str]
EXTREMES = 6  # best and worst images that are shown
SLIDER = 768  # pixels: of a larger picture the square that lost most detail is shown, at 100 %
CROP = 192  # pixels: side of the crops
AT_ONCE = 256 * 256  # pixels: a larger picture that was not kept is restored when it is chosen
MADE = "In dB: PSNR of the whole image. What is not kept is made when the image is chosen above."
NOTHING = "Nothing to show: no run of this chapter was scored in this profile."
_TABLE = "explore-images"
_MIME = "application/vnd.jupyter.widget-view+json"


def controls(explorer: Explorer, *fields: str) -> None:
    """Display a box of choices for each of FIELDS (by default all but the image), and what is
    chosen in words."""
    fields = fields or FIELDS[:-1]
    boxes = {name: _box(explorer, name) for name in fields}
    following = False

    def follow(changed: set[str]) -> None:
        nonlocal following
        following = True
        for name, box in boxes.items():
            box.options = explorer.options(name)
            box.value = explorer.choice[name]
        following = False

    def choose(change: dict[str, Any]) -> None:
        if not following:
            name = next(name for name, box in boxes.items() if box is change["owner"])
            explorer.choose(**{name: change["new"]})

    for box in boxes.values():
        box.observe(choose, "value")
    explorer.listeners.insert(0, follow)
    layout = ipywidgets.Layout(flex_flow="row wrap")
    data = ipywidgets.HBox(list(boxes.values()), layout=layout)._repr_mimebundle_()
    words = "Choosing needs a running kernel: open the notebook in JupyterLab and run it."
    display({_MIME: data[_MIME], "text/plain": words}, raw=True)
    if "image" not in fields:
        show(explorer, chosen)


def show(explorer: Explorer, *views: View, of: tuple[str, ...] = FIELDS[:-1]) -> None:
    """Display views, and draw them again when one of the fields `of` changes."""
    for view in views:
        handle = display(HTML(_drawn(explorer, view)), display_id=True)

        def again(changed: set[str], view: View = view, handle: Any = handle) -> None:
            if changed & set(of):
                handle.update(HTML(_drawn(explorer, view)))

        explorer.listeners.append(again)


def chosen(explorer: Explorer) -> str:
    """The choice in a sentence."""
    word = {name: html.escape(str(value)) for name, value in explorer.choice.items()}
    number = len(explorer.images())
    return (
        f"<p>{html.escape(explorer.said)}</p>"
        * bool(explorer.said)
        + f"<p>Profile <b>{word['profile']}</b>, chapter {word['chapter']}, test set "
        f"{word['test_set']} ({number} images), {word['metric']}: A is <b>{word['a']}</b>, B is "
        f"<b>{word['b']}</b>.</p>"
    )


def table(explorer: Explorer) -> str:
    """The images as a table that sorts, searches and exports CSV; a click on a row chooses it."""
    frame = explorer.images()
    if frame.empty:
        return _note(NOTHING)
    metric, measure = explorer.choice["metric"], explorer.measure
    frame = frame.drop(columns=["gain_b", *["measure"] * (measure == metric)])
    named = {"difference": "A better than B by", "gain_a": "gain of A", "measure": measure}
    frame = frame.rename(columns=named).round(3).reset_index()
    options: dict[str, Any] = {
        "layout": {"topStart": "pageLength", "topEnd": "search", "bottom2": "buttons"},
        "buttons": [{"extend": "csvHtml5", "text": "CSV", "filename": _file_name(explorer)}],
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


def scatter(explorer: Explorer) -> str:
    """A against B, and the gains of both over how hard the image is; a point an image."""
    frame, choice = explorer.images(), explorer.choice
    if frame.empty:
        return _note(NOTHING)
    a, b, metric = choice["a"], choice["b"], _words(choice["metric"])
    with house_style():
        figure, grid = canvas(1, 2, height=4.2)
        left, right = grid[0]
        sns.scatterplot(frame, x=b, y=a, ax=left, s=30)
        ends = [
            min(left.get_xlim()[0], left.get_ylim()[0]),
            max(left.get_xlim()[1], left.get_ylim()[1]),
        ]
        left.plot(ends, ends, "--", color=INK, lw=1)
        left.set(xlabel=f"B: {b}, {metric}", ylabel=f"A: {a}, {metric}", aspect="equal")
        for name, column in {a: "gain_a", b: "gain_b"}.items():
            if name != BLURRED_INPUT:
                sns.scatterplot(x=frame["measure"], y=frame[column], ax=right, s=30, label=name)
        right.axhline(0, color=INK, lw=1, ls="--")
        hard = _words(explorer.measure)
        hard += " of the blurred input" * (explorer.measure == choice["metric"])
        right.set(xlabel=hard, ylabel=f"gain over the blurred input, {metric}")
    share = (frame["difference"] > 0).mean()
    words = f"A is better on {share:.0%} of {len(frame)} images; a point is an image."
    return _figure(Drawing("scatter", f"{a} against {b}.", words, figure))


def extremes(explorer: Explorer) -> str:
    """The six images on which A is better than B by most, and those on which it is by least."""
    frame = explorer.images()
    if frame.empty:
        return _note(NOTHING)
    places = {"better than B by most": frame.head(EXTREMES)}
    places["better than B by least, or worse"] = frame.iloc[::-1].head(EXTREMES)
    return "".join(
        _figure(_strip(explorer, rows["difference"], f"Where A is {words}."))
        for words, rows in places.items()
    )


def _strip(explorer: Explorer, differences: pd.Series, title: str) -> Panel | None:
    """A column an image, a row a version of it: the square that lost most detail."""
    columns = []
    for image, difference in differences.items():
        pair = explorer.pair(image)
        at_once = pair.blurred[..., 0].size <= AT_ONCE
        known = explorer.psnr(image)
        words = {name: f"{value:.2f} dB" for name, value in known.items()}
        words[BLURRED_INPUT] = f"{image} ({difference:+.2f})\n{words.get(BLURRED_INPUT, '')}"
        views = explorer.versions(pair, make=at_once)
        side = min(CROP, *pair.blurred.shape[:2])
        top, left = crop_window(pair.blurred, pair.sharp, side)
        columns.append(
            [
                Cell(None, "not kept") if v is None
                else Cell(v[top : top + side, left : left + side], words.get(name, ""))
                for name, v in views.items()
            ]
        )  # fmt: skip
    rows = [list(row) for row in zip(*columns, strict=True)]
    return panel(rows, key="extremes", title=title, caption=MADE, labels=list(views))


def curves(explorer: Explorer) -> str:
    """Learning curves of A and B: the mean of the seeds and their range."""
    known = explorer.curves()
    parts = []
    for curve, title, log in (
        ("psnr", "PSNR on held-out pairs (dB)", False),
        ("loss", "Loss", True),
    ):
        rows = known[known["curve"] == curve]
        drawn = learning_curves(
            rows, key=curve, title=f"{title}.", ylabel=title, log=log, smooth=5 if log else 1
        )
        parts += [_figure(drawn)] if drawn else []
    return "".join(parts) or _note("Neither A nor B has a learning curve here.")


def pictures(explorer: Explorer) -> str:
    """The chosen image: crops beside each other, and a slider at 100 %."""
    image = explorer.choice["image"]
    if image is None:
        return _note(NOTHING)
    pair, known = explorer.pair(image), explorer.psnr(image)
    versions = explorer.versions(pair)
    lacking = [name for name, version in versions.items() if version is None]
    views = {name: version for name, version in versions.items() if version is not None}
    words = [f"{name}: its picture was not kept, and its weights are not here." for name in lacking]
    if max(pair.blurred.shape[:2]) > SLIDER:
        side = min(SLIDER, *pair.blurred.shape[:2])
        top, left = crop_window(pair.blurred, pair.sharp, side)
        views = {n: v[top : top + side, left : left + side] for n, v in views.items()}
        words.append(f"The {side}×{side} pixels of {image} where the blur took most detail.")
    shown = [name for name in versions if name in views and name not in (BLURRED_INPUT, "sharp")]
    ends = [*shown, *views][:2]  # A and B, or what there is
    seam = slider(views, key="explore", opens_on=ends[0], against=ends[1], psnr=known)
    restored = {n: v for n, v in versions.items() if n not in (BLURRED_INPUT, "sharp")}
    row = crops(pair.blurred, pair.sharp, restored, known) if "sharp" in versions else []
    crop = _figure(panel([row], key="crops", title=f"Image {image}.")) if row else ""
    return crop + "".join(map(_note, words)) + seam


def _drawn(explorer: Explorer, view: View) -> str:
    try:
        return view(explorer)
    except ReblurError as error:
        return _note(str(error))


def _box(explorer: Explorer, name: str) -> ipywidgets.Dropdown:
    words = name.upper() if len(name) == 1 else name.replace("_", " ")
    box = ipywidgets.Dropdown(
        options=explorer.options(name), value=explorer.choice[name], description=words
    )
    box.add_class(f"explore-{name}")
    return box


def _figure(drawn: Drawing | Panel | None) -> str:
    """A drawing or a panel with its words, as HTML."""
    if drawn is None:
        return _note("No picture of these is here.")
    png = isinstance(drawn, Drawing)
    data = base64.b64encode(drawn._repr_png_() if png else drawn._repr_jpeg_()).decode()
    title, caption = html.escape(drawn.title), html.escape(drawn.caption)
    return (
        f'<figure style="margin:0.5em 0"><img alt="{title}" style="max-width:100%" '
        f'src="data:image/{"png" if png else "jpeg"};base64,{data}">'
        f"<figcaption><strong>{title}</strong> {caption}</figcaption></figure>"
    )


def _words(metric: str | None) -> str:
    """A metric as people call it, with its unit."""
    name, unit, _ = METRICS.get(str(metric), (str(metric), "", 0))
    return f"{name} ({unit})" if unit else name


def _note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>'


def _file_name(explorer: Explorer) -> str:
    fields = ("profile", "chapter", "test_set", "metric")
    return "-".join(str(explorer.choice[field]) for field in fields)
