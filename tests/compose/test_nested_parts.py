"""Parts of which parts are made."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import pytest

import midms
from midms import Spec, create
from midms.compose import catalog
from midms.registry import BadArguments, Registry
from midms.training.data import split_datasets


def test_parts_of_parts_are_made_by_the_composer() -> None:
    product = create("confidence", "product", of=("cycle", Spec("peak")))
    assert [type(one).__name__ for one in product.of] == ["Cycle", "Peak"]
    inside = Spec("semantic", matcher=Spec("local", prior=Spec("optimal-transport", epsilon=0.02)))
    with pytest.raises(ValueError, match="matcher Local depends on where cells lie"):
        create("matcher", inside.name, **inside.arguments)
    local = create("matcher", "local", prior=Spec("semantic", matcher="nearest"))
    assert (type(local.prior).__name__, type(local.prior.matcher).__name__) == ("Semantic", "Nearest")
    assert create("matcher", "local") == create("matcher", "local", prior="correlation")
    assert create("features", "labelled").features.stride == 4, "defaults are made too"
    for wrong in (None, 3, b"cycle"):
        with pytest.raises(BadArguments, match="of: expected confidence as an object, a name or a Spec, got"):
            create("confidence", "product", of=("cycle", wrong))


@dataclasses.dataclass(frozen=True)
class Shown:
    """Another data set's pairs."""

    nested: ClassVar[dict[str, str]] = {"of": "dataset"}
    of: Any = "portraits"
    split: str = "train"
    size: int = 64

    def __len__(self) -> int:
        return len(self.of)

    def __getitem__(self, index: int) -> Any:
        return self.of[index]


@pytest.mark.usefixtures("registries")
def test_a_data_set_of_data_sets_is_composed_for_training_too() -> None:
    midms.register("dataset", "shown")(Shown)
    train, validation = split_datasets(Spec("shown"), 64, create("condition", "sketch"))
    assert (type(train.of).__name__, train.split, validation.split) == ("Portraits", "train", "validation")


@pytest.mark.parametrize("condition", ["sketch", Spec("sketch")])
def test_the_condition_of_a_data_set_may_be_a_name(condition: object) -> None:
    pair = create("dataset", "portraits", condition=condition)[0]
    assert pair.condition.shape[1] == 2 and pair.exemplar_condition is not None


@pytest.mark.usefixtures("registries")
def test_a_data_set_may_have_a_condition_of_its_own_by_name() -> None:
    def sketched(size: int = 64, condition: Any = "sketch") -> Any:
        return size, condition

    midms.register("dataset", "sketched")(sketched)
    midms.register("dataset", "bare")(lambda size=64: size)
    assert type(create("dataset", "sketched")[1]).__name__ == "Sketch"
    assert type(create("dataset", "sketched", condition="edges")[1]).__name__ == "Edges"
    assert create("dataset", "bare") == 64 and create("dataset", "portraits").condition is None
    for wrong in (None, 3):
        with pytest.raises(BadArguments, match="condition: expected condition as an object, a name or a Spec, got"):
            create("dataset", "sketched", condition=wrong)


def test_no_part_looks_for_others_in_a_registry() -> None:
    registries = {name for name in vars(catalog) if name.isupper() and isinstance(getattr(catalog, name), Registry)}
    assert {"MATCHERS", "CONFIDENCES", "FEATURES"} <= registries
    rooms = ("matching", "features", "confidence", "diffusion", "conditions", "data", "loop", "images")
    paths = [path for room in rooms for path in (Path(midms.__file__).parent / room).rglob("*.py")]
    assert len(paths) > 100 and {path.relative_to(Path(midms.__file__).parent).parts[0] for path in paths} == {*rooms}
    found = {
        (str(path), name.name)
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if name.name in registries
    }
    assert found == set()
