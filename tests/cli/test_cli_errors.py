"""What the command line says of errors of the user, by the names of options; and that it says so of these alone."""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import pytest
from command_line import complaint, run, translate
from PIL import Image

from midms import cli


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--matcher optimal-transprt",
            "midms: --matcher: no matcher is called 'optimal-transprt'. Did you mean 'optimal-transport',"
            " 'unbalanced-transport' or 'mutual-nearest'? `midms list matcher` shows all 13."
            " A part of your own needs --plugin FILE.py.",
        ),
        ("--condition-from edgs", "midms: --condition-from: no condition is called 'edgs'. Did you mean 'edges', "),
        ("--preset midm-face", "midms: --preset: no preset is called 'midm-face'. Did you mean 'midm-faces', "),
        ("--confidence 'cycle(raduis=1)'", "midms: --confidence: confidence 'cycle': "),
        ("--confidence 'cycle(0.1)'", "midms translate: argument --confidence: cannot read 'cycle(0.1)', expected "),
        ("--confidence 'cycle(radius=-1)'", "midms: --confidence: radius must be positive, got -1"),
        (
            "--confidence 'cycle(radius=nan)'",
            "midms: --confidence: radius must be a finite number above 0 to 1e+06, got nan",
        ),
        (
            "--matcher 'correlation(temperature=-inf)'",
            "midms: --matcher: temperature must be a finite number above 0 to 1e+06, got -inf",
        ),
        ("--rematch 5", "midms: --rematch must be levels out of [0, 1], got (5,)"),
        ("--rematch x", "midms translate: argument --rematch: expected levels such as 0,1 or none, got 'x'"),
        ("--rematch 0,1,1", "midms: --rematch must be different levels, got (0, 1, 1)"),
        (
            "--confidence-guidance 0.5",
            "midms: --confidence-guidance 0.5: changes nothing without --rematch and --edit guide",
        ),
        (
            "--confidence-guidance 0.5 --rematch 0",
            "midms: --confidence-guidance 0.5: changes nothing without --edit guide",
        ),
        (
            "--edit guide --match-on latent",
            "midms: --edit guide: changes nothing without --rematch; "
            "--match-on latent: changes nothing without --rematch",
        ),
        ("--confidence 5", "midms translate: argument --confidence: expected a name, or settings as in cycle(radius="),
        ("--condition-from none", "midms translate: argument --condition-from: expected a name, or settings as in "),
        ("--preset {saved} --style 7", "midms: --style must be a number between 0 and 1, got 7.0"),
        ("--preset {folder}", "midms: {folder}: has no config.json, expected what save_pretrained, `midms train` or "),
        ("--weights nowhere/", "midms: --weights: there is no folder nowhere"),
        (
            "--region {pair}/condition.png --region {pair}/figure.png",
            "midms: --region: changes nothing with one exemplar, expected several",
        ),
        (
            "--exemplar-condition {pair}/figure.png",
            "midms: {pair}/figure.png: is 1592 x 290 pixels, expected the longer side at most 4 times the shorter",
        ),
        ("--sampler diffusers:EulerSchedule", "midms: --sampler: no scheduler of diffusers is called 'EulerSchedule'"),
        ("--edit blnd", "midms: --edit must be one of blend, replace, guide, context, adain, got 'blnd'"),
        (
            "--match-on up --style 3",
            "midms: --match-on must be one of x0, latent, got 'up'; --style must be a number between",
        ),
        ("--offload model", "midms: --offload model: nothing to bring them to, expected --device cuda or the like"),
        ("--size 8", "midms: --size: expected 32 to 1024 pixels, got 8"),
        ("--matcher x --sampler y", "midms: --matcher: no matcher is called 'x'. Did you mean "),
        ("--matcher \"dual-softmax(backend='x')\"", "midms: --matcher: matcher 'dual-softmax': backend: expected "),
        ("--matcher 'local(prior=0.5)'", "midms: --matcher: matcher 'local': prior: expected matcher as"),
        ("--confidence 'product(of=(1,2))'", "midms: --confidence: confidence 'product': of: expected "),
        (
            '--features "fusion(extractors=(1,2))"',
            "midms: --features: features 'fusion': extractors: expected features as",
        ),
        (
            '--features "pyramid(condition_channels=3)"',
            "midms: --features: parts disagree on condition channels",
        ),
        (
            "--matcher semantic",
            "midms: --matcher: parts disagree on a label as the last feature: features False, matcher True; "
            "`semantic` goes with the features `labelled`",
        ),
        ("--plugin .", "midms: --plugin .: is a folder, expected a file of Python"),
    ],
)
def test_errors_are_told_by_the_names_of_options(
    pair: Path, options: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    names = {"pair": pair, "saved": pair.parent / "saved", "folder": tmp_path}
    assert translate(pair, tmp_path / "out.png", *shlex.split(options.format(**names))) == 2
    line = complaint(capsys)
    assert line.startswith(message.format(**names))
    assert not re.search(r"build\(|@register|from_pretrained|dir\(|unexpected|argument '", line)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("show cycel", "no part or preset is called 'cycel'. Did you mean 'cycle', 'cycle-released' or "),
        ("ablate --out w --vary matcher=neares", "--vary matcher=neares: no matcher is called 'neares'. Did you mean "),
        ("ablate --out w --vary macher=nearest", "--vary macher=nearest: no slot is called 'macher'. Did you mean "),
        (
            "ablate --out w --vary 'matcher=local(8)'",
            "--vary matcher=local(8): cannot read 'local(8)', expected a name",
        ),
        ("ablate --out w --vary matcher", "--vary matcher: expected SLOT=VALUE,VALUE such as matcher=correlation"),
        ("ablate --out w --vary matcher=nearest --preset mid", "--preset: no preset is called 'mid'. Did you mean "),
        ("ablate --out w --vary matcher=nearest --split tes", "--split: no split is called 'tes'. Did you mean 'test'"),
        ("ablate --out w --vary size=64", "--vary size=64: size cannot be varied: faces are drawn at one size"),
        (
            "ablate --out w --vary rematch=none,0,1",
            "--vary rematch=none,0,1: rematch must be a tuple of levels, got 0, written (0,) or (0,1), or none",
        ),
        (
            "ablate --out w --vary 'rematch=none,\"0,1\"'",
            '--vary rematch=none,"0,1": rematch must be a tuple of levels, got \'"0\', written (0,) or (0,1), or none',
        ),
        ("ablate --out w --vary edit=blend,none", "--vary edit=blend,none: edit must be one of blend, replace, guide,"),
        (
            "ablate --out w --vary matcher=none",
            "--vary matcher=none: matcher: expected preset or a part's name, see `midms list matcher`, got None",
        ),
        ("ablate --out w --vary matcher=nearest --weights no/", "there is no folder no"),
        ("ablate --out /dev/null --vary matcher=nearest", "/dev/null: is a device, expected a folder"),
        ("convert . --out c --config c.yaml", ".: is no folder of diffusers, it has no unet/config.json"),
        (
            "demo --out w --confidence-guidance 1",
            "--confidence-guidance 1.0: changes nothing without --rematch and --edit guide",
        ),
        ("demo --out w --confidence cycel", "--confidence: no confidence is called 'cycel'. Did you mean 'cycle', "),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_every_command_names_its_options_and_no_catalogue(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*shlex.split(words)) == 2
    line = complaint(capsys)
    assert line.startswith(f"midms: {message}") and len(line) < 250, line
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("given", ["nan", "inf", "-1", "0"])
def test_a_training_that_would_take_no_steps_or_not_end_is_refused(
    given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", "--data", "portraits", "--out", tmp_path / "run", f"--minutes={given}") == 2
    assert "--minutes: expected a finite number above 0, got" in complaint(capsys)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("protraits", "no dataset is called 'protraits'. Did you mean 'portraits'"),
        ("portraits(style=3)", "dataset 'portraits': has no setting 'style'. Did you mean 'styles'"),
        ("portraits(size=128)", "data set portraits(size=128): takes no size here, which the model gives"),
        ("portraits(styles=0)", "styles must be a whole number from 1 to"),
    ],
)
def test_data_sets_are_checked(data: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--data", data, "--preset", "midm-faces", "--device", "cpu", "--out", tmp_path / "run") == 2
    assert message in complaint(capsys) and not (tmp_path / "run" / "data").exists()


def test_a_bug_is_not_dressed_up_as_an_error_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> int:
        raise ValueError("a bug")

    monkeypatch.setattr(cli.listing, "available", broken)
    with pytest.raises(ValueError, match="a bug"):
        cli.main(["list"])


def test_a_training_that_is_told_to_end_ends_as_by_a_key_press(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in, before = ModuleType("midms.training.train"), signal.getsignal(signal.SIGTERM)
    stand_in.train = lambda _: os.kill(os.getpid(), signal.SIGTERM)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    assert cli.main(["train", "--data", "portraits", "--out", str(tmp_path)]) == 130
    assert signal.getsignal(signal.SIGTERM) == before


def test_train_hands_its_options_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Namespace] = []
    stand_in = ModuleType("midms.training.train")
    stand_in.train = lambda args: seen.append(args) or 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    assert cli.main(["train", "--data", "portraits", "--out", str(tmp_path), "--steps", "3"]) == 0
    args = seen[0]
    assert (args.preset, args.stage, args.out, args.steps, args.size) == ("midm-small", None, tmp_path, 3, None)


def test_a_terminal_obeys_no_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, drawings, out = (tmp_path / f"{name}\x1b[31m" for name in ("photos", "drawings", "out"))
    for folder, name in ((photos, "a"), (drawings, "b")):
        folder.mkdir()
        for number in (1, 2):
            Image.effect_noise((64, 64), 99).save(folder / f"{name}{number}\x9b\n.png")
    (drawings / "b1\x9b\n.png").write_text("no picture")
    assert cli.main(["translate", "--condition", str(drawings), "--exemplar", str(photos), "--out", str(out)]) == 2
    assert cli.main(["pairs", str(photos), "--out", f"{out}.csv"]) == 0
    with pytest.raises(SystemExit):
        cli.main(["list", "--\x1b[31m"])
    said = capsys.readouterr()
    assert {*said.out + said.err} & {"\x1b", "\x9b"} == set()
    for line in ("not a picture of a known format", "unrecognized arguments: --\\x1b[31m", "warning: the "):
        assert line in said.err
    for line in ("1 of 2 written to", "with up to 5 exemplars each, written to", "a1\\x9b\\n.png\n"):
        assert line in said.out


def test_names_that_a_terminal_cannot_show_end_nothing(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / os.fsdecode("é\xff.png".encode("latin-1"))
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    options = [f"--condition={pair}/condition.png", f"--exemplar={pair}/exemplar.png", f"--out={out}"]
    assert cli.main(["translate", *options]) == 0 and out.exists()
    assert rb"\udce9\udcff.png, 64 x 64 pixels" in terminal.buffer.getvalue()  # type: ignore[attr-defined]


def test_a_folder_that_is_called_as_an_option_is_no_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("results", "against"):
        assert run("evaluate", "results", "--against", "against", "--out", "out") == 2
        assert complaint(capsys) == f"midms: {name}: no such folder, expected a folder of pictures"
        Path(name).mkdir()
        Image.new("RGB", (32, 32)).save(f"{name}/a.png")
    assert run("evaluate", "results", "--against", "against", "--metrics", "fid", "--out", "out") == 2
    assert complaint(capsys).startswith("midms: --metrics: fid is of Inception alone, give --inception FILE")
