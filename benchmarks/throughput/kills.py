"""Many pairs, killed at random moments and resumed: each result is there once, its bytes those of an unbroken run.

    python -m benchmarks.throughput.kills

Writes `benchmarks/results/kills.json`; `python -m benchmarks.throughput.page` brings it to docs/scale.md. Also how much
memory a process has while it translates them. Nothing is timed: other programs may run meanwhile. With Ray installed
(`midms[ray]`) one of its actors is killed too.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import random
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.measure import MIB, versions
from benchmarks.results import RESULTS, command, machine, table, write_json
from benchmarks.throughput.__main__ import SIZE, write_table
from benchmarks.throughput.worker import PRESET

BATCH, SHARD = 16, 100
EVERY = 100
"""Pairs between two looks at the memory."""
Figures = dict[str, float]


def main() -> None:
    """Run, kill, resume, compare; write the results file, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000, help="how many (default %(default)s)")
    parser.add_argument("--kills", type=int, default=10, help="in each run (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments, and of the noise")
    parser.add_argument("--out", type=Path, default=RESULTS / "kills.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, moments = Path(name), random.Random(args.seed)
        run = Run(write_table(folder, args.pairs), args.pairs, args.seed)
        memory = run.unbroken(folder / "unbroken")
        known = results(folder / "unbroken")
        rows: dict[str, Figures] = {}
        for count in (1, 2):
            for more, kind in (([], ""), ([f"--shards={SHARD}"], ", tar files")):
                out = folder / f"{count}{kind}"
                killed = run.killed(out, count, more, args.kills, moments)
                rows[f"{named(count)}{kind}"] = {"kills": killed} | compared(out, known)
        if importlib.util.find_spec("ray"):
            killed = run.on_ray(folder / "ray", args.kills, moments)
            rows["Ray, its actors killed"] = {"kills": killed} | compared(folder / "ray", known)
    described = {"preset": PRESET, "size": SIZE, "pairs": args.pairs, "batch": BATCH, "shard": SHARD, "seed": args.seed}
    content = {"command": command("throughput.kills"), **described, **machine(), "rows": rows, "MB by pairs": memory}
    content["versions"] |= versions("pillow", "ray")
    write_json(args.out, content)
    print(f"{table(rows)}\n{memory}\nwritten to {args.out}")


def named(processes: int) -> str:
    """What a row is called."""
    return "1 process" if processes == 1 else f"{processes} processes"


class Run:
    """Runs of the command over one table, one thread a process, so that bytes can be equal.

    Args:
        pairs: the table.
        count: of its pairs.
        seed: of the noise.
    """

    def __init__(self, pairs: Path, count: int, seed: int) -> None:
        self.pairs, self.count, self.seed = pairs, count, seed

    def start(self, out: Path, share: int, shares: int, more: list[str]) -> subprocess.Popen[bytes]:
        """One process."""
        words = [sys.executable, "-m", "midms", "translate", f"--preset={PRESET}", f"--pairs={self.pairs}"]
        words += [f"--out={out}", f"--batch={BATCH}", f"--seed={self.seed}", "--resume", *more]
        own = {"RANK": str(share), "WORLD_SIZE": str(shares), "OMP_NUM_THREADS": "1"}
        with (out.parent / f"{out.name}.log").open("ab") as log:
            return subprocess.Popen(words, env=os.environ | own, stdout=log, stderr=log)

    def unbroken(self, out: Path) -> dict[str, float]:
        """MB that the process has, by pairs that it has done: at some of them, and the last that was seen."""
        found: dict[str, float] = {}
        process = self.start(out, 0, 1, [])
        with tqdm(total=self.count, desc="unbroken", disable=None) as bar:
            while process.poll() is None:
                done = made(out)
                bar.update(done - bar.n)
                with contextlib.suppress(OSError, TypeError):
                    held = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1])  # type: ignore[index]
                    found[str(done if done == self.count else done // EVERY * EVERY)] = held * 1024 / MIB
                time.sleep(0.05)
        self.ended(process, out)
        return found

    def killed(self, out: Path, shares: int, more: list[str], kills: int, moments: random.Random) -> int:
        """Kill some or all of the processes as often, start them anew, and let them end; how many were killed."""
        running = {share: self.start(out, share, shares, more) for share in range(shares)}
        killed = 0
        for number in tqdm(range(kills), f"{out.name}: kills", disable=None):
            until, wait = (number + moments.random()) * self.count / kills, moments.uniform(0, 0.5)
            while made(out) < until and any(process.poll() is None for process in running.values()):
                time.sleep(0.05)
            time.sleep(wait)
            for share in moments.sample(range(shares), moments.randint(1, shares)):
                if running[share].poll() is None:
                    running[share].send_signal(signal.SIGKILL)
                    running[share].wait()
                    killed += 1
                else:
                    self.ended(running[share], out)
                running[share] = self.start(out, share, shares, more)
        for process in running.values():
            self.ended(process, out)
        return killed

    def on_ray(self, out: Path, kills: int, moments: random.Random) -> int:
        """Kill actors, which Ray starts anew; how many were killed."""
        process, killed = self.start(out, 0, 1, ["--ray"]), 0
        for number in tqdm(range(kills), f"{out.name}: kills", disable=None):
            until = (number + moments.random()) * self.count / kills
            while made(out) < until and process.poll() is None:
                time.sleep(0.05)
            if actors := [pid for pid, name in descendants(process.pid) if "MapWorker" in name]:
                os.kill(moments.choice(actors), signal.SIGKILL)
                killed += 1
        self.ended(process, out)
        return killed

    def ended(self, process: subprocess.Popen[bytes], out: Path) -> None:
        """Wait for a process.

        Raises:
            RuntimeError: it failed.
        """
        if process.wait():
            raise RuntimeError(f"{out.name}: {(out.parent / f'{out.name}.log').read_text()[-2000:]}")


def descendants(process: int) -> Iterator[tuple[int, str]]:
    """Processes that a process has started, and those that these have, with their command lines."""
    parents: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
    for one in parents:
        above = one
        while above in parents and above != process:
            above = parents[above]
        if above == process != one:
            with contextlib.suppress(OSError):
                yield one, Path(f"/proc/{one}/cmdline").read_text()


def made(out: Path) -> int:
    """Pairs that manifests have, and those that wait for a tar file."""
    waiting = 0
    for folder in out.glob(".*.part"):
        with contextlib.suppress(OSError):  # they come and go
            waiting += sum(name.endswith(".png") for name in os.listdir(folder))
    return len(lines(out)) + waiting


def lines(out: Path) -> Counter[str]:
    """How many lines manifests have of each pair."""
    found = Counter[str]()
    for path in out.glob("manifest*.jsonl"):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                found.update([record["key"]] if "file" in (record := json.loads(line)) else [])
    return found


def results(out: Path) -> dict[str, list[bytes]]:
    """The pictures of each key, wherever they are."""
    found: dict[str, list[bytes]] = {}
    for path in out.glob("*.png"):
        found.setdefault(path.stem, []).append(path.read_bytes())
    for path in out.glob("*.tar"):
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.endswith(".png"):
                    content: Any = archive.extractfile(member)
                    found.setdefault(member.name[:-4], []).append(content.read())
    return found


def compared(out: Path, known: dict[str, list[bytes]]) -> Figures:
    """Results that are there, those of these that are there once and equal to the byte, and what else was left."""
    found = results(out)
    return {
        "results": sum(map(len, found.values())),
        "once and equal": sum(found.get(key) == pictures for key, pictures in known.items()),
        "noted twice": sum(count - 1 for count in lines(out).values()),
        "other files": sum(path.suffix not in (".png", ".tar", ".jsonl") for path in out.iterdir()),
    }


if __name__ == "__main__":
    main()
