"""How soon the app answers, measured in Chromium, and the picture of it in README.

python -m benchmarks.app --picture docs/app.png     the picture alone
python -m benchmarks.app                            times, to benchmarks/results/app.json
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.results import RESULTS
from midms.core.results import machine, write_json

_WAIT = 120
"""Seconds for anything."""
_PLACE = 0.53, 0.35
"""Of the example's result that is clicked, in shares of it."""


def main() -> None:
    """Start the app and a browser; measure or photograph it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=7870)
    parser.add_argument("--repeats", type=int, default=5, help="translations that are timed")
    parser.add_argument("--picture", type=Path, help="write a picture of the app, and measure nothing")
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
    options.add_argument("--window-size=1400,1020")
    os.environ |= {"SE_OFFLINE": "true", "SE_AVOID_STATS": "true"}
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    started = time.perf_counter()
    driver.get(address)
    waited(lambda: driver.find_elements("css selector", "#pad canvas"))
    shown = time.perf_counter() - started
    press(driver, "#example")
    waited(lambda: source(driver, "#exemplar-1"))
    press(driver, "#run")
    waited(lambda: source(driver, "#result"))
    if args.picture is not None:
        click(driver, "#result img")
        waited(lambda: "comes from" in driver.find_element("id", "answer").text)
        time.sleep(1)  # until the pictures are painted
        driver.save_screenshot(str(args.picture))
    else:
        times = [timed(driver) for _ in range(args.repeats)]
        record = {"app starts": ready, "first page": shown, "translation, model warm": times}
        around = {"browser": "headless Chromium, on the same cores", "load before": os.getloadavg()[0]}
        write_json(args.out, {"seconds": record, "preset": "midm-faces", **around, **machine()})
    driver.quit()


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
    shape = "const {left, top, width, height} = document.querySelector(arguments[0]).getBoundingClientRect();"
    left, top, width, height = driver.execute_script(f"{shape} return [left, top, width, height]", selector)
    side = min(width, height)
    x, y = (
        begin + length / 2 + (share - 0.5) * side
        for begin, length, share in zip((left, top), (width, height), _PLACE, strict=True)
    )
    for kind in ("mousePressed", "mouseReleased"):
        event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
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
