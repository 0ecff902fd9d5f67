"""Weights that follow from their names, so that large networks need no file. See `tests/golden/README.md`."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

GAINS = ((("G_middle_1", "mlp_beta"), 4.0), (("G_middle_1", "mlp_gamma"), 0.3), (("vgg.",), 1.4))
"""Of names that have all of these in them, the first that fits; 1 otherwise."""
Gains = Sequence[tuple[Sequence[str], float]]


def normal(salt: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normals in float64, seeded by the CRC-32 of salt and name."""
    return np.random.RandomState(zlib.crc32(f"{salt}:{name}".encode())).standard_normal(shape)


def weight(salt: str, name: str, shape: tuple[int, ...], gains: Gains = GAINS) -> np.ndarray:
    """A parameter by its released name: of unit gain, but in SPADE's last layers."""
    draw = normal(salt, name, shape)
    if name.endswith("embedding.weight"):
        return (0.5 * draw).astype(np.float32)
    if name.endswith("prelu.weight"):
        return (0.25 + 0.05 * draw).astype(np.float32)
    if len(shape) > 1:
        gain = next((gain for parts, gain in gains if all(part in name for part in parts)), 1.0)
        return (gain * draw / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
    return (1 + 0.1 * draw if name.endswith("weight") else 0.05 * draw).astype(np.float32)


def singular(salt: str, name: str, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(u, v) of a spectrally normalised weight: two power iterations from `name`'s draw."""
    matrix = matrix.astype(np.float64).reshape(len(matrix), -1)
    u = normal(salt, name, (len(matrix),))
    u /= np.linalg.norm(u)
    for _ in range(2):
        v = matrix.T @ u
        v /= np.linalg.norm(v)
        u = matrix @ v
        u /= np.linalg.norm(u)
    return u.astype(np.float32), v.astype(np.float32)


def fill(salt: str, shapes: Mapping[str, tuple[int, ...]], gains: Gains = GAINS) -> dict[str, np.ndarray]:
    """Parameters by their released names, the spectral norms' vectors among them."""
    vectors = ("weight_u", "weight_v")
    filled = {name: weight(salt, name, shape, gains) for name, shape in shapes.items() if not name.endswith(vectors)}
    for name in shapes:
        if name.endswith("weight_u"):
            stem = name.removesuffix("weight_u")
            filled[name], filled[stem + "weight_v"] = singular(salt, name, filled[stem + "weight_orig"])
    return filled


def noise(salt: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A draw by its name."""
    return normal(salt, f"noise/{name}", shape).astype(np.float32)
