"""The course of `notebooks/teach` as a static book, and as students' notebooks.

`python -m reblur.course` runs every lesson and writes results/course: a page a lesson, a page of
contents, a page on teaching, the executed notebooks, and in `students/` those without solutions,
whose marks are nbgrader's (`### BEGIN SOLUTION`, `### END SOLUTION`).
"""

import base64
import io
import re
import sys
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from PIL import Image

from reblur.errors import ReblurError
from reblur.files import write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

QUALITY = 88  # of JPEG
SOLUTION = re.compile(
    r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION\n?", re.MULTILINE | re.DOTALL
)
STUB = r"\1# YOUR CODE HERE\n\1raise NotImplementedError\n"
MATH = re.compile(r"(`[^`]*`)|\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)


def student_version(lesson: "NotebookNode") -> "NotebookNode":
    """The lesson without what stands between the marks of solutions, and without outputs."""
    from nbformat import from_dict

    student = from_dict(lesson)
    for cell in student.cells:
        cell.source = SOLUTION.sub(STUB, cell.source).rstrip("\n")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return student


def execute(lesson: "NotebookNode", folder: Path, timeout: int = 600) -> "NotebookNode":
    """Run every cell, in `folder`, and leave the outputs in the lesson; photographs become JPEG.

    Raises:
        ReblurError: a cell failed; the message has its error.
    """
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    with TemporaryDirectory(prefix="reblur-") as sockets:  # through files: no port is opened
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        place = {"metadata": {"path": str(folder)}}
        try:
            NotebookClient(lesson, km=kernel, timeout=timeout, resources=place).execute()
        except CellExecutionError as error:
            raise ReblurError(
                f"a lesson stopped: {error.ename}: {error.evalue}\n{error}"
            ) from error
    for cell in lesson.cells:
        cell.metadata.pop("execution", None)  # times, which differ from run to run
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data = _smaller(output.data)
    return lesson


def _smaller(data: dict[str, str]) -> dict[str, str]:
    """The picture alone, as JPEG where that is smaller than the PNG."""
    png = base64.b64decode(data["image/png"])
    stream = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").save(stream, "JPEG", quality=QUALITY, subsampling=0)
    if len(png) <= 1.5 * len(stream.getvalue()):  # curves and letters are sharper in a PNG
        return {"image/png": data["image/png"]}
    return {"image/jpeg": base64.b64encode(stream.getvalue()).decode()}


def with_mathml(text: str) -> str:
    """Markdown with its equations as MathML, which browsers show without any script."""
    from reblur.study.report import mathml

    def replaced(found: re.Match[str]) -> str:
        code, block, inline = found.groups()
        if code is not None:
            return code
        formula = mathml(block or inline, block=bool(block))
        return formula.replace("*", "&#42;").replace("_", "&#95;")  # else Markdown's emphasis

    return MATH.sub(replaced, text)


def _body(lesson: "NotebookNode") -> str:
    from nbconvert import HTMLExporter

    for cell in lesson.cells:
        if cell.cell_type == "markdown":
            cell.source = with_mathml(cell.source)
    exporter = HTMLExporter(
        template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True
    )
    return exporter.from_notebook_node(lesson)[0]


def build(lessons: Path, target: Path) -> None:
    """Write the book of `lessons` (notebooks, and a README.md on teaching) to `target`."""
    import nbformat
    from jinja2 import Environment, StrictUndefined
    from nbformat.v4 import new_markdown_cell, new_notebook
    from pygments.formatters import HtmlFormatter

    chapters = {path.stem: nbformat.read(path, 4) for path in sorted(lessons.glob("*.ipynb"))}
    titles = {stem: book.cells[0].source.splitlines()[0][2:] for stem, book in chapters.items()}
    questions = {stem: book.cells[0].source.splitlines()[2] for stem, book in chapters.items()}
    bodies = {}
    for stem, book in chapters.items():
        write_text(target / "students" / f"{stem}.ipynb", nbformat.writes(student_version(book)))
        execute(book, lessons)
        write_text(target / "notebooks" / f"{stem}.ipynb", nbformat.writes(book))
        bodies[stem] = _body(book)
        print(f"{stem}: run and written", flush=True)
    titles["teaching"] = "How to teach this course"
    about = (lessons / "README.md").read_text(encoding="utf-8")
    bodies["teaching"] = _body(new_notebook(cells=[new_markdown_cell(about)]))
    folder = files("reblur") / "templates" / "course"
    page = Environment(autoescape=False, undefined=StrictUndefined).from_string(
        (folder / "page.html").read_text(encoding="utf-8")
    )
    styles = [HtmlFormatter(style=s).get_style_defs(".highlight") for s in ("default", "monokai")]
    order = ["index", *titles]
    for number, stem in enumerate(order):
        text = page.render(
            stem=stem,
            titles=titles,
            questions=questions,
            body=bodies.get(stem),
            before=order[number - 1] if number else None,
            after=order[number + 1] if number + 1 < len(order) else None,
            style=(folder / "page.css").read_text(encoding="utf-8"),
            light=styles[0],
            dark=styles[1],
        )
        write_text(target / f"{stem}.html", text)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
