"""`reblur app`: a page for this machine alone, on which photographs are restored.

A server of Tornado, which JupyterLab brings along, and one page (templates/app.html) that asks for
nothing from elsewhere. Photographs and results lie in one folder, which is removed in the end.
"""

import argparse
import asyncio
import json
import signal
import tempfile
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tornado import httpserver, netutil, web

from reblur.datasets.catalogue.manifests import project_root
from reblur.errors import ReblurError
from reblur.evaluation.deblurring import device_of
from reblur.restorer import Restoration, Restorer
from reblur.study.weights import Weights, all_weights_for, describe, load_restorer, tasks_of

PAGE = Path(__file__).with_name("templates") / "app.html"
LARGEST = 2 * 1024**3  # of an uploaded file, in bytes
INLINE = "'self' 'unsafe-inline'"
POLICY = f"default-src 'self'; img-src 'self' data:; style-src {INLINE}; script-src {INLINE}"

Choices = Mapping[str, Sequence[Weights] | str]


def run_app(arguments: argparse.Namespace) -> int:
    """Serve the page until it is stopped."""
    choices = choices_of(arguments.weights)
    device = device_of(arguments.device)

    def say(address: str) -> None:
        print(f"{address} (Ctrl-C stops it)", flush=True)
        if not arguments.no_browser:
            webbrowser.open(address)

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # its folder is removed then, too
    with tempfile.TemporaryDirectory(prefix="reblur-app-") as folder:
        restorer = Restorer(Path(folder), device)
        try:
            asyncio.run(serve(restorer, choices, arguments.port, say))
        finally:
            restorer.close()
    return 0


def choices_of(own: Path | None = None) -> Choices:
    """Task → its weights, the best first; or the sentence that says why there are none.

    Args:
        own: weights to choose from in every task, before the others.

    Raises:
        ReblurError: `own` is no file of weights of a restorer.
    """
    if own is not None:
        load_restorer(own)  # told now, and not when a photograph is there
    mine = [] if own is None else [describe(own)]
    try:
        project = project_root()
        tasks = tasks_of(project)
    except ReblurError as error:
        return {"motion": mine or str(error)}
    choices: dict[str, Sequence[Weights] | str] = {}
    for task in tasks:
        try:
            choices[task] = mine + list(all_weights_for(task, project))
        except ReblurError as error:
            choices[task] = mine or str(error)
    return choices


async def serve(
    restorer: Restorer, choices: Choices, port: int, say: Callable[[str], None]
) -> None:
    """Serve the page on 127.0.0.1, for ever.

    Args:
        choices: from `choices_of`.
        port: 0: any free one.
        say: is told the address.

    Raises:
        ReblurError: the port cannot be used.
    """
    given = {"restorer": restorer, "choices": choices}
    handlers = [
        ("/", _Page, {"choices": choices}),
        ("/photographs", _Photographs, {"restorer": restorer}),
        ("/restorations", _Restorations, given),
        ("/restorations/(.+)", _Restorations, given),
        ("/files/(.+)", _Files, {"path": restorer.folder}),
    ]
    # No other name of this machine is answered, so that no other site can have one that leads here.
    application = web.Application()
    application.add_handlers(r"(127\.0\.0\.1|localhost)", handlers)
    try:
        sockets = netutil.bind_sockets(port, "127.0.0.1")
    except (OSError, OverflowError) as error:
        raise ReblurError(
            f"port {port} cannot be used ({error}); choose another with --port."
        ) from error
    server = httpserver.HTTPServer(application, max_body_size=LARGEST)
    server.add_sockets(sockets)
    say(f"http://127.0.0.1:{sockets[0].getsockname()[1]}/")
    await asyncio.Event().wait()


class _Plain(web.RequestHandler):
    def set_default_headers(self) -> None:
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")


class _Files(_Plain, web.StaticFileHandler):
    """Pictures to look at, and results."""


class _Page(_Plain):
    def initialize(self, choices: Choices) -> None:
        self.choices = choices

    def get(self) -> None:
        words = {
            task: found if isinstance(found, str) else [_words(weights) for weights in found]
            for task, found in self.choices.items()
        }
        data = json.dumps(words).replace("<", "\\u003c")  # no name ends the script
        self.write(PAGE.read_text(encoding="utf-8").replace("CHOICES", data))


def _words(weights: Weights) -> dict[str, str]:
    """What the page says of weights: in a list, and below it."""
    run = [f"{k} {v}" for k, v in weights.run.items() if k != "chapter" and v is not None]
    gain = f", {sum(weights.gains.values()) / len(weights.gains):+.2f} dB" if weights.gains else ""
    return {"name": (", ".join(run) or weights.path.name) + gain, "about": str(weights)}


@web.stream_request_body
class _Photographs(_Plain):
    """PUT ?name=…: takes a file, whose bytes are the body, and gives its {"photograph": key}.

    A PUT from a page of another site is not let through by any browser.
    """

    def initialize(self, restorer: Restorer) -> None:
        self.restorer = restorer

    def prepare(self) -> None:
        self.path_of_file = self.restorer.room_for(self.get_query_argument("name", ""))
        self.stream = self.path_of_file.open("wb")

    def data_received(self, chunk: bytes) -> None:
        self.stream.write(chunk)

    def on_connection_close(self) -> None:
        self.stream.close()

    def put(self) -> None:
        self.stream.close()
        key = self.path_of_file.relative_to(self.restorer.folder).as_posix()
        self.write({"photograph": key})


class _Restorations(_Plain):
    """PUT ?photograph&task&weights[&x&y] starts one, GET /key tells of it, DELETE /key stops it."""

    def initialize(self, restorer: Restorer, choices: Choices) -> None:
        self.restorer, self.choices = restorer, choices

    def put(self) -> None:
        photographs = {p.relative_to(self.restorer.folder).as_posix(): p for p in self._uploaded()}
        try:
            photograph = photographs[self.get_query_argument("photograph")]
            found = self.choices[self.get_query_argument("task")]
            weights = found[int(self.get_query_argument("weights"))]
            x, y = (float(self.get_query_argument(name, "nan")) for name in "xy")
        except (KeyError, IndexError, ValueError) as error:
            raise web.HTTPError(400) from error
        if isinstance(weights, str):
            raise web.HTTPError(400)
        key = self.restorer.start(photograph, weights.path, None if x != x else (x, y))
        self.get(key)

    def get(self, key: str = "") -> None:
        self.write({"restoration": key, **self.restorer.account(self._one(key))})

    def delete(self, key: str = "") -> None:
        self._one(key).stopped = True
        self.get(key)

    def _one(self, key: str) -> Restoration:
        if key not in self.restorer.restorations:
            raise web.HTTPError(404)
        return self.restorer.restorations[key]

    def _uploaded(self) -> list[Path]:
        return list(self.restorer.folder.glob("*/photograph/*"))
