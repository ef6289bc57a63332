"""The report's pages: self-contained, code closed, links that lead somewhere; in a browser."""

import base64
import io
import re
from html.parser import HTMLParser

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from browser import CHROMIUM, Browser
from reblur.errors import ReblurError
from reblur.study.analysis import pictures
from reblur.study.display import NOTHING, banner, links, show, verdicts
from reblur.study.report import render

QUESTION = "**Question.** Does `SS` beat the blurred input?"
METHOD = (
    "## Method\n\nThe state $h^i$ and\n\n$$I^i = \\mathrm{Net}\\left(B^i\\right) \\tag{1}$$\n\n"
    "$$x < y$$\n\n\\begin{align} a &= b \\\\ c &= d \\end{align}"
)
TABLE = (
    '<table class="results"><thead><tr><th rowspan="2">variant</th><th colspan="2">synthetic</th>'
    '<th colspan="2">reds</th></tr><tr><th class="number">PSNR gain<small>dB</small></th>'
    '<th data-hidden="yes">LPIPS</th><th class="number">PSNR gain<small>dB</small></th>'
    "<th>SSIM</th></tr></thead><tbody>"
    '<tr><th>SS</th><td data-value="0.3">+0.30<small>[+0.1, +0.5]</small></td><td>0.2</td>'
    "<td>−0.20</td><td>0.9</td></tr>"
    '<tr><th>RNN</th><td class="missing">not run</td><td>0.1</td><td>0.00</td><td>0.8</td></tr>'
    '<tr><th>full</th><td data-value="1.1">+1.10<small>[+0.9, +1.3]</small></td><td>0.3</td>'
    "<td>+0.10</td><td>0.7</td></tr><tr><th>SC</th><td>−0.10</td><td>0.4</td><td>0.40</td>"
    "<td>0.6</td></tr></tbody></table>"
)
CLAIMS = pd.DataFrame(
    {
        "text": ["SS beats the <blurred> input", "RNN beats SS", "SC is the best", "GRU"],
        "verdict": ["supported", "inconclusive", "supported", "not run"],
        "remark": ["for this one trained network", "an interval contains 0", "", ""],
        "evidence": [
            "SS − blurred: +0.3 dB",
            "RNN − SS: +0.1 dB",
            "SC − SS: +1 dB; SC − RNN: not run",
            "GRU − SS: not run",
        ],
        "seeds": [1, 3, 3, 0],
        "source": ["this study", "this study", "Tao et al.", "this study"],
    }
)


def picture(side=40, kind="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", (side, side), "teal").save(stream, kind)
    return base64.b64encode(stream.getvalue()).decode()


def html(text):
    return nbformat.v4.new_output("display_data", {"text/html": text})


def code(source, *outputs, tags=()):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def slider():
    images = {
        name: np.full((60, 90, 3), level, np.uint8)
        for name, level in (("blurred input", 90), ("SS", 70), ("sharp", 50))
    }
    return pictures.slider(images, key="reds-003", opens_on="SS", psnr={"SS": 27.3})


def write_notebook(path, *cells, title="Scale-recurrent networks"):
    """An executed notebook at `path`, with one of each thing that a page shows."""
    text = nbformat.v4.new_markdown_cell
    alt = {"image/png": {"alt": "Five curves that rise"}}
    figure = nbformat.v4.new_output("display_data", {"image/png": picture()}, metadata=alt)
    book = nbformat.v4.new_notebook(
        cells=[
            text(f"# {title}\n\n{QUESTION}"),
            code("import reblur"),
            code("banner(profile)", html(banner("no evidence <here>").data), tags=["banner"]),
            code(
                "first",
                nbformat.v4.new_output("stream", name="stdout", text="gain 0.30"),
                tags=["summary"],
            ),
            text(METHOD),
            text("## Ablation"),
            code("show(table)", html(TABLE), html(links("results/demo/tables/ablation.csv").data)),
            code("show(figure)", figure),
            code("noisy()", nbformat.v4.new_output("stream", name="stderr", text="a warning")),
            text("## Claims\n\n### Claims\n\n## Claims"),
            code("claims", html(verdicts(CLAIMS).data), html(slider())),
            *cells,
        ],
        metadata={"language_info": {"name": "python", "pygments_lexer": "ipython3"}},
    )
    for number, cell in enumerate(book.cells):
        cell["id"] = f"cell-{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(book, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A profile's folder with a report of two notebooks."""
    folder = tmp_path_factory.mktemp("results") / "demo"
    books = [
        write_notebook(folder / "notebooks" / "compare_scale_recurrent.ipynb"),
        write_notebook(folder / "notebooks" / "compare_defocus.ipynb", title="Defocus & <blur>"),
    ]
    (folder / "tables").mkdir()
    (folder / "tables" / "ablation.csv").write_text("variant\n")
    written = render(books, folder / "report", "Reblur: demo")
    assert [p.name for p in written] == [
        "index.html", "compare_scale_recurrent.html", "compare_defocus.html",
    ]  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return folder / "report" / "compare_scale_recurrent.html"


