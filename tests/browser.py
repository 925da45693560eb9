"""A real Chromium for tests, driven by its DevTools protocol over a pipe: no other program."""

import contextlib
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
]
DEADLINE_S = 60  # a guard against hanging for ever; no test depends on its length

Message = dict[str, Any]


def executable() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page, everything that it logged, and every request that it made."""

    def __init__(self, reads: int, writes: int) -> None:
        self.reads, self.writes = reads, writes
        self.buffer = b""
        self.number = 0
        self.session: str | None = None
        self.logged: list[str] = []
        self.requests: dict[str, Message] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Message:
        self.number += 1
        message: Message = {"id": self.number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.writes, json.dumps(message).encode() + b"\0")
        answer = self.until(lambda got: got.get("id") == message["id"])
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def until(self, wanted: Callable[[Message], bool]) -> Message:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            message = self.next(deadline)
            self.note(message)
            if wanted(message):
                return message

    def next(self, deadline: float) -> Message:
        while b"\0" not in self.buffer:
            readable, _, _ = select.select([self.reads], [], [], deadline - time.monotonic())
            assert readable, f"Chromium is silent; it logged {self.logged}"
            piece = os.read(self.reads, 1 << 16)
            assert piece, "Chromium ended"
            self.buffer += piece
        text, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(text)

    def note(self, message: Message) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled":
                values = [each.get("value", each.get("description")) for each in parameters["args"]]
                self.logged.append(f"{parameters['type']}: {' '.join(map(str, values))}")
            case "Runtime.exceptionThrown":
                self.logged.append(f"exception: {parameters['exceptionDetails']}")
            case "Log.entryAdded":
                entry = parameters["entry"]
                self.logged.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}")
            case "Network.requestWillBeSent":
                request = parameters["request"]
                self.requests[parameters["requestId"]] = {
                    "method": request["method"],
                    "url": request["url"],
                    "page": parameters["documentURL"],
                }
            case "Network.responseReceived":
                status = parameters["response"]["status"]
                self.requests[parameters["requestId"]]["status"] = status
            # Leaving a page cancels what it still waits for.
            case "Network.loadingFailed" if not parameters.get("canceled"):
                self.requests[parameters["requestId"]]["failed"] = parameters["errorText"]
            case _:
                pass

    def open(self, url: str) -> None:
        """Returns when the page and the scripts that it names are loaded."""
        self.call("Page.navigate", url=url)
        self.until(lambda got: got.get("method") == "Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of an expression; a promise is waited for."""
        done = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Until the expression is true."""
        deadline = time.monotonic() + DEADLINE_S
        while not self.run(script):
            assert time.monotonic() < deadline, (script, self.logged, self.requests)
            time.sleep(0.02)


@contextmanager
def browsing(program: str) -> Iterator[Page]:
    """A page of a new browser that knows nothing."""
    to_browser, writes = os.pipe()
    reads, from_browser = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        null = os.open(os.devnull, os.O_RDWR)
        pid = os.posix_spawn(
            program,
            [program, *FLAGS, f"--user-data-dir={profile}"],
            os.environ,
            # It reads commands from 3 and answers on 4. Where these are ours, they are moved first.
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null, 0),
                (os.POSIX_SPAWN_DUP2, null, 1),
                (os.POSIX_SPAWN_DUP2, null, 2),
                (os.POSIX_SPAWN_DUP2, to_browser, 100),
                (os.POSIX_SPAWN_DUP2, from_browser, 101),
                (os.POSIX_SPAWN_DUP2, 100, 3),
                (os.POSIX_SPAWN_DUP2, 101, 4),
                (os.POSIX_SPAWN_CLOSE, 100),
                (os.POSIX_SPAWN_CLOSE, 101),
            ],
            setpgroup=0,
        )
        for each in (null, to_browser, from_browser):
            os.close(each)
        try:
            yield Page(reads, writes)
        finally:
            os.close(reads)
            os.close(writes)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
