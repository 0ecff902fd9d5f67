"""Names, signatures, near matches, and plug-ins that misbehave."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import midms
from midms import Spec, available, build, create, register
from midms.compose import spec
from midms.compose.catalog import KINDS, registry
from midms.compose.spec import parse_value
from midms.core.errors import MidmsError
from midms.core.protocols import ConfidenceEstimator, Matcher
from midms.evaluation.ablation.vary import OWN
from midms.matching.matchers.correlation import Correlation
from midms.registry import BadArguments, BadName, BrokenPart, Registry, UnknownName

PARTS = {
    "condition": ["ade20k-segmentation", "celebahq-edge", "deepfashion-pose", "edges", "sketch"],
    "features": ["midm", "pyramid", "timm"],
    "matcher": ["attention", "correlation", "optimal-transport"],
    "confidence": ["always", "calibrated", "cycle", "cycle-released"],
    "denoiser": ["bridge", "unconditional"],
    "sampler": ["ddim", "ddpm"],
    "autoencoder": ["patchified", "vq"],
    "finisher": ["composite", "tiles"],
    "injection": ["cross-attention", "ctrlx", "graft"],
    "dataset": ["portraits"],
    "metric": ["frechet-distance", "swd", "psnr", "copied-content", "pck"],
}


@pytest.fixture
def rows() -> Registry:
    """A registry of nobody's entry points."""
    rows = Registry("colour", "tests.no-such-group")
    rows.row("counter", "collections:Counter", "counts")
    rows.row("path", "pathlib:Path", "a path")
    rows.row("home", "pathlib:Path.home", "an attribute of an attribute")
    rows.row("gone", "no_such_module:Thing", "not there")
    rows.row("mistyped", "pathlib:Pth", "not there either")
    return rows


def test_everything_the_house_has_is_listed() -> None:
    listed = available()
    assert {kind: set(names) >= set(PARTS[kind]) for kind, names in listed.items()} == dict.fromkeys(PARTS, True)
    assert all(names == sorted(names) for names in listed.values())
    assert available("matcher", "opt*") == ["optimal-transport"]
    assert available(pattern="c*")["confidence"] == ["calibrated", "cycle", "cycle-released"]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in PARTS.items() for name in names])
def test_every_row_leads_to_a_documented_part(kind: str, name: str) -> None:
    part = KINDS[kind][name]
    assert part.__doc__ and part.__module__.startswith("midms.")
    assert 10 < len(registry(kind).summary(name)) < 110


@pytest.mark.parametrize(
    ("kind", "name", "protocol"),
    [("matcher", name, Matcher) for name in KINDS["matcher"]]
    + [("confidence", name, ConfidenceEstimator) for name in KINDS["confidence"]],
)
def test_every_row_satisfies_its_protocol_and_cites_its_source(kind: str, name: str, protocol: type) -> None:
    assert isinstance(create(kind, name), protocol)
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|\b(19|20)\d\d\b", KINDS[kind][name].__doc__), (
        "an article, or a name and a year"
    )


def test_one_part_alone() -> None:
    assert create("matcher", "correlation", temperature=0.25) == Correlation(temperature=0.25)


def test_a_row_is_imported_when_it_is_used(rows: Registry) -> None:
    assert list(rows) == ["counter", "gone", "home", "mistyped", "path"]
    assert rows.summary("gone") == "not there"
    assert rows["path"] is Path and rows["home"]() == Path.home()
    assert rows.create("counter", a=2) == {"a": 2}
    for name, reason in {"gone": "No module named 'no_such_module'", "mistyped": "has no attribute 'Pth'"}.items():
        with pytest.raises(BrokenPart, match=rf"colour '{name}' is .* cannot be imported: .*{reason}") as caught:
            rows[name]
        assert caught.value.__cause__ is not None


def test_an_unknown_name_gets_help() -> None:
    with pytest.raises(
        UnknownName,
        match=r"no matcher is called 'corelation'\. Did you mean 'correlation', .* or .*\? `midms list matcher`",
    ):
        create("matcher", "corelation")
    with pytest.raises(UnknownName, match=r"no kind of part is called 'macher'\. Did you mean 'matcher'"):
        available("macher")
    with pytest.raises(
        UnknownName, match=r"no sampler is called 'zzz'\. Did you mean '.*', '.*' or '.*'\? `midms list"
    ):
        create("sampler", "zzz")
    with pytest.raises(AttributeError, match=r"'midms' has no attribute 'biuld'; it has .*build"):
        midms.biuld  # noqa: B018


def test_wrong_arguments_get_the_signature() -> None:
    with pytest.raises(BadArguments) as caught:
        create("matcher", "correlation", temprature=1)
    message = str(caught.value)
    assert "has no setting 'temprature'. Did you mean 'temperature'?" in message
    assert "Signature: correlation(temperature: float = 0.005, floor: float | None = None" in message
    with pytest.raises(BadArguments, match="missing a required argument: 'timesteps'"):
        create("sampler", "ddim", eta=1.0)


WRONG: dict[object, tuple[object, ...]] = {
    int: (1.5, "1", True, [1], {}, 1j),
    float: ("x", True, (0.1,), {"a": 1}, 1j, b"1"),
    str: (3, b"auto", ["auto"], ("auto",)),
    bool: (1, "yes", [True], 0.0),
    tuple[int, ...]: (3, "ab", ("a",), (1, None), [1.5], {1: 2}, ((1,),)),
    tuple[int, int]: ((1,), (1, 2, 3), ("a", "b"), 4, "ab"),
    tuple[int, int, int]: ((1, 2), 3, "abc", (1, 2, None)),
    tuple[bool, ...]: ((1, 0), True, "tf"),
    tuple[str, ...]: ("relu", (1,), 3),
    float | None: ("x", True, (0.1,)),
    int | None: (1.5, "1", True),
}
"""Values that are none of a type: of one that accepts None as well, of a tuple of the wrong length."""