class Outline(HTMLParser):
    """Tags with their attributes, and the text outside of styles and scripts."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.words, self.silent = [], [], False
        self.feed(path.read_text())
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.silent = tag in ("style", "script")

    def handle_endtag(self, tag):
        self.silent = False

    def handle_data(self, data):
        if not self.silent:
            self.words.append(data)


@pytest.mark.parametrize("name", ["index", "compare_scale_recurrent", "compare_defocus"])
def test_a_page_loads_nothing_and_its_links_lead_somewhere(folder, name):
    path = folder / "report" / f"{name}.html"
    outline = Outline(path)
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = 0
    for tag, attributes in outline.tags:
        assert tag not in ("link", "iframe", "object")
        assert tag != "script" or "src" not in attributes
        if tag == "img":
            assert attributes["src"].startswith("data:image/")
            assert attributes["alt"]
        if tag == "a":
            links += 1
            file, _, fragment = attributes["href"].partition("#")
            assert not file or (path.parent / file).is_file(), attributes["href"]
            assert file or fragment in ids
    assert links > 4
    style = re.search(r"<style.*?</style>", path.read_text(), re.DOTALL).group(0)
    assert not re.search(r"url\(|@import", style)
    assert "default-src 'none'" in path.read_text()
    assert path.stat().st_size < 100_000


def test_code_is_there_but_closed(page):
    outline = Outline(page)
    details = [a for tag, a in outline.tags if tag == "details" and a.get("class") == "code"]
    assert len(details) == 7
    assert not any("open" in attributes for attributes in details)
    assert "show(table)" in outline.text.replace(" ", "")
    silent = [a["id"] for _, a in outline.tags if "silent" in a.get("class", "").split()]
    assert silent == ["cell-1", "cell-8"]
    assert "a warning" not in outline.text


def test_formulas_are_drawn_by_the_browser_alone(page):
    outline = Outline(page)
    assert sum(tag == "math" for tag, _ in outline.tags) == 4
    assert "(1)" in outline.text
    assert not re.search(r"[$\\]", outline.text)
    assert "mathjax" not in page.read_text().lower()


def test_the_contents_name_every_heading_once(page):
    outline = Outline(page)
    inside = [a["href"] for tag, a in outline.tags if tag == "a" and a["href"].startswith("#")]
    assert inside == ["#main", "#method", "#ablation", "#claims", *inside[-2:]]
    assert len(set(inside)) == len(inside)


def test_the_index_shows_questions_verdicts_and_summaries(folder):
    text = Outline(folder / "report" / "index.html").text
    assert text.count("Does SS beat the blurred input?") == 2
    assert text.count("Claims tested: 2 supported, 1 inconclusive, 1 not run.") == 2
    assert text.count("gain 0.30") == 2
    assert text.count("no evidence <here>") == 1  # once, above all chapters
    assert text.index("no evidence") < text.index("Does SS beat")
    assert "Defocus & <blur>" in text
    assert "PSNR" not in text


def test_a_card_says_verdict_seeds_evidence_and_source(page):
    text = Outline(page).text
    assert (
        "supported , for this one trained network (1 seed) SS beats the <blurred> input "
        "SS − blurred: +0.3 dB this study inconclusive , an interval contains 0 (3 seeds)"
    ) in text
    assert "(3 seeds) SC is the best SC − SS: +1 dB 1 comparison not run Tao et al. not run" in text
    assert "not run GRU 1 comparison not run this study" in text


class Made:
    """A table or figure as the analysis makes them."""

    title, caption = "Gain.", "Mean & interval."

    def write(self, folder):
        path = folder / "gain.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"picture")
        return path


class Table(Made):
    def _repr_html_(self):
        return TABLE


@pytest.fixture
def displayed(monkeypatch):
    """What was displayed: (its HTML or the thing itself, metadata)."""
    found = []

    def note(thing, metadata=None):
        found.append((getattr(thing, "data", thing), metadata))

    monkeypatch.setattr("reblur.study.display.display", note)
    return found


@pytest.mark.parametrize("made", [Made(), Table()])
def test_what_is_shown_is_written_and_linked(tmp_path, displayed, made):
    folder = tmp_path / "results" / "demo" / "figures" / "defocus"
    show(made, folder)
    assert (folder / "gain.png").read_bytes() == b"picture"
    (shown, metadata), *captions, (link, _) = displayed
    assert shown is made
    assert metadata["image/png"] == {"alt": "Gain. Mean & interval."}
    words = '<p class="caption"><strong>Gain.</strong> Mean &amp; interval.</p>'
    assert captions == ([] if isinstance(made, Table) else [(words, None)])  # a table has its own
    assert '<a href="../figures/defocus/gain.png">' in link


def test_a_figure_of_nothing_is_one_sentence(tmp_path, displayed):
    show(None, tmp_path / "figures")
    assert displayed == [(f'<p class="note">{NOTHING}</p>', None)]
    assert not (tmp_path / "figures").exists()


def test_the_same_notebooks_make_the_same_bytes(folder, page):
    before = page.read_bytes()
    render(
        [folder / "notebooks" / "compare_scale_recurrent.ipynb"], folder / "again", "Reblur: demo"
    )
    again = (folder / "again" / page.name).read_text()
    assert again != before.decode()  # another list of pages
    render(
        sorted((folder / "notebooks").glob("*.ipynb"), reverse=True),
        folder / "again",
        "Reblur: demo",
    )
    assert (folder / "again" / page.name).read_bytes() == before


def test_a_text_cannot_become_markup():
    assert "<here>" not in banner("<here>").data
    claim = CLAIMS.iloc[:1].assign(text="<script>", evidence="<i>", source="<b>")
    assert not re.search("<script|<i>|<b>", verdicts(claim).data)


def test_a_formula_that_is_wrong_is_one_sentence(tmp_path):
    path = write_notebook(tmp_path / "n.ipynb", nbformat.v4.new_markdown_cell("$\\nonsense$"))
    with pytest.raises(ReblurError, match=r"The formula \\nonsense: .*[Uu]nknown command.*Mend it"):
        render([path], tmp_path / "report", "Reblur")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "at least one executed notebook"),
        (["none"], "no such executed notebook; run it"),
        (["n"], "was not executed; 'reblur notebook n' does it"),
    ],
)
def test_without_executed_notebooks_the_remedy_is_named(tmp_path, names, sentence):
    nbformat.write(nbformat.v4.new_notebook(cells=[code("1 + 1")]), tmp_path / "n.ipynb")
    with pytest.raises(ReblurError, match=sentence):
        render([tmp_path / f"{name}.ipynb" for name in names], tmp_path / "report", "Reblur")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["index", "compare_scale_recurrent"])
def test_in_a_browser_nothing_overflows_and_nothing_complains(folder, browser, name, width, scheme):
    browser.open(folder / "report" / f"{name}.html", width, scheme)
    assert browser.ask("innerWidth") == width
    assert browser.ask("document.documentElement.scrollWidth") <= width
    background = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert (min(map(int, re.findall(r"\d+", background))) > 127) == (scheme == "light")
    assert browser.complaints() == []


def test_in_a_browser_a_table_sorts_and_its_columns_can_be_chosen(page, browser):
    browser.open(page, 1280)
    table = "document.querySelector('table.results')"
    first = f"[...{table}.tBodies[0].rows].map((row) => row.cells[0].textContent)"
    gain = f"{table}.tHead.rows[1].cells[0].querySelector('button').click()"
    browser.ask(gain)
    assert browser.ask(first) == ["SC", "SS", "full", "RNN"]
    browser.ask(gain)
    assert browser.ask(first) == ["full", "SS", "SC", "RNN"]
    browser.ask(f"{table}.tHead.rows[0].cells[0].querySelector('button').click()")
    assert browser.ask(first) == ["full", "RNN", "SC", "SS"]
    shown = f"[...{table}.querySelectorAll('tr:not([hidden]) > *')].filter((c) => !c.hidden).length"
    assert browser.ask(shown) == 2 + 1 + 3 + 4 * 4  # LPIPS is hidden until it is chosen
    boxes = "document.querySelectorAll('.columns input')"
    assert browser.ask("document.querySelector('.columns').textContent").startswith(
        "Columns: 4 of 5"
    )
    browser.ask(f"{boxes}[1].click()")
    assert browser.ask(shown) == 2 + 1 + 4 + 4 * 5
    assert browser.ask(f"{table}.tHead.rows[0].cells[1].colSpan") == 2
    browser.ask(f"{boxes}[2].click(); {boxes}[3].click()")
    assert browser.ask(f"{table}.tHead.rows[0].cells[2].hidden") is True
    assert browser.complaints() == []


def test_in_a_browser_the_slider_opens_on_the_method_and_moves(page, browser):
    browser.open(page, 390)
    slider = "document.querySelector('.slider')"
    said = f"[...{slider}.querySelectorAll('.tag')].map((tag) => tag.textContent)"
    assert browser.ask(said) == ["blurred input", "SS (27.30 dB)"]
    position = f"{slider}.querySelector('input')"
    event = "new Event('input', {bubbles: true})"
    browser.ask(f"{position}.value = '25'; {position}.dispatchEvent({event})")
    assert browser.ask(f"getComputedStyle({slider}.querySelector('.seam')).left") == "87.5px"
    clipped = f"{slider}.querySelector('[data-end=left]:not(select, span)').style.clipPath"
    assert browser.ask(clipped) == "inset(0px 75% 0px 0px)"
    box = browser.ask(
        f"(() => {{ const s = {slider}.querySelector('.stage'); "
        "s.scrollIntoView({behavior: 'instant', block: 'center'});"
        " const b = s.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
    )
    assert box[2] == pytest.approx(350)
    assert box[2] / box[3] == pytest.approx(1.5, abs=0.01)
    point = {"x": box[0] + 0.8 * box[2], "y": box[1] + 20, "button": "left", "clickCount": 1}
    browser.call("Input.dispatchMouseEvent", type="mousePressed", **point)
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", **point)
    assert browser.ask(f"{position}.value") == "80"
    assert browser.ask(f"getComputedStyle({slider}.querySelector('.seam')).left") == "280px"
    choice = f"{slider}.querySelectorAll('select')[1]"
    event = "new Event('change', {bubbles: true})"
    browser.ask(f"{choice}.value = 'sharp'; {choice}.dispatchEvent({event})")
    assert browser.ask(f"{slider}.querySelector('img[data-end=right]').alt") == "sharp"
    assert browser.ask(said) == ["blurred input", "sharp"]
    assert browser.complaints() == []


def test_in_a_browser_the_code_is_shown_on_request(page, browser):
    browser.open(page, 1280)
    visible = (
        "[...document.querySelectorAll('.code pre')].filter((e) => e.checkVisibility()).length"
    )
    assert browser.ask(visible) == 0
    browser.ask("document.querySelector('#cell-6 .code summary').click()")
    assert browser.ask(visible) == 1
    browser.ask("document.querySelector('.show-code').click()")
    assert browser.ask(visible) == 7
    browser.ask("document.querySelector('.show-code').click()")
    assert browser.ask(visible) == 0
    assert browser.complaints() == []
