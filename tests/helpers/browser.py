"""The app and Chromium, for tests that click; who asks is skipped where one of them is not installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from urllib.request import urlopen

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

Numbers: TypeAlias = npt.NDArray[np.float64]
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",  # the pad draws by WebGL, here without a GPU
)
LOADED = """
const one = document.querySelector(arguments[0]);
return one && one.complete && one.naturalWidth ? one.src : "";
"""
"""Where a picture is from, or nothing before it is loaded."""
WAIT = 120
"""Seconds for anything, on a machine that is busy."""


@contextmanager
def chromium(width: int = 1400, height: int = 1100) -> Iterator[Any]:
    """A browser that Selenium drives."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no chromium and chromedriver here, as Debian's packages chromium and chromium-driver bring them")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*_OPTIONS, f"--window-size={width},{height}"):
        options.add_argument(option)
    os.environ |= {"SE_OFFLINE": "true", "SE_AVOID_STATS": "true"}
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def running_app(folder: Path) -> Iterator[str]:
    """The address of an app that keeps its temporary files in a folder."""
    pytest.importorskip("gradio", reason="Gradio is not installed: pip install 'midms[app]'")
    port = _free_port()
    command = [sys.executable, "-m", "midms", "app", "--port", str(port)]
    environment = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "2"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield re.findall(r"http://127.0.0.1:\d+/", process.stdout.readline())[0]
        finally:
            process.send_signal(2)  # as Ctrl-C
            process.wait(WAIT)


def _free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def asked_for(driver: Any) -> set[str]:
    """Addresses that pages asked for since this was asked last."""
    events = (json.loads(line["message"])["message"] for line in driver.get_log("performance"))
    return {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}


def stroke(driver: Any, selector: str, places: list[tuple[float, float]]) -> None:
    """The mouse pressed at the first place, moved along, let go at the last, in shares of a square in an element."""
    box = driver.execute_script(
        "const one = document.querySelector(arguments[0]); one.scrollIntoView({block: 'center'});"
        "const {left, top, width, height} = one.getBoundingClientRect(); return [left, top, width, height]",
        selector,
    )
    side = min(box[2:])
    points = [(box[0] + box[2] / 2 + (x - 0.5) * side, box[1] + box[3] / 2 + (y - 0.5) * side) for x, y in places]

    def mouse(kind: str, point: tuple[float, float]) -> None:
        event = {"type": kind, "x": point[0], "y": point[1], "button": "left", "buttons": 1, "clickCount": 1}
        driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    mouse("mousePressed", points[0])
    for point in points[1:]:
        mouse("mouseMoved", point)
    mouse("mouseReleased", points[-1])


class AppPage:
    """The app in a browser's tab, as a visitor has it.

    Args:
        driver: Selenium's.
        address: of the app.
    """

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        driver.get(address)
        self.until(lambda: self.all("#run") and self.all("#pad canvas"))

    def until(self, holds: Any, seconds: float = WAIT) -> Any:
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.ui import WebDriverWait

        waiting = WebDriverWait(self.driver, seconds, ignored_exceptions=[StaleElementReferenceException])
        return waiting.until(lambda _: holds())

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def one(self, selector: str) -> Any:
        return self.until(lambda: self.all(selector))[0]

    def text(self, selector: str) -> str:
        return str(self.one(selector).text)

    def source(self, selector: str) -> str:
        """Where a picture is from, once it is there."""
        return str(self.driver.execute_script(LOADED, f"{selector} img"))

    def pixels(self, selector: str) -> Numbers:
        """A picture's colours in -1 .. 1, as the browser has them from the app."""
        with urlopen(self.source(selector)) as file, Image.open(file) as picture:
            return np.asarray(picture.convert("RGB"), float) / 127.5 - 1

    def translated(self) -> Numbers:
        """Translate once more, even where the result stays as it is; returns its pixels."""
        self.click("#result", 0.5, 0.5)
        self.until(lambda: "comes from" in self.text("#answer"))
        self.translate()
        return self.pixels("#result")

    def press(self, selector: str) -> None:
        self.driver.execute_script("arguments[0].click()", self.one(selector))

    def hand_in(self, selector: str, *paths: Path) -> None:
        self.one(f"{selector} input[type=file]").send_keys("\n".join(map(str, paths)))

    def choose(self, menu: str, beginning: str) -> None:
        """An item of a menu by how its line begins."""
        self.one(f"{menu} input").click()
        item = self.until(lambda: [one for one in self.all("[role=option]") if beginning in one.text])
        item[0].click()

    def translate(self) -> str:
        """Translate; returns what is said then."""
        before = self.source("#result")
        self.press("#run")
        self.until(lambda: self.source("#result") not in ("", before))
        return self.text("#answer")

    def click(self, selector: str, x: float, y: float) -> None:
        """Click a place of a picture, in shares of it, whose sides are alike."""
        stroke(self.driver, f"{selector} img", [(x, y)])

    def complaint(self) -> str:
        """The sentence of an error, which is closed."""
        sentence = "[data-testid=toast-text]"
        found = str(self.one(sentence).get_attribute("textContent")).strip()
        for close in self.all(".toast-close"):
            self.driver.execute_script("arguments[0].click()", close)
        self.until(lambda: not self.all(sentence))
        return found
