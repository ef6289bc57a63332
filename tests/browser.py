"""A headless Chromium for tests of pages, spoken to by its DevTools protocol."""

import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from websocket import create_connection  # comes with JupyterLab

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-sync", "--disable-background-networking", "--disable-component-update",
    "--hide-scrollbars", "--remote-debugging-port=0", "--remote-allow-origins=*",
]  # fmt: skip


class Browser:
    """One tab. `events` holds what the browser said by itself: errors, requests."""

    def __init__(self, folder: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self.number = 0
        self.process = subprocess.Popen(
            [CHROMIUM, *OPTIONS, f"--user-data-dir={folder}", "about:blank"],
            stderr=subprocess.DEVNULL,
        )
        said = folder / "DevToolsActivePort"
        for _ in range(300):
            if said.exists() and len(said.read_text().split()) == 2:
                break
            time.sleep(0.1)
        address = f"http://127.0.0.1:{said.read_text().split()[0]}/json"
        tabs = json.load(urllib.request.urlopen(address, timeout=30))
        tab = next(tab for tab in tabs if tab["type"] == "page")
        self.socket = create_connection(tab["webSocketDebuggerUrl"], timeout=60)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 120) -> None:
        """Until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.ask(f"!!({expression})"):
            if time.monotonic() > end:
                raise TimeoutError(expression)
            time.sleep(0.2)

    def resize(self, width: int, height: int = 900) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def click(self, selector: str) -> None:
        """Press and release the mouse at the middle of the first element of a selector."""
        box = self.ask(
            f"(e => (r => [r.x + r.width / 2, r.y + r.height / 2])(e.getBoundingClientRect()))"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            place = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **place)

    def press_shift_enter(self) -> None:
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "modifiers": 8}
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, **key)

    def open(self, path: Path, width: int, scheme: str = "light") -> None:
        self.events.clear()
        self.resize(width)
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=media)
        self.call("Page.navigate", url=path.as_uri())
        for _ in range(300):
            if self.ask("document.readyState + location.href") == f"complete{path.as_uri()}":
                return
            time.sleep(0.1)
        raise TimeoutError(path)

    def complaints(self) -> list[str]:
        """Errors of scripts, of the console and of the page's own policy; requests to anywhere."""
        found = []
        for event in self.events:
            said = event.get("params", {})
            if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
                found.append(json.dumps(said))
            if event["method"] == "Network.requestWillBeSent":
                url = said["request"]["url"]
                found += [url] * (not url.startswith(("file:", "data:")))
        return found

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(timeout=30)
