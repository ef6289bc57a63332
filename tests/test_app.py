"""The page that restores photographs: what its server does, and the page in a browser."""

import asyncio
import io
import json
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlencode

import nbformat
import numpy as np
import pytest
from PIL import Image
from skimage import data

from browser import CHROMIUM, Browser
from reblur.app import choices_of, serve
from reblur.cli import main
from reblur.errors import ReblurError
from reblur.evaluation.deblurring import restore_file
from reblur.networks import build_network
from reblur.networks.weights import save_network
from reblur.restorer import PART, Restorer
from reblur.study.notebooks import execute
from reblur.study.weights import describe

CAT = np.ascontiguousarray(data.chelsea()[50:170, 100:280])
MAKE = 0x010F
ENDED = ("done", "failed")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_network(build_network("sr_edrb1", width=4, seed=1), path)
    return path


@pytest.fixture
def restorer(tmp_path):
    restorer = Restorer(tmp_path / "app")
    yield restorer
    restorer.close()


class Server:
    """The page's server in a thread of its own."""

    def __init__(self, restorer, choices):
        said: list[str] = []
        server = serve(restorer, choices, 0, said.append)
        threading.Thread(target=asyncio.run, args=(server,), daemon=True).start()
        while not said:
            time.sleep(0.01)
        self.address = said[0]

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        return urllib.request.urlopen(request, timeout=60).read()

    def upload(self, content: bytes, name: str) -> str:
        answer = self.ask("PUT", f"photographs?name={quote(name)}", content)
        return json.loads(answer)["photograph"]

    def restore(self, photograph: str, **more: float) -> dict:
        query = urlencode({"photograph": photograph, "task": "motion", "weights": 0, **more})
        account = json.loads(self.ask("PUT", f"restorations?{query}"))
        while account["state"] not in ENDED:
            time.sleep(0.02)
            account = json.loads(self.ask("GET", f"restorations/{account['restoration']}"))
        return account

    def file(self, account: dict, name: str) -> bytes:
        return self.ask("GET", f"files/{account['restoration']}/{quote(name)}")


@pytest.fixture(scope="module")
def server(weights, tmp_path_factory):
    restorer = Restorer(tmp_path_factory.mktemp("app"))
    server = Server(restorer, {"motion": [describe(weights)], "defocus": "no weights here."})
    server.restorer = restorer
    yield server
    restorer.close()


def picture(image: np.ndarray = CAT, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


def written_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_download_is_what_the_command_line_writes_byte_for_byte(server, weights, tmp_path):
    exif = Image.Exif()
    exif[MAKE] = "Leica"
    source = picture(kind="JPEG", exif=exif, quality=95)
    account = server.restore(server.upload(source, "cat.jpg"))
    assert (account["state"], account["name"], account["size"]) == ("done", "cat.jpg", [180, 120])
    (tmp_path / "cat.jpg").write_bytes(source)
    command = ["deblur", "--device", "cpu", tmp_path / "cat.jpg", "-o", tmp_path / "out"]
    assert main([*map(str, command), "--weights", str(weights)]) == 0
    downloaded = server.file(account, "cat.jpg")
    assert downloaded == (tmp_path / "out" / "cat.jpg").read_bytes()
    with Image.open(io.BytesIO(downloaded)) as image:
        assert image.getexif()[MAKE] == "Leica"
    for name in ("before.jpg", "after.jpg"):
        with Image.open(io.BytesIO(server.file(account, name))) as image:
            assert image.size == (180, 120)


@pytest.mark.parametrize(
    ("x", "y", "part"),
    [
        (0.5, 0.5, [94, 44, PART, PART]),
        (0, 0, [0, 0, PART, PART]),
        (1, 1, [188, 88, PART, PART]),
    ],
)
def test_a_part_is_restored_first_and_says_how_long_all_takes(server, x, y, part):
    image = np.tile(CAT, (5, 4, 1))[:600, :700]
    account = server.restore(server.upload(picture(image), "a b#ü.png"), x=x, y=y)
    assert (account["state"], account["size"], account["part"]) == ("done", [700, 600], part)
    start, end, _ = server.restorer.restorations[account["restoration"]].times
    expected = (end - start) * 700 * 600 / PART**2  # it is one tile
    assert account["seconds_of_whole"] == pytest.approx(expected)
    left, top, width, height = part
    with Image.open(io.BytesIO(server.file(account, "before.jpg"))) as before:
        assert before.size == (width, height)
        cut = image[top : top + height, left : left + width].astype(int)
        assert np.abs(np.asarray(before) - cut).mean() < 2
    with Image.open(io.BytesIO(server.file(account, "overview.jpg"))) as overview:
        assert max(overview.size) == 480


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.jpg", b"no image", "is not an image in a known format; convert it to PNG or JPEG."),
        ("half.png", picture()[:3000], "copy or fetch it again."),
        ("empty.png", b"", "is empty (0 bytes); copy or fetch it again."),
        ("IMG_1.NEF", b"raw", "is a camera's raw file; convert it to TIFF or JPEG first"),
    ],
)
@pytest.mark.parametrize("centre", [{}, {"x": 0.5, "y": 0.5}])
def test_a_refused_file_gets_the_command_lines_sentence(server, name, content, sentence, centre):
    account = server.restore(server.upload(content, name), **centre)
    assert account["state"] == "failed"
    assert account["said"].startswith(f"{name}: ")
    assert sentence in account["said"]
    assert str(server.restorer.folder) not in account["said"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../../evil.png", "evil.png"),
        ("..\\..\\evil.png", "evil.png"),
        ("/etc/passwd", "passwd"),
        ("..", "photograph"),
        ("", "photograph"),
        (".hidden.png", "hidden.png"),
        ("a\0b.png", "a b.png"),
        ("ü" * 300 + ".png", "ü" * 60 + ".png"),
    ],
)
def test_nothing_is_written_outside_its_folder(server, name, kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = server.restorer.folder
    before = written_in(base.parent) - written_in(base)
    key = server.upload(picture(), name)
    account = server.restore(key)
    assert Path(key).name == kept
    assert (base / key).read_bytes() == picture()
    assert account["state"] == "done"
    assert written_in(base.parent) - written_in(base) == before
    assert written_in(tmp_path) == set()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "files/../../weights0/weights.safetensors", 403),
        ("GET", "files/%2e%2e/secret", 403),
        ("GET", "restorations/unknown", 404),
        ("PUT", "restorations?photograph=../x&task=motion&weights=0", 400),
        ("PUT", "restorations?photograph=x", 400),
        ("POST", "photographs?name=a.png", 405),
    ],
)
def test_what_is_not_offered_is_refused(server, method, path, status):
    with pytest.raises(urllib.error.HTTPError) as error:
        server.ask(method, path, b"" if method != "GET" else None)
    assert error.value.code == status


