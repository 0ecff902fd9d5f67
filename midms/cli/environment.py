"""What can run here, and why the rest cannot: `midms doctor`, or `python -m midms.cli.environment`."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import torch

from midms.compose.catalog import KINDS
from midms.core.plugins import installed
from midms.matching.kernels import IMPLEMENTATIONS, PRECISIONS
from midms.matching.kernels.dispatch import unsupported
from midms.matching.kernels.triton.configs import architecture
from midms.registry import BrokenPart

PACKAGES = ("torch", "triton", "xformers", "diffusers", "timm", "kornia")
OPERATIONS = ("attend", "attend_both", "top_k", "mutual_nearest", "cycle")


def report() -> str:
    """Versions, devices, and for each operation what runs it on each device and what every other objects."""
    lines = [f"midms {_version('midms')}, Python {platform.python_version()}, {platform.platform()}"]
    lines += [f"  {name} {_version(name)}" for name in PACKAGES]
    for device in devices():
        lines += ["", f"{device}: {_described(device)}", *operations(device)]
    if torch.cuda.is_available():
        lines += ["", "MIDMS_AUTOTUNE=1 tries tiles at run time instead of taking those of the shipped table"]
    else:
        lines += [
            "",
            f"no GPU: {_without_gpu()}",
            "TRITON_INTERPRET=1 runs the Triton kernels on the CPU, to test them",
        ]
    if found := list(plugin_lines()):
        lines += ["", "plug-ins", *(f"  {line}" for line in found)]
    return "\n".join(lines)


def plugin_lines() -> Iterator[str]:
    """A line for each part of another package, then for each that is broken or left out."""
    broken = []
    for registry in KINDS.values():
        for name in registry:
            if package := registry.find(name).package:
                try:
                    registry[name]
                    yield f"{registry.kind} {name!r} of {package}"
                except BrokenPart as error:
                    broken.append(str(error))
        broken += registry.refused
    yield from (f"broken: {fault}" for fault in (*broken, *installed()[1]))


def devices() -> list[torch.device]:
    """The CPU and every GPU."""
    return [torch.device("cpu"), *(torch.device("cuda", index) for index in range(torch.cuda.device_count()))]


def operations(device: torch.device) -> Iterator[str]:
    """A line for each operation on float32 features of usual size, then one for each other implementation."""
    for operation in OPERATIONS:
        operands = _operands(operation, device)
        said = {name: unsupported(name, operation, *operands) for name in IMPLEMENTATIONS}
        first = next((name for name, reasons in said.items() if not reasons), "nothing")
        yield f"  {operation}: {first}{_precisions(first, operation, operands)}"
        for name, reasons in said.items():
            if reasons:
                yield f"    not {name}: {'; '.join(reasons)}"


def _operands(operation: str, device: torch.device) -> list[torch.Tensor]:
    shapes: list[tuple[int, ...]] = [(1, 64, 256), (1, 64, 256), (1, 64, 4)]
    if operation == "cycle":
        shapes = [(1, 2, 8, 8)] * 2
    return [torch.zeros(shape, dtype=torch.float32, device=device) for shape in shapes]


def _precisions(name: str, operation: str, operands: list[torch.Tensor]) -> str:
    if operation == "cycle" or name not in IMPLEMENTATIONS:
        return ""
    able = [one for one in PRECISIONS[1:] if not unsupported(name, operation, *operands, precision=one)]
    return f" ({', '.join(able)})"


def _described(device: torch.device) -> str:
    if device.type == "cpu":
        return f"{platform.machine()}, {torch.get_num_threads()} threads"
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory >> 30} GiB, tiles of {architecture(device)}"


def _without_gpu() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch is built without CUDA and ROCm"
    return f"torch is built for {'ROCm' if torch.version.hip else f'CUDA {torch.version.cuda}'} but finds none"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "is not installed"


if __name__ == "__main__":
    print(report())
