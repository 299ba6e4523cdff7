"""Chromium without a window, spoken to through its debugging pipe: it opens pages from files, and has no network."""

import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND"),
    "--remote-debugging-pipe",
)
_SECONDS = 120


class Page:
    """One page. `complaints` are what its console and exceptions say; `loaded`, the addresses it asked for."""

    def __init__(self, reading, writing):
        self.reading, self.writing, self.numbers = reading, writing, itertools.count(1)
        self.buffer, self.session, self.complaints, self.loaded = b"", {}, [], []

    def call(self, method, **parameters):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters, **self.session}
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while (answer := self.next_message()).get("id") != number:
            self.note(answer)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def next_message(self):
        end = time.monotonic() + _SECONDS
        while b"\0" not in self.buffer:
            assert select.select([self.reading], [], [], end - time.monotonic())[0], "the browser says nothing"
            data = os.read(self.reading, 1 << 20)
            assert data, "the browser ended"
            self.buffer += data
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def note(self, event):
        method, parameters = event.get("method"), event.get("params")
        is_advice = method == "Log.entryAdded" and parameters["entry"]["source"] == "rendering"  # on what tests read
        if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded") and not is_advice:
            self.complaints.append(json.dumps(parameters))
        if method == "Network.requestWillBeSent":
            self.loaded.append(parameters["request"]["url"])

    def open(self, path, before=""):
        """Opens a file; the script `before` runs ahead of those of the page."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        self.call("Page.navigate", url=path.as_uri())
        self.run("new Promise((then) => document.readyState === 'complete' ? then() : addEventListener('load', then))")

    def run(self, script):
        """Value of an expression, awaited."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")


@contextmanager
def browser(profile, *options):
    """Yields a `Page`; `profile` is a directory for the browser."""
    to_read, from_there = os.pipe()
    from_here, to_write = os.pipe()

    def pipes():
        # The browser reads from 3 and writes to 4, whatever these are here.
        for end, number in [
            (fcntl.fcntl(end, fcntl.F_DUPFD, 10), number) for end, number in ((from_here, 3), (from_there, 4))
        ]:
            os.dup2(end, number)

    command = [CHROMIUM, *_OPTIONS, f"--user-data-dir={profile}", *options, "about:blank"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, pass_fds=(3, 4), preexec_fn=pipes)
    os.close(from_there)
    os.close(from_here)
    try:
        page = Page(to_read, to_write)
        yield page
        page.session = {}
        page.call("Browser.close")
    finally:
        process.terminate()
        process.wait(_SECONDS)
        os.close(to_read)
        os.close(to_write)
