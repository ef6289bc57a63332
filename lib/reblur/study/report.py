"""The report: executed notebooks as self-contained HTML pages, by nbconvert and a template of ours.

A page holds a notebook's words and what its cells show; the code stands closed under it. Nothing
is loaded from outside: pictures are data, formulas become MathML while the page is made (browsers
draw it by themselves; MathJax would be a megabyte of script a page).
"""

import os
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import pass_context
from math_core import LatexError, LatexToMathML
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from reblur.errors import ReblurError
from reblur.files import write_text
from reblur.study.params import Params, project_root, results_folder
from reblur.study.results_page import write_results
from reblur.study.verify import write_provenance

SUMMARY = "summary"  # the tag of cells whose outputs the index shows
BANNER = "banner"  # of the cell whose output stands under the index's title, once
#: The CSS class of a claim's card → its word.
VERDICTS = {word: word for word in ("supported", "refuted", "inconclusive")} | {
    "missing": "not run"
}


def render(notebooks: list[Path], folder: Path, title: str) -> list[Path]:
    """Write one page a notebook, <folder>/<stem>.html, and index.html; returns the index first.

    The index shows the first banner, and of each notebook its title, its first paragraph, the
    outputs of its cells tagged "summary" and how its claims came out.

    Raises:
        ReblurError: no notebook, one that is not there or was not executed, a wrong formula.
    """
    if not notebooks:
        raise ReblurError(f"{folder}: a report needs at least one executed notebook; run one.")
    folder = Path(folder)
    read = {Path(path): _read(Path(path)) for path in notebooks}
    pages = [{"file": "index.html", "title": title}]
    pages += [{"file": f"{path.stem}.html", "title": _title(path, n)} for path, n in read.items()]
    _, *shown = pages
    books = [_index(title, list(zip(shown, read.values(), strict=True))), *read.values()]
    templates = [str(files("reblur.study") / "templates")]
    exporter = _Exporter(template_name="report", extra_template_basedirs=templates)
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    written = []
    for page, path, book in zip(pages, [None, *read], books, strict=True):
        source = None if path is None else Path(os.path.relpath(path, folder)).as_posix()
        facts = page | {"pages": pages, "contents": [], "notebook": source}
        html, _ = exporter.from_notebook_node(book, {"page": facts})
        written.append(folder / page["file"])
        write_text(written[-1], html)
    return written


class _Renderer(IPythonRenderer):
    """Markdown as HTML: formulas as MathML, headings noted in `contents`."""

    def __init__(self, contents: list[dict[str, Any]]) -> None:
        super().__init__(escape=False)
        self.contents = contents

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        plain = re.sub(r"<[^>]+>", "", text)
        name = re.sub(r"\W+", "-", plain.lower()).strip("-") or "section"
        names = [entry["id"] for entry in self.contents]
        name = name if name not in names else f"{name}-{len(names)}"
        self.contents.append({"level": level, "text": plain, "id": name})
        return f'<h{level} id="{name}">{text}</h{level}>\n'

    def block_math(self, body: str) -> str:
        body = f"\\begin{{equation}}{body}\\end{{equation}}" if "\\tag" in body else body
        return f'<div class="formula">{mathml(body, block=True)}</div>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")

    def inline_math(self, body: str) -> str:
        return mathml(body, block=False)


def mathml(formula: str, block: bool) -> str:
    """A LaTeX formula as MathML, which browsers draw without any script.

    Raises:
        ReblurError: a formula that is wrong.
    """
    try:
        return LatexToMathML().convert_with_local_state(formula.strip(), displaystyle=block)
    except LatexError as error:
        reason = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip().splitlines()[0]
        raise ReblurError(f"The formula {formula.strip()}: {reason} Mend it.") from error


class _Exporter(HTMLExporter):
    """nbconvert's exporter with our Markdown; `resources["page"]` holds the page's facts."""

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        contents = context["resources"]["page"]["contents"]
        return MarkdownWithMath(renderer=_Renderer(contents)).render(source)


def _read(path: Path) -> nbformat.NotebookNode:
    if not path.is_file():
        raise ReblurError(f"{path}: there is no such executed notebook; run it first.")
    book = nbformat.read(path, as_version=4)
    codes = [cell for cell in book.cells if cell.cell_type == "code"]
    if codes and not any(cell.outputs for cell in codes):
        raise ReblurError(f"{path}: was not executed; 'reblur notebook {path.stem}' does it.")
    return book


def _title(path: Path, book: nbformat.NotebookNode) -> str:
    """The first heading, or the file's name."""
    words = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    found = re.search(r"^# +(.+)$", words, re.MULTILINE)
    return found.group(1).strip() if found else path.stem


def _index(
    title: str, pages: list[tuple[dict[str, Any], nbformat.NotebookNode]]
) -> nbformat.NotebookNode:
    """The index, as a notebook of its own."""
    cells = [nbformat.v4.new_markdown_cell(f"# {title}")]
    cells += [cell for _, book in pages for cell in _shown(book, BANNER)][:1]
    for page, book in pages:
        lines = [f"## [{page['title']}]({page['file']})", _question(book), _verdicts(book)]
        cells.append(nbformat.v4.new_markdown_cell("\n\n".join(line for line in lines if line)))
        cells += _shown(book, SUMMARY)
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return nbformat.v4.new_notebook(cells=cells)


def _shown(book: nbformat.NotebookNode, tag: str) -> list[nbformat.NotebookNode]:
    """The outputs of the code cells with a tag, as cells without code."""
    return [
        nbformat.v4.new_code_cell("", outputs=cell.outputs)
        for cell in book.cells
        if cell.cell_type == "code" and tag in cell.metadata.get("tags", []) and cell.outputs
    ]


def _question(book: nbformat.NotebookNode) -> str:
    """The first paragraph that is no heading."""
    words = "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    return next((p for p in re.split(r"\n\s*\n", words) if not p.lstrip().startswith("#")), "")


def _verdicts(book: nbformat.NotebookNode) -> str:
    """How many of the notebook's claims came out how, as a sentence."""
    shown = [
        o.get("data", {}).get("text/html", "") for c in book.cells for o in c.get("outputs", [])
    ]
    counts = Counter(re.findall(r'class="verdict (\w+)"', "\n".join(shown)))
    said = [f"{counts[kind]} {word}" for kind, word in VERDICTS.items() if counts[kind]]
    return f"Claims tested: {', '.join(said)}." if said else ""


def write_report(params: Params, profile: str) -> Path:
    """Render a profile's executed comparisons below results/<profile>/report, and note what made
    all of its files (`provenance.json`); returns the index."""
    root = project_root() / results_folder(profile)
    chapters = params.profile(profile).chapters
    copies = [root / "notebooks" / f"compare_{chapter}.ipynb" for chapter in chapters]
    index, *_ = render([c for c in copies if c.is_file()], root / "report", f"Reblur: {profile}")
    write_provenance(params, profile)
    if params.profile(profile).evidence:
        write_results(params)
    return index
