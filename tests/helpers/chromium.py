"""A headless Chromium with one page, controlled over a pipe (the Chrome DevTools Protocol)."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

FOUND = shutil.which("chromium") or shutil.which("google-chrome")
TIMEOUT = 120.0  # seconds; only against hangs

_FLAGS = [
    "--headless=new", "--no-sandbox", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--force-device-scale-factor=1", "--remote-debugging-pipe",
]  # fmt: skip


class Page:
    """The page. Anything that takes longer than `TIMEOUT` raises TimeoutError."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._unread = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def attach(self, size: tuple[int, int]) -> None:
        """Connect to the browser's page, and give it a size."""
        until(lambda: [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"])
        (target, *_) = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT
        while b"\0" not in self._unread:
            if not select.select([self._receive], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            read = os.read(self._receive, 1 << 20)
            if not read:
                raise EOFError("Chromium has exited")
            self._unread += read
        message, self._unread = self._unread.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer

    def go(self, url: str) -> None:
        """Start to load a page."""
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def before_each_page(self, script: str) -> None:
        """Run a script in every page before its own scripts."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def picture(self) -> np.ndarray:
        """A screenshot, as (rows, columns, 3) of uint8."""
        png = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(imagecodecs.png_decode(png))[..., :3]


def until(done: Callable[[], Any]) -> Any:
    """Wait until a function returns something true, and return that."""
    deadline = time.monotonic() + TIMEOUT
    while not (value := done()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still not true after {TIMEOUT:.0f} s")
        time.sleep(0.1)
    return value


@contextlib.contextmanager
def chromium(profile: Path, size: tuple[int, int] = (1200, 800)) -> Iterator[Page]:
    """A browser with an empty profile, until the end of the block."""
    assert FOUND
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
    # Chromium reads commands from file descriptor 3 and writes to 4. The pipes must not have these numbers themselves.
    theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (their_in, their_out)]
    os.close(their_in)
    os.close(their_out)
    command = [FOUND, *_FLAGS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", "about:blank"]
    redirections = f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}'
    process = subprocess.Popen(
        ["bash", "-c", redirections, "chromium", *command],
        pass_fds=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    for fd in theirs:
        os.close(fd)
    try:
        page = Page(our_out, our_in)
        page.attach(size)
        yield page
    finally:
        os.close(our_out)  # Chromium exits when its pipe is closed
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(our_in)
