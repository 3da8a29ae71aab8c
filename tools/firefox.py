"""The built book in a headless Firefox, by the protocol that it speaks itself: WebDriver BiDi.

Playwright drives only a Firefox of its own, and Selenium needs a driver beside the browser; the
Firefox of a distribution needs neither.
"""

import itertools
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import websocket

NAMES = ("firefox-esr", "firefox")
PATIENCE = 60  # seconds until Firefox answers, on a busy machine
LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")


def find_firefox() -> str | None:
    """The path of an installed Firefox, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Firefox:
    """A running Firefox with one open page."""

    def __init__(self, address: str) -> None:
        self.socket = websocket.create_connection(
            f"{address}/session", timeout=PATIENCE, suppress_origin=True
        )
        self.numbers = itertools.count()
        self.complaints: list[str] = []
        self.ask("session.new", capabilities={})
        self.page = self.ask("browsingContext.getTree")["contexts"][0]["context"]
        self.ask("session.subscribe", events=["log.entryAdded"])

    def ask(self, method: str, **params: Any) -> Any:
        """The result of a command; errors that the page logs meanwhile are complaints.

        Raises:
            RuntimeError: if Firefox refuses the command.
        """
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("method") == "log.entryAdded" and message["params"]["level"] == "error":
                self.complaints.append(message["params"]["text"])
            if message.get("id") == number:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['message']}")
                return message["result"]

    def open(self, address: str) -> None:
        """Open a page and wait until it is loaded."""
        self.ask("browsingContext.navigate", context=self.page, url=address, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, which is waited for if it is a promise.

        Raises:
            RuntimeError: if it throws.
        """
        answer = self.ask(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then(JSON.stringify)",
            target={"context": self.page},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"].get("value", "null"))

    def press(self, *keys: str) -> None:
        """Press keys, one after another, as WebDriver names them."""
        actions = [{"type": t, "value": key} for key in keys for t in ("keyDown", "keyUp")]
        self.act({"type": "key", "id": "keyboard", "actions": actions})

    def drag(self, x: float, y: float, to: float) -> None:
        """Press the mouse at a point of the window and move it horizontally."""
        places = [round(x + (to - x) * k / 10) for k in range(11)]
        moves = [{"type": "pointerMove", "x": place, "y": round(y)} for place in places]
        actions = [moves[0], {"type": "pointerDown", "button": 0}, *moves[1:]]
        actions.append({"type": "pointerUp", "button": 0})
        self.act({"type": "pointer", "id": "mouse", "actions": actions})

    def act(self, source: dict[str, Any]) -> None:
        self.ask("input.performActions", context=self.page, actions=[source])


@contextmanager
def launch(executable: str) -> Iterator[Firefox]:
    """A running Firefox with a new profile."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [executable, "--headless", "--no-remote", "--profile", profile]
        command += ["--remote-debugging-port", "0", "about:blank"]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stderr is not None
            lines = iter(process.stderr.readline, "")
            found = next((match for line in lines if (match := LISTENING.search(line))), None)
            if found is None:
                raise RuntimeError(f"{executable} ended before it listened")
            browser = Firefox(found[1])
            with closing(browser.socket):
                yield browser
        finally:
            process.terminate()
            process.communicate()
