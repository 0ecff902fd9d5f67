"""What modules inside a network are given and give, seen by forward hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
        given: its arguments, by position.
        named: its arguments by name.
        result: what it gave.
    """

    given: tuple[Any, ...]
    named: Mapping[str, Any]
    result: Any


class _AllSeenError(Exception):
    """Ends a pass whose rest is of no interest."""


def calls_of(modules: Sequence[nn.Module], run: Callable[[], object]) -> list[Call]:
    """The first call of each of some modules of a network in one pass, which ends with the last of these calls.

    Args:
        modules: of the network.
        run: the pass.

    Raises:
        ValueError: the pass ended without calling one of them.
    """
    seen: dict[nn.Module, Call] = {}

    def note(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], result: Any) -> None:
        seen.setdefault(module, Call(given, named, result))
        if len(seen) == len({*modules}):
            raise _AllSeenError

    hooks = [module.register_forward_hook(note, with_kwargs=True) for module in {*modules}]
    try:
        run()
    except _AllSeenError:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    if lacking := [type(module).__name__ for module in modules if module not in seen]:
        raise ValueError(f"the network did not call its {', '.join(lacking)}")
    return [seen[module] for module in modules]


def chosen_blocks(blocks: Iterable[nn.Module], wanted: Sequence[int]) -> list[nn.Module]:
    """Some of a network's blocks.

    Args:
        blocks: all.
        wanted: their numbers, from 0.

    Raises:
        ValueError: none is wanted, or one that there is not.
    """
    known = [*blocks]
    if not wanted or not all(number in range(len(known)) for number in wanted):
        raise ValueError(f"blocks must be out of 0 to {len(known) - 1}, got {tuple(wanted)}")
    return [known[number] for number in wanted]


def check_none_dropped(dropped: Sequence[int]) -> None:
    """Find out whether no channels are dropped, for networks whose activations are taken as they are.

    Raises:
        ValueError: some are.
    """
    if dropped:
        raise ValueError(f"dropped is {tuple(dropped)}, expected none of a U-Net")


def up_block_activations(
    network: Any, run: Callable[[], object], blocks: Sequence[int], dropped: Sequence[int]
) -> list[Any]:
    """What upward blocks of a U-Net give in one pass, which ends with them.

    Args:
        network: with `up_blocks`.
        run: the pass.
        blocks: which, 0 is the coarsest.
        dropped: must be empty: a U-Net's activations are taken as they are.

    Raises:
        ValueError: there is no such block, or channels are dropped.
    """
    check_none_dropped(dropped)
    return [call.result for call in calls_of(chosen_blocks(network.up_blocks, blocks), run)]