@pytest.mark.parametrize("more", [{"task": "defocus"}, {"weights": 1}, {"weights": "x"}])
def test_only_the_weights_of_the_list_are_taken(server, more):
    photograph = server.upload(picture(), "cat.png")
    with pytest.raises(urllib.error.HTTPError) as error:
        server.restore(photograph, **more)
    assert error.value.code == 400


def test_the_page_is_for_this_machine_alone_and_asks_for_nothing_from_elsewhere(server):
    assert server.address.startswith("http://127.0.0.1:")
    with pytest.raises(urllib.error.HTTPError) as error:
        server.ask("GET", "", Host="example.org")
    assert error.value.code == 404
    page = server.ask("GET", "").decode()
    assert "no weights here." in page
    assert "https://" not in page
    with urllib.request.urlopen(server.address) as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_second_photograph_waits_for_its_turn_and_can_be_stopped(restorer, weights):
    photographs = []
    for name in ("a.png", "b.png", "c.png"):
        photographs.append(restorer.room_for(name))
        photographs[-1].write_bytes(picture(np.tile(CAT, (12, 8, 1))))  # 1440², in tiles
    first, second, third = (
        restorer.restorations[restorer.start(path, weights)] for path in photographs
    )
    second.stopped = True
    seen = set()
    while third.state not in ENDED:
        states = [r.state for r in (first, second, third)]
        assert states.count("restoring") <= 1
        waiting = restorer.account(third)["before"]
        seen.add((first.state, third.state, waiting > 0))
        time.sleep(0.005)
    assert ("restoring", "waiting", True) in seen
    assert first.tiles == third.tiles == (4, 4)
    assert (second.state, second.said) == ("failed", "b.png: stopped before its turn came.")
    assert first.times[2] <= third.times[0]
    assert not second.result.exists()


def test_one_that_runs_stops_at_its_next_tile(restorer, weights, monkeypatch):
    def stopped_after_a_tile(path, network, *, progress):
        def report(done, total):
            progress(done, total)
            lefts.append(restoration.seconds_left())
            restoration.stopped = True

        return restore_file(path, network, progress=report)

    lefts = []
    monkeypatch.setattr("reblur.restorer.restore_file", stopped_after_a_tile)
    photograph = restorer.room_for("a.png")
    photograph.write_bytes(picture(np.tile(CAT, (12, 8, 1))))
    restoration = restorer.restorations[restorer.start(photograph, weights)]
    while restoration.state not in ENDED:
        time.sleep(0.005)
    assert restoration.said == "a.png: stopped; nothing was written."
    assert restoration.tiles == (1, 4)
    took = restoration.times[1] - restoration.times[0]
    assert lefts == [pytest.approx(3 * took, rel=0.1)]
    assert not restoration.result.exists()


