"""Networks of diffusers without the rest of it.

`from diffusers import UNet2DModel` also imports every transformer, loader and scheduler that diffusers has, scipy's
statistics and torch's compiler: 4.4 CPU seconds in place of 2.0, of which torch is 1.6 (best of three processes, one
thread, x86_64, diffusers 0.42.1, torch 2.14.1), at every start of `midms translate`.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

FAMILIES = ("autoencoders", "transformers", "unets")
"""Packages of `diffusers.models` whose `__init__` imports all their modules, though we want one."""


class Unopened(ModuleType):
    """A package whose `__init__` runs when something is asked of it that its imported modules do not answer."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        if spec is None or spec.loader is None:
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        spec.loader.exec_module(self)
        return getattr(self, name)


def load_network(module: str, name: str) -> Any:
    """`from module import name` for a module of diffusers: the same class that anybody else gets.

    Args:
        module: such as "diffusers.models.unets.unet_2d".
        name: what to import from it.
    """
    with unheard("xformers"):  # which diffusers imports where it is installed, and which then tells what it cannot do
        try:
            with _absent("torch._dynamo"):
                models = importlib.import_module("diffusers.models")
                for family in FAMILIES:
                    _leave_unopened(models, family)
                return getattr(importlib.import_module(module), name)
        except (ImportError, RuntimeError):  # diffusers, or what it found installed, wants more after all
            return getattr(importlib.import_module(module), name)


@contextmanager
def unheard(logger: str) -> Iterator[None]:
    """Nobody hears the warnings of a package while it is imported; `midms doctor` says what it can do."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _leave_unopened(parent: ModuleType, name: str) -> None:
    path = f"{parent.__name__}.{name}"
    spec = None if path in sys.modules else importlib.util.find_spec(path)
    if spec is None:
        return
    package = Unopened(path)
    package.__spec__, package.__path__, package.__file__ = spec, spec.submodule_search_locations or [], spec.origin
    package.__package__, package.__loader__ = path, spec.loader
    sys.modules[path] = package
    setattr(parent, name, package)


@contextmanager
def _absent(module: str) -> Iterator[None]:
    """Let imports of a module that is not loaded yet fail, for those who can do without."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
