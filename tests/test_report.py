"""The page: whole, self-contained, honest about what is missing; driven where a browser is."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

import fake_results as fake
from reblur.errors import ReblurError
from reblur.study import scale_recurrent
from reblur.study.figures import save_figure
from reblur.study.panels import save_slider
from reblur.study.provenance import stamp
from reblur.study.report import write_report
from reblur.study.results import read_study
from reblur.study.tables import write_table

OUT = ("sc-0", "rnn-1")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def params(profile="demo", seeds=2, evidence=False):
    part = {"variants": list(fake.VARIANTS), "seeds": list(range(seeds))}
    return {
        "scale_recurrent": fake.CHAPTER,
        "profiles": {profile: {"evidence": evidence, "scale_recurrent": part}},
    }


def write_project(project, profile="demo", seeds=2, evidence=False, out=OUT, figures=True):
    """A project whose comparison has been made from made-up runs; returns its results' folder."""
    root = fake.write_results(project / "results" / profile, seeds=seeds, leave_out=out)
    study = read_study(root, fake.runs(seeds), ["synthetic", "reds_samples"], evidence)
    examples = fake.examples(root, study)
    made = stamp(profile, {"steps": 200}, {"photos": "ab"}, study.inputs, root)
    for table in scale_recurrent.tables(study, fake.CHAPTER):
        write_table(table, root / "tables", made)
    if not figures:
        return root
    for drawing in scale_recurrent.figures(study, fake.CHAPTER, examples):
        save_figure(drawing, root / "figures", made)
    save_slider(examples, root / "figures", scale_recurrent.LABELS, made)
    return root


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = tmp_path_factory.mktemp("project")
    write_project(project)
    return project


@pytest.fixture(scope="module")
def page(project):
    return write_report(project, "demo", params())


class Outline(HTMLParser):
    """Tags with their attributes, and whether every tag was closed."""

    VOID = frozenset({"meta", "img", "input", "br", "link"})

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


@pytest.fixture(scope="module")
def outline(page):
    outline = Outline()
    outline.feed(page.read_text())
    assert outline.open == []
    return outline


@pytest.fixture(scope="module")
def words(outline):
    return " ".join(" ".join(outline.text).split())


def test_the_page_asks_for_nothing_from_outside(page, outline):
    assert page.stat().st_size < 5_000_000
    for tag, attributes in outline.tags:
        for name in ("src", "href", "action", "srcset", "data"):
            if name in attributes:
                assert attributes[name].startswith(("data:image/", "#")), (tag, attributes[name])
    style = re.search(r"<style>(.*?)</style>", page.read_text(), re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style


def test_every_picture_has_words_and_every_link_a_target(outline):
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in outline.tags:
        if tag == "img":
            assert len(attributes["alt"]) > 10
        if tag == "a":
            assert attributes["href"][1:] in ids


def test_the_page_answers_plainly_and_labels_a_demo(words):
    assert "Profile demo: no evidence." in words
    assert "Does SR-EDRB3 beat doing nothing on held-out synthetic blur? Yes" in words
    assert "cannot tell" in words
    assert "no evidence" in words


def test_missing_runs_are_listed(words):
    assert "20 of 22 runs are here." in words
    assert "Missing: sc-0, rnn-1." in words


def test_published_figures_stand_in_their_own_columns(outline):
    paper = [a for tag, a in outline.tags if tag == "td" and "paper" in a.get("class", "")]
    assert len(paper) > 30


def test_the_page_is_the_same_twice(project, page):
    before = page.read_bytes()
    assert write_report(project, "demo", params()).read_bytes() == before


def test_a_profile_with_evidence_has_no_banner(tmp_path):
    write_project(tmp_path, "gpu", evidence=True, out=(), figures=False)
    text = write_report(tmp_path, "gpu", params("gpu", evidence=True)).read_text()
    assert "no evidence" not in text
    assert "22 of 22 runs are here." in text


def test_what_was_not_made_is_said(project, tmp_path):
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    root = tmp_path / "results" / "demo"
    for path in (root / "figures").glob("scales*"):
        path.unlink()
    shutil.rmtree(root / "figures" / "slider")
    text = write_report(tmp_path, "demo", params()).read_text()
    assert "figures/scales: missing" in text
    assert "figures/slider/slider: missing" in text


def test_text_of_a_table_cannot_become_markup(tmp_path, monkeypatch):
    monkeypatch.setitem(scale_recurrent.LABELS, "ss", "<script>alert(1)</script>")
    write_project(tmp_path, figures=False)
    text = write_report(tmp_path, "demo", params()).read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_without_results_the_remedy_is_named(tmp_path):
    with pytest.raises(ReblurError, match="make study"):
        write_report(tmp_path, "demo", params())


DRIVE = """
<script>
addEventListener("load", () => {
  const said = {};
  const figure = document.querySelector(".compare");
  const range = figure.querySelector("input[type=range]");
  const stage = figure.querySelector(".stage");
  const [left, right] = figure.querySelectorAll("select");
  said.start = [left.selectedOptions[0].text, right.selectedOptions[0].text].join(" | ");
  range.value = "25";
  range.dispatchEvent(new Event("input"));
  said.seam = stage.style.getPropertyValue("--seam");
  said.spoken = range.getAttribute("aria-valuetext");
  right.value = String(right.options.length - 1);
  right.dispatchEvent(new Event("change"));
  said.right = stage.querySelector(".right").alt;
  const table = document.querySelector("#scale_recurrent-ablation table");
  const heads = [...table.tHead.rows[0].cells];
  const gain = heads.find((head) => head.textContent.startsWith("gain"));
  gain.querySelector("button").click();
  gain.querySelector("button").click();
  said.order = [...table.tBodies[0].rows].map((row) => row.cells[0].textContent).join(", ");
  said.sorted = gain.getAttribute("aria-sort");
  said.overflow = document.documentElement.scrollWidth - innerWidth;
  const pre = document.createElement("pre");
  pre.id = "said";
  for (const [key, value] of Object.entries(said)) pre.append(`${key}=${value};;`);
  document.body.append(pre);
});
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
@pytest.mark.parametrize("width", [400, 1280])
def test_in_a_browser_the_slider_moves_and_tables_sort(page, tmp_path, width):
    driven = tmp_path / "driven.html"
    driven.write_text(page.read_text().replace("</body>", DRIVE + "</body>"))
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'browser'}",
            f"--window-size={width},900", "--dump-dom", driven.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    said = dict(
        part.split("=", 1)
        for part in re.search(r'<pre id="said">(.*?)</pre>', done.stdout, re.DOTALL)
        .group(1)
        .split(";;")[:-1]
    )
    assert said["start"].startswith("blurred")
    assert "| SR-EDRB3" in said["start"]
    assert said["seam"] == "25%"
    assert said["spoken"].startswith("25 % blurred")
    assert said["right"] == "synthetic 000, sharp"
    assert said["sorted"] == "descending"
    assert said["order"].startswith("SR-EDRB3 + skip (ours), SR-EDRB3, ")
    assert said["order"].endswith("do nothing")
    assert int(said["overflow"]) <= 0