def test_without_trained_weights_the_page_says_the_command_lines_sentence(tmp_path, monkeypatch):
    (tmp_path / "data_manifests").mkdir()
    params = Path(__file__).parents[1] / "params.yaml"
    (tmp_path / "params.yaml").write_text(params.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr("reblur.app.project_root", lambda: tmp_path)
    choices = choices_of()
    assert list(choices) == ["motion", "defocus", "low_quality"]
    assert "no trained weights for defocus here" in choices["defocus"]


def test_own_weights_are_a_choice_in_every_task(weights, tmp_path):
    assert all(found[0].path == weights for found in choices_of(weights).values())
    with pytest.raises(ReblurError, match="no such weights file"):
        choices_of(tmp_path / "missing.safetensors")


def test_a_port_that_is_taken_is_one_sentence(server, restorer):
    port = int(server.address.rstrip("/").rpartition(":")[2])
    with pytest.raises(ReblurError, match=rf"port {port} cannot be used .*--port"):
        asyncio.run(serve(restorer, {}, port, print))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


def wait(browser, expression: str) -> None:
    for _ in range(600):
        if browser.ask(expression):
            return
        time.sleep(0.1)
    raise TimeoutError(expression)


def choose(browser, path: Path) -> None:
    found = browser.call("Runtime.evaluate", expression="document.querySelector('[type=file]')")
    element = found["result"]["objectId"]
    browser.call("DOM.setFileInputFiles", files=[str(path)], objectId=element)


ENDS = "document.getElementById('running').hidden && !document.getElementById('{}').hidden"


@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_a_photograph_becomes_a_slider_and_a_download(
    server, browser, tmp_path, width
):
    photograph = tmp_path / "cat & co.png"
    photograph.write_bytes(picture(np.tile(CAT, (5, 4, 1))))
    browser.events.clear()
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    browser.call("Page.navigate", url=server.address)
    wait(browser, f"document.readyState + location.href == 'complete{server.address}'")
    choose(browser, photograph)
    wait(browser, ENDS.format("result"))
    assert browser.ask("document.getElementById('after').naturalWidth") == PART
    assert browser.ask("document.getElementById('after').clientWidth") == PART  # at 100 %
    browser.ask(
        "{const seam = document.getElementById('seam'); seam.value = 25;"
        "seam.dispatchEvent(new Event('input'))}"
    )
    shown = browser.ask("document.getElementById('window').clientWidth")
    line = browser.ask("document.getElementById('line').style.left")
    assert float(line.removesuffix("px")) == pytest.approx(shown / 4 - 1, abs=0.5)
    browser.ask("document.getElementById('whole').click()")
    wait(browser, ENDS.format("download"))
    assert browser.ask("document.getElementById('after').naturalWidth") == 720
    address = browser.ask("document.getElementById('download').href")
    downloaded = server.ask("GET", address.removeprefix(server.address))
    with Image.open(io.BytesIO(downloaded)) as image:
        assert image.size == (720, 600)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert [c for c in browser.complaints() if not c.startswith(server.address)] == []


def test_in_a_browser_a_refused_file_is_told(server, browser, tmp_path):
    (tmp_path / "notes.jpg").write_text("no image")
    browser.call("Page.navigate", url=server.address)
    wait(browser, f"document.readyState + location.href == 'complete{server.address}'")
    choose(browser, tmp_path / "notes.jpg")
    wait(browser, ENDS.format("fault"))
    told = browser.ask("document.getElementById('fault').textContent")
    assert told.startswith("notes.jpg: is not an image in a known format")
    assert browser.ask("document.getElementById('result').hidden")


NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "restore_your_photo.ipynb"


@pytest.mark.slow
def test_the_notebook_restores_a_default_photograph_and_ones_own(tmp_path, weights):
    own = tmp_path / "cat.jpg"
    exif = Image.Exif()
    exif[MAKE] = "Leica"
    own.write_bytes(picture(kind="JPEG", exif=exif))
    given = {"weights": str(weights), "output": str(tmp_path / "out")}
    execute(NOTEBOOK, tmp_path / "default.ipynb", given)
    with Image.open(tmp_path / "out" / "default" / "coffee_blurred.png") as image:
        assert image.size == (592, 400)
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # as if the button had been used, too
    uploaded = "uploaded({'new': ({'name': '../up.jpg', 'content': path.read_bytes()},)})"
    notebook.cells.append(nbformat.v4.new_code_cell(uploaded))
    nbformat.write(notebook, tmp_path / "restore.ipynb")
    given["photograph"] = "cat.jpg"
    execute(tmp_path / "restore.ipynb", tmp_path / "own.ipynb", given, working_folder=tmp_path)
    for name in ("cat.jpg", "up.jpg"):
        with Image.open(tmp_path / "out" / name) as image:
            assert image.getexif()[MAKE] == "Leica"
    shown = (tmp_path / "own.ipynb").read_text(encoding="utf-8")
    assert shown.count("figure class=") == 2


@pytest.mark.slow
def test_the_notebook_says_what_is_missing(tmp_path):
    given = {"weights": str(tmp_path / "missing.safetensors")}
    execute(NOTEBOOK, tmp_path / "out.ipynb", given)
    shown = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    assert "missing.safetensors: no such weights file" in shown
    assert "figure class=" not in shown
