"""Parts of somebody's own that raise: told in one line with the part, its error and the line of its file."""

from __future__ import annotations

import shutil
from pathlib import Path

import command_line
import pytest
import torch
from sample_pictures import drawing, photo
from shifting import Shifting
from tiny_stage import Colours, data

from midms import build, register
from midms.core.errors import OutOfMemory
from midms.pipeline.failures import PartFailed, blamed

PLUGIN = """
import torch
from midms import create, register
from midms.core.types import Features

@register("matcher", "own")
class Matcher:
    def __call__(self, query, key):
        raise RuntimeError("two\\nlines")

@register("matcher", "own-match")
class Matcher:
    def __call__(self, query, key):
        class Match:
            inner = create("matcher", "correlation")(query, key)
            grid = inner.grid
            apply, transpose = inner.apply, inner.transpose
            def similarity(self): raise NotImplementedError
        return Match()

@register("confidence", "own")
def made():
    return lambda match: 1 / 0

@register("confidence", "own-question")
class Confidence:
    def __call__(self, match):
        return match.cycle("far")[0]

@register("denoiser", "own")
class Denoiser(torch.nn.Module):
    def forward(self, x, level, context):
        return torch.zeros(3).view(2)

@register("features", "own")
class Own:
    def condition(self, condition): raise KeyError("x")
    def exemplar(self, latent, condition): raise KeyError("x")
    def rematch_query(self, x0, condition): raise KeyError("x")

@register("condition", "own")
class Condition:
    channels = 2
    def drawing(self, picture, size): raise AttributeError("no pen")
    def photo(self, image): raise AttributeError("no pen")
    def read(self, source, name, fit): raise IndexError("no label")
    def picture(self, condition): raise IndexError("no label")

@register("sampler", "own")
class Sampler:
    def __init__(self): self.levels = create("sampler", "ddim", timesteps=(900, 500)).levels
    def predict(self, denoise, x, level, previous): return next(iter(()))
    def advance(self, step, to, draw): return next(iter(()))

@register("finisher", "own")
class Finisher:
    def __call__(self, coloured, drawing, exemplars, translate_crop): assert not exemplars
    def memory(self, result, drawing): return 0

@register("finisher", "own-memory")
class Memory(Finisher):
    def memory(self, result, drawing): raise OSError(5, "a disk")

@register("autoencoder", "own")
class Autoencoder:
    def __init__(self): raise SystemExit("bye")
"""


