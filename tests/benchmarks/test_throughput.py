"""The benchmark of many translations, on two pairs, in this process; and what the page makes of its figures."""

from __future__ import annotations

import io
import json
import re
import shlex
import tarfile
import time
from pathlib import Path

import pytest

from benchmarks.results import RESULTS
from benchmarks.throughput import __main__ as throughput
from benchmarks.throughput import kills, page, worker
from benchmarks.throughput import rows as rows_of
from midms import build, cli


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="by it peak memory is measured")
def test_a_run_is_measured_and_its_pictures_compared(tmp_path: Path) -> None:
    table, pipe, started = throughput.write_table(tmp_path, 2), build(worker.PRESET), time.time()
    loop, batch = (worker.work(pipe, table, tmp_path / f"{n}", n, seed=0) for n in (0, 2))
    assert loop["pairs"] == batch["pairs"] == 2 and loop["MB at the peak"] >= loop["MB before"] > 50
    apart = throughput.difference(tmp_path / "0", tmp_path / "2")
    assert apart["levels apart"] <= 1 and apart["values apart"] < 0.01
    assert throughput.difference(tmp_path / "0", tmp_path / "0") == {"levels apart": 0, "values apart": 0}
    both = throughput.combined([loop, batch], started)
    assert both["pairs a second"] == pytest.approx(4 / (batch["ended"] - loop["began"]))
    assert both["seconds to start"] == batch["began"] - started


def test_the_page_is_that_of_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten million pairs at 2.5 a second and process are 62,500 seconds of 64 processes."""
    large = rows_of.measured(tmp_path, 100)
    assert large["bytes a row"] == pytest.approx(51, abs=1) and large["bytes in memory a row"] > 100
    assert large["bytes a line"] > 200 and large["bytes in memory a line"] > 200
    row = {"pairs a second": 1.0, "MB at the peak": 500.0, "MB grown": 1.0, "seconds to start": 5.0}
    row |= {"times faster": 1.0, "levels apart": 0.0, "values apart": 0.0}
    rows = {throughput.LOOP: row, throughput.named(16, 1): row | {"pairs a second": 2.5, "times faster": 2.5}}
    rows[throughput.named(16, 2)] = row | {"pairs a second": 3.0, "times faster": 3.0}
    result = {"rows": rows, "bytes a result": 2.0**20, "cores": 2}
    result |= {"preset": "midm-faces", "size": 64, "pairs": 2, "repeats": 1, "seed": 0, "command": "python"}
    result |= {"date": "2026-01-01", "hardware": "a CPU", "versions": {"torch": "2"}}
    (tmp_path / "throughput.json").write_text(json.dumps(result))
    (tmp_path / "rows.json").write_text(json.dumps({"figures": large | {"microseconds a row": 10.0}}))
    killed = {"rows": {"1 process": {"kills": 9, "results": 7}}, "MB by pairs": {"100": 500.4, "1000": 501.0}}
    (tmp_path / "kills.json").write_text(json.dumps(result | killed | {"batch": 16, "shard": 5, "pairs": 1000}))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "scale.md").write_text((page.ROOT / "docs" / "scale.md").read_text())
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "ROOT", tmp_path)
    page.main()
    text = (tmp_path / "docs" / "scale.md").read_text()
    assert "batch 16, 2 processes is 3.00 times as quick as the loop" in text
    for line in (
        "| pairs of a process | 156,250 | 10,000,000 / 64 |",
        "| results | 9,766 GiB | 1,048,576 bytes each |",
        "| until the first pair | 105 s | 5.0 s to start, 10.0 us a row |",
        "| the work | 17.4 hours | 2.5 pairs a second and process |",
        "| the work, 10 times as quick | 1.7 hours | 25.0 pairs a second and process |",
        "| tar files | 10,000 | 1,000 results each, 1000.0 MiB and more |",
        "| lost by a kill with tar files | 400 s more |",
        "| 1 process | 9 | 7 |",
        "| pairs | 100 | 1,000 |\n| --- | --- | --- |\n| MB | 500 | 501 |",
    ):
        assert line in text, line


def test_the_page_that_is_there_is_that_of_the_results_that_are_there() -> None:
    text = (page.ROOT / "docs" / "scale.md").read_text()
    paths = [RESULTS / f"{name}.json" for name in page.MEASURED]
    result, rows, killed = (json.loads(path.read_text()) if path.exists() else None for path in paths)
    assert page.figures(result) in text and page.arithmetic(result, rows) in text
    assert ("Not measured yet." if killed is None else page.kills(killed)) in text


def test_results_are_counted_wherever_they_are(tmp_path: Path) -> None:
    """One as a file, one twice, one with other bytes, one that is missing."""
    known = {str(i): [bytes([i])] for i in range(4)}
    (tmp_path / "0.png").write_bytes(b"\0")
    for name, files in {"a.tar": {"1.png": b"\1", "1.json": b"{}"}, "b.tar": {"1.png": b"\1", "2.png": b"?"}}.items():
        with tarfile.open(tmp_path / name, "w") as archive:
            for member, content in files.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    lines = [{"run": {}}, {"key": "0", "file": "0.png"}, {"key": "0", "file": "0.png"}, {"key": "3", "error": "no"}]
    (tmp_path / "manifest-0-of-2.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"key')
    (tmp_path / ".1-a.part").mkdir()
    found = kills.compared(tmp_path, known)
    assert found == {"results": 4, "once and equal": 1, "noted twice": 1, "other files": 1}
    assert kills.made(tmp_path) == 1


def test_every_command_of_the_page_can_be_typed() -> None:
    text = (page.ROOT / "docs" / "scale.md").read_text()
    typed = re.findall(r"^(?:midms|(?:torchrun|accelerate) .* -m midms) (translate .*)$", text, re.MULTILINE)
    assert len(typed) == 6
    for words in typed:
        assert cli.parser().parse_args(shlex.split(words)).pairs == Path("pairs.csv")
