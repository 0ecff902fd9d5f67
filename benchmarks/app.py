"""How soon the app answers, measured in Chromium, and pictures of it for README and its tutorial.

python -m benchmarks.app --pictures docs    pictures alone
python -m benchmarks.app                    times, to benchmarks/results/app.json
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import RESULTS
from midms.core.results import machine, write_json

_WAIT = 120
"""Seconds for anything."""
_PLACE = 0.53, 0.35
"""Of the example's result that is clicked, in shares of it."""
_SHIRT = [(-330 + 60 * step, 105 + 35 * (step % 2)) for step in range(6)]
_HAIR = [(95 + 30 * step, -95 + 20 * (step % 2)) for step in range(6)]
"""Strokes on the board of the example, in pixels from its middle: over the drawing's shirt and the portrait's hair."""


def main() -> None:
    """Start the app and a browser; measure or photograph it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=7870)
    parser.add_argument("--repeats", type=int, default=5, help="translations that are timed")
    parser.add_argument("--pictures", type=Path, help="write pictures of the app to this folder, and measure nothing")
    parser.add_argument("--out", type=Path, default=RESULTS / "app.json")
    args = parser.parse_args()
    command = [sys.executable, "-m", "midms", "app", "--port", str(args.port)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as app:
        assert app.stdout is not None
        app.stdout.readline()
        ready = time.perf_counter() - started
        try:
            visit(f"http://127.0.0.1:{args.port}/", args, ready)
        finally:
            app.terminate()


def visit(address: str, args: argparse.Namespace, ready: float) -> None:
    """What is done in the browser.

    Args:
        address: of the app.
        args: of the command line.
        ready: seconds that the app took to start.
    """
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"):
        options.add_argument(option)
    options.add_argument("--window-size=1400,1100")
    os.environ |= {"SE_OFFLINE": "true", "SE_AVOID_STATS": "true"}
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    started = time.perf_counter()
    driver.get(address)
    waited(lambda: driver.find_elements("css selector", "#pad canvas"))
    shown = time.perf_counter() - started
    if args.pictures is not None:
        photograph(driver, args.pictures)
    else:
        press(driver, "#example-1")
        waited(lambda: source(driver, "#result"))
        times = [timed(driver) for _ in range(args.repeats)]
        record = {"app starts": ready, "first page": shown, "translation, model warm": times}
        around = {"browser": "headless Chromium, on the same cores", "load before": os.getloadavg()[0]}
        write_json(args.out, {"seconds": record, "preset": "midm-faces", **around, **machine()})
    driver.quit()


def photograph(driver: Any, folder: Path) -> None:
    """The first page, a click on a result, regions and what comes of them, line art.

    Args:
        driver: Selenium's, at the first page.
        folder: of the pictures.
    """

    def taken(name: str, top: str = "body") -> None:
        driver.execute_script("document.querySelector(arguments[0]).scrollIntoView()", top)
        time.sleep(2)  # until all is painted
        driver.save_screenshot(str(folder / f"{name}.png"))

    def asked() -> None:
        click(driver, "#result img")
        waited(lambda: "comes from" in driver.find_element("id", "answer").text)

    taken("app-start")
    press(driver, "#example-1")
    waited(lambda: source(driver, "#result"))
    asked()
    taken("app")
    press(driver, "#regions button")
    waited(lambda: driver.find_elements("css selector", "#board canvas"))
    time.sleep(3)  # until the pictures are on it
    for line in (_SHIRT, _HAIR):
        drag(driver, "#board canvas", line)
    taken("app-regions", "#regions")
    before = source(driver, "#result")
    press(driver, "#run")
    waited(lambda: source(driver, "#result") not in ("", before))
    taken("app-regions-result")
    before = source(driver, "#result")
    press(driver, "#example-2")
    waited(lambda: source(driver, "#result") not in ("", before))
    asked()
    taken("app-lineart")


def timed(driver: Any) -> float:
    """Seconds from the click to another result, with another seed each time."""
    press(driver, "#seed input")
    field = driver.find_element("css selector", "#seed input")
    field.send_keys("1")
    before = source(driver, "#result")
    started = time.perf_counter()
    press(driver, "#run")
    waited(lambda: source(driver, "#result") not in ("", before))
    return time.perf_counter() - started


def press(driver: Any, selector: str) -> None:
    """Click the middle of something."""
    driver.execute_script("arguments[0].click()", driver.find_element("css selector", selector))


def click(driver: Any, selector: str) -> None:
    """Click `_PLACE` of a square picture in the middle of its widget, with the mouse."""
    side = "const {width, height} = document.querySelector(arguments[0]).getBoundingClientRect();"
    shorter = driver.execute_script(f"{side} return Math.min(width, height)", selector)
    drag(driver, selector, [((_PLACE[0] - 0.5) * shorter, (_PLACE[1] - 0.5) * shorter)])


def drag(driver: Any, selector: str, places: Sequence[tuple[float, float]]) -> None:
    """Move the pressed mouse from place to place, each in pixels from the middle of an element."""
    box = "const one = document.querySelector(arguments[0]); one.scrollIntoView({block: 'center'});"
    edges = "const {left, top, width, height} = one.getBoundingClientRect();"
    x, y = driver.execute_script(f"{box} {edges} return [left + width / 2, top + height / 2]", selector)
    moves = [("mousePressed", places[0]), *(("mouseMoved", one) for one in places), ("mouseReleased", places[-1])]
    for kind, (right, down) in moves:
        event = {"type": kind, "x": x + right, "y": y + down, "button": "left", "buttons": 1, "clickCount": 1}
        driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def source(driver: Any, selector: str) -> str:
    """Where the picture that a widget shows is from; nothing before it is loaded."""
    script = "const one = document.querySelector(arguments[0]); return one?.complete && one.naturalWidth ? one.src : ''"
    return str(driver.execute_script(script, f"{selector} img"))


def waited(holds: Any) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: it does not in `_WAIT` seconds.
    """
    end = time.perf_counter() + _WAIT
    while not holds():
        if time.perf_counter() > end:
            raise TimeoutError(f"waited {_WAIT} seconds")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
