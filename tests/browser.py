"""A headless Chromium for tests of pages, driven by its DevTools protocol over two pipes."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# As root, as in containers, Chromium has no sandbox; it opens pages of the tests alone.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
TIMEOUT_SECONDS = 120.0
# The width of the content beyond the window; elements that scroll in a box of their own count as
# that box.
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# How much smaller than drawn the smallest figure is shown.
LEAST_SCALE = """Math.min(1, ...[...document.querySelectorAll('figure:not(.trace) svg')]
  .filter((svg) => svg.getBoundingClientRect().width > 0)
  .map((svg) => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width * 72 / 96))"""
BRIGHTNESS = """(() => {
  const brightness = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(Number);
    return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
  };
  const style = getComputedStyle(document.body);
  return [brightness(style.backgroundColor), brightness(style.color)];
})()"""
LEAST_READABLE = 0.7
# A4 without margins, at 96 pixels to the inch.
PAPER_WIDTH = 700


def find_browser() -> str | None:
    """Return the path of Chromium; None where it is not installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """A browser with one page open.

    Attributes:
        problems: Errors and warnings of the console, and exceptions, as texts.
        requests: Addresses that the page asked for, itself excluded.
    """

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, from_browser = os.pipe(), os.pipe()
        # Chromium reads commands from descriptor 3 and writes answers to 4.
        redirect = f'exec "$0" "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'
        arguments = [*FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", redirect, program, *arguments],
            pass_fds=(to_browser[0], from_browser[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser[0])
        os.close(from_browser[1])
        self._write, self._read = to_browser[1], from_browser[0]
        self._buffer, self._number, self._session = b"", 0, None
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        """End the browser."""
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        self._process.wait()

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come before are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._keep(answer)

    def open(self, path: Path, *, width: int) -> None:
        """Open a file in a window of some width."""
        self.resize(width)
        self.problems.clear()
        self.requests.clear()
        self._loaded = False
        self.send("Page.navigate", url=path.resolve().as_uri())
        while not self._loaded:
            self._keep(self._receive())

    def resize(self, width: int) -> None:
        """Make the window some CSS pixels wide."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )

    def emulate(self, media: str = "", **features: str) -> None:
        """Show the page as printed (`print`), or with media features such as a dark scheme."""
        listed = [
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()
        ]
        self.send("Emulation.setEmulatedMedia", media=media, features=listed)

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write a picture of the whole page as PNG."""
        result = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(result["data"]))

    def require_sound_page(self, path: Path) -> None:
        """Check a page: no error, no request, no overflow, readable on a phone, dark, printed."""
        for width in (400, 800, 1400):
            self.open(path, width=width)
            assert self.problems == [], width
            assert self.requests == [], width
            assert self.run(OVERFLOW) <= 0, width
        self.resize(400)
        assert self.run(LEAST_SCALE) > LEAST_READABLE, "text of figures is too small on a phone"
        for media, scheme, width, is_dark in (
            ("", "light", 400, False),
            ("", "dark", 400, True),
            ("print", "dark", PAPER_WIDTH, False),
        ):
            self.resize(width)
            self.emulate(media, prefers_color_scheme=scheme)
            paper, ink = self.run(BRIGHTNESS)
            assert (paper < 0.2 and ink > 0.8) if is_dark else (paper > 0.95 and ink < 0.2)
            assert self.run(OVERFLOW) <= 0, (media, scheme)
        self.emulate()

    def _receive(self) -> dict[str, Any]:
        end = time.monotonic() + TIMEOUT_SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def _keep(self, event: dict[str, Any]) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            if parameters.get("type") != "Document" and not url.startswith("data:"):
                self.requests.append(url)
        elif method == "Runtime.exceptionThrown":
            self.problems.append(str(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.problems.append(str(parameters["args"]))
        elif method == "Log.entryAdded":
            self.problems.append(parameters["entry"]["text"])