NEEDED: dict[str, object] = {"timesteps": (500,), "network": abs, "path": ".", "size": 64, "config": {}}
NEEDED |= {"file": ".", "encoder": "."}
"""Arguments that parts cannot do without."""


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_of_other_types_are_refused_by_name(kind: str) -> None:
    tried = 0
    for name in [*KINDS[kind], *(["diffusers:DDIMScheduler"] if kind == "sampler" else [])]:
        parameters = inspect.signature(KINDS[kind][name], eval_str=True).parameters
        needed = {key: NEEDED[key] for key, one in parameters.items() if key in NEEDED and one.default is one.empty}
        for key, parameter in parameters.items():
            for value in WRONG.get(parameter.annotation, ()):
                with pytest.raises(BadArguments) as caught:
                    KINDS[kind].check(name, **needed | {key: value})
                message = str(caught.value)
                assert message.startswith(f"{kind} {name!r}: {key}: expected "), message
                assert f"got {value!r}" in message and "\n" not in message
                tried += 1
    assert tried > 3


@pytest.mark.usefixtures("unchecked")
def test_numbers_and_sequences_of_any_kind_are_taken() -> None:
    assert create("confidence", "cycle", radius=1).radius == 1
    assert create("confidence", "cycle", radius=np.float32(0.5)).radius == 0.5
    assert create("sampler", "ddim", timesteps=[500, np.int64(3)]).levels[1].timestep == 3
    assert create("sampler", "ddim", timesteps=range(900, 0, -300)).levels[0].timestep == 900
    assert create("matcher", "correlation", floor=None, temperature=np.float32(0.5)).temperature == 0.5


def test_types_that_cannot_be_known_are_the_parts_own_business() -> None:
    def made(size: Nowhere = 1, colour="red", *, weights: dict[str, int] | None = None) -> tuple:  # type: ignore  # Nowhere is no name, on purpose
        return size, colour, weights

    rows = Registry("colour", "tests.no-such-group")
    rows.register("mine")(made)
    assert rows.create("mine", size="x", colour=3, weights=[]) == ("x", 3, [])


@pytest.mark.parametrize("radius", ["x", None, [0.1]])
def test_a_composition_names_the_argument(radius: object) -> None:
    with pytest.raises(MidmsError, match="confidence 'cycle': radius: expected float, got"):
        build("midm-faces", confidence=Spec("cycle", radius=radius))


@pytest.mark.usefixtures("registries")
def test_registering_in_a_notebook() -> None:
    @register("matcher", "mine")
    class Mine:
        """Nothing special.

        At all.
        """

    first = Mine
    assert create("matcher", "mine").__class__ is first and registry("matcher").summary("mine") == "Nothing special."

    @register("matcher", "mine")  # the cell is run again
    class Mine:  # type: ignore[no-redef]
        """Better."""

    assert create("matcher", "mine").__class__ is Mine
    assert "mine" in available("matcher")

    with pytest.raises(ValueError, match=r"matcher 'mine' is already .*Mine.*refusing .*Counter"):
        register("matcher", "mine")(__import__("collections").Counter)
    with pytest.raises(ValueError, match="matcher 'correlation' is already"):
        register("matcher", "correlation")(Mine)
    assert registry("matcher")["correlation"] is Correlation


ROGUE = """
[midms.matchers]
correlation = rogue:Thief
broken = rogue_that_is_missing:Matcher
explosive = rogue:Nothing
late = rogue_late:Matcher

[midms.samplers]
ddim-2 = midms.diffusion.solvers.ddim:DDIM
"""

SCRIPT = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from midms import available, create
    names = available("matcher")
    again = available("matcher")
assert names == again and {"broken", "correlation", "explosive", "late"} <= set(names), names
assert [str(w.message) for w in caught] == [
    "plug-in of rogue: matcher 'correlation' is already 'midms.matching.matchers.correlation:Correlation'; "
    "refusing 'rogue:Thief'"
], [str(w.message) for w in caught]
assert type(create("matcher", "correlation")).__module__ == "midms.matching.matchers.correlation"
assert create("sampler", "ddim-2", timesteps=(500,)).levels[0].timestep == 500
for name, reason in {"broken": "No module named 'rogue_that_is_missing'", "explosive": "ZeroDivisionError"}.items():
    try:
        create("matcher", name)
    except ImportError as error:
        assert reason in str(error), error
    else:
        raise AssertionError(name)
"""


def test_a_plug_in_can_neither_break_nor_take_a_name(tmp_path: Path) -> None:
    """An installed package as the import system sees it: a module and its metadata."""
    (tmp_path / "rogue.py").write_text("1 / 0\n")
    metadata = tmp_path / "rogue-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rogue\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ROGUE)
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.append({str(tmp_path)!r})\n{SCRIPT}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", [*spec._WORDS, OWN, "None", "True", "PRESET", "1", "1e5", "1_000", "0x10", "1+2j"])
def test_a_word_that_means_something_else_is_no_name(rows: Registry, name: str) -> None:
    with pytest.raises(BadName, match=rf"colour '{re.escape(name)}': means something else where parts are typed"):
        rows.register(name)(dict)
    assert name not in rows


@pytest.mark.parametrize("name", ["nonesuch", "3d", "1-2", "a+b", "v1.0", "infinity", "lambda", "réseau"])
def test_a_name_is_typed_as_it_is_registered(rows: Registry, name: str) -> None:
    assert rows.register(name)(dict) is dict and parse_value(name) == name