@pytest.fixture
def plugin(tmp_path: Path, registries: None) -> Path:
    path = tmp_path / "own.py"
    path.write_text(PLUGIN)
    return path


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("option", "error", "line"),
    [
        ("matcher own", "RuntimeError: two lines", 'raise RuntimeError("two'),
        ("matcher own-match", "NotImplementedError", "def similarity"),
        ("confidence own", "ZeroDivisionError: division by zero", "1 / 0"),
        ("confidence own-question", "TypeError: ", 'match.cycle("far")'),
        ("denoiser own", "RuntimeError: ", "view(2)"),
        ("features own", "KeyError: 'x'", "def condition(self"),
        ("condition-from own", "IndexError: no label", "def read"),
        ("sampler own", "StopIteration", "def predict"),
        ("finisher own", "AssertionError", "assert not"),
        ("finisher own-memory", "OSError: [Errno 5] a disk", "OSError(5"),
    ],
)
def test_the_command_line_names_part_error_and_line(
    option: str, error: str, line: str, pair: Path, plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slot, name = option.split()
    out = plugin.parent / "out.png"
    assert command_line.translate(pair, out, "--plugin", plugin, f"--{slot}", name) == 2
    said = command_line.complaint(capsys)
    called = "Condition" if slot == "condition-from" else name
    number = next(n for n, text in enumerate(PLUGIN.splitlines(), 1) if line in text)
    assert said.startswith(f"midms: --{slot}: {called} raised {error}") and said.endswith(f"({plugin}, line {number})")
    assert not out.exists()


def test_parts_that_cannot_be_made_are_named(pair: Path, plugin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.translate(pair, plugin.parent / "out.png", "--plugin", plugin, "--autoencoder", "own") == 2
    assert command_line.complaint(capsys) == "midms: --autoencoder: autoencoder 'own' cannot be made: SystemExit: bye"


def test_in_python_the_error_is_the_cause(pair: Path, registries: None) -> None:
    class Own:
        def __call__(self, match: object) -> None:
            raise LookupError("lost")

    pipe = build("midm-faces", confidence=Own())
    with pytest.raises(PartFailed, match=r"^confidence: Own raised LookupError: lost") as failed:
        pipe.translate(pair / "condition.png", pair / "exemplar.png")
    assert isinstance(failed.value.__cause__, LookupError)
    with pytest.raises(LookupError, match="lost"):
        pipe(torch.zeros(1, 2, 64, 64), torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize(
    ("fails_at", "made", "said"),
    [
        ({1, 2, 3, 4}, [], "; the other 1 are not tried"),
        ({1, 2}, ["c.png", "d.png"], "out/a.png: failed"),
        ({2, 3, 4}, ["a.png"], "out/d.png: failed"),
    ],
)
def test_a_part_that_fails_with_each_of_the_first_ends_the_folder_and_one_that_fails_with_some_does_not(
    fails_at: set[int],
    made: list[str],
    said: str,
    pair: Path,
    tmp_path: Path,
    registries: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[int] = []

    @register("confidence", "sometimes")
    class Sometimes:
        def __call__(self, match: object) -> torch.Tensor:
            calls.append(1)
            if len(calls) in fails_at:
                raise RuntimeError("no")
            return torch.ones(1, 1, 16, 16)

    drawings = tmp_path / "drawings"
    drawings.mkdir()
    for name in "abcd":
        shutil.copy(pair / "condition.png", drawings / f"{name}.png")
    options = f"--condition {drawings} --exemplar {pair}/exemplar.png --confidence sometimes --rematch none"
    assert command_line.run("translate", *options.split(), "--out", tmp_path / "out") == 2
    assert sorted(path.name for path in (tmp_path / "out").glob("*")) == made
    lines = [line for line in capsys.readouterr().err.splitlines() if "raised RuntimeError: no" in line]
    assert len(lines) == (len(fails_at) if made else 1) and said in lines[-1] + lines[0]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory_for_a_job_is_the_jobs_own_fault(error: Exception) -> None:
    def part() -> None:
        raise error

    with (
        pytest.raises(OutOfMemory, match=f"^matcher: own raised {type(error).__name__}"),
        blamed({"matcher: own": part}),
    ):
        part()


def test_no_part_is_blamed_for_an_argument(unchecked: None) -> None:
    """Whatever it is: a function called with 0 is no part without levels."""
    with pytest.raises(ValueError, match=r"^generator must be a torch.Generator, .*, got 0$"):
        Shifting().translate(drawing(64, 64), photo(64, 64), generator=0)


def test_what_torch_says_without_memory() -> None:
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        torch.empty(2**60)


def test_features_that_fail_are_named_where_pictures_are_paired(
    pair: Path, plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "pairs", pair, "--out", plugin.parent / "pairs.csv", "--plugin", plugin, "--features", "own"
    assert command_line.run(*options) == 2
    assert "features: Own raised KeyError: 'x'" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_set_that_fails_is_named_in_every_process(workers: int) -> None:
    class Own(Colours):
        def __getitem__(self, index: int) -> None:
            raise RuntimeError(f"no {len(self)}")

    with pytest.raises(
        PartFailed, match=r"^dataset: Own raised RuntimeError: no 10 \(.*test_failing_parts.py, line \d+\)$"
    ):
        next(data(Own(), workers=workers).batches(range(1), 4, 1, [0]))
