"""Options of speed: the same numbers but for rounding, and what is said where they cannot be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from midms import build
from midms.core.types import Context, Level
from midms.diffusion.autoencoders.vq import VQ
from midms.diffusion.denoisers.unconditional import Unconditional
from midms.diffusion.speed import PROCESSORS, Unavailable, use_attention, use_channels_last, use_compiled
from midms.diffusion.winograd import use_winograd

SINGLE = {"rtol": 0, "atol": 1e-6}  # the eager attention of diffusers has its softmax in float32


@pytest.fixture
def denoiser() -> Unconditional:
    torch.manual_seed(0)
    return Unconditional(4, (16, 32), (False, True), head_dim=8, norm_groups=8).double().eval()


@torch.no_grad()
def predict(denoiser: nn.Module) -> Tensor:
    x = torch.randn(2, 4, 6, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ones = torch.ones_like(x[:, :1])
    return denoiser(x, Level(0, 300, 0.8, 0.6), Context(x, ones, ones))


def entries(denoiser: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of torch's functions for attention a prediction calls."""
    called = []
    for name, home in (("scaled_dot_product_attention", torch.nn.functional), ("baddbmm", torch)):
        real = getattr(home, name)
        monkeypatch.setattr(home, name, lambda *a, _n=name, _r=real, **k: called.append(_n) or _r(*a, **k))
    predict(denoiser)
    monkeypatch.undo()
    return sorted(set(called))


def test_attention_by_key(denoiser: Unconditional, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, names = predict(denoiser), list(denoiser.state_dict())
    assert entries(denoiser, monkeypatch) == ["scaled_dot_product_attention"]
    use_attention("eager", denoiser)
    assert entries(denoiser, monkeypatch) == ["baddbmm"]
    torch.testing.assert_close(predict(denoiser), usual, **SINGLE)
    use_attention("sdpa", denoiser)
    assert entries(denoiser, monkeypatch) == ["scaled_dot_product_attention"]
    assert list(denoiser.state_dict()) == names


def test_attention_of_an_autoencoder() -> None:
    torch.manual_seed(0)
    vq, image = VQ(3, (16, 32), 1, 32, 8).double(), torch.rand(1, 3, 16, 24, dtype=torch.float64)
    usual = vq.encode(image)
    use_attention("eager", vq)
    torch.testing.assert_close(vq.encode(image), usual, **SINGLE)


def test_an_attention_that_cannot_be_had_says_why(denoiser: Unconditional, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match=r"no attention is called 'spda'\. Did you mean 'sdpa'"):
        use_attention("spda", denoiser)
    monkeypatch.setitem(sys.modules, "xformers", None)
    with pytest.raises(Unavailable, match=r"attention 'xformers': .*; pip install 'midms\[gpu\]'"):
        use_attention("xformers", denoiser)

    def nothing(*_: Tensor) -> Tensor:
        raise NotImplementedError("No operator found:\n`fa3F` is not supported because:\n    device=cpu")

    for name in ("xformers", "xformers.ops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["xformers.ops"].memory_efficient_attention = nothing  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match=r"nothing for torch.float64 on cpu: No operator found:; .*; device=cpu$"):
        use_attention("xformers", denoiser)
    assert set(PROCESSORS) == {"sdpa", "xformers", "eager"}


def test_nobody_hears_the_warnings_of_xformers(tmp_path: Path) -> None:
    package = tmp_path / "xformers"
    package.mkdir()
    (package / "__init__.py").write_text("import logging\nlogging.getLogger('xformers').warning('cannot load')\n")
    (package / "ops.py").write_text("")
    (tmp_path / "xformers-0.0.35.dist-info").mkdir()
    (tmp_path / "xformers-0.0.35.dist-info" / "METADATA").write_text("Name: xformers\nVersion: 0.0.35\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import midms.diffusion.denoisers.unet"
    code += "; print('xformers' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "True\n" and "cannot load" not in result.stderr


def test_channels_last_and_compiled_are_the_same_numbers(denoiser: Unconditional) -> None:
    usual = predict(denoiser)
    use_channels_last(denoiser)
    torch.testing.assert_close(predict(denoiser), usual, rtol=0, atol=1e-12)
    seen = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        seen.append(graph)
        return graph

    use_compiled(denoiser, backend=backend)
    torch.testing.assert_close(predict(denoiser), usual, rtol=0, atol=1e-12)
    assert len(seen) == 1, "one graph, without a break"


@pytest.mark.usefixtures("unchecked")
def test_what_would_change_nothing_is_refused(denoiser: Unconditional) -> None:
    pipe, plain = build("midm-faces"), nn.Conv2d(1, 1, 1)
    for use in (use_channels_last, use_compiled, use_winograd, lambda *modules: use_attention("eager", *modules)):
        with pytest.raises(Unavailable, match=r"expected networks, got Pipeline; those of a .* are \*pipe"):
            use(pipe)  # type: ignore[arg-type, operator]
        with pytest.raises(Unavailable, match=r"nothing to change: no \w+ of \w+ in no networks"):
            use()  # type: ignore[operator]
        use(*pipe.modules(), denoiser)  # type: ignore[operator]
    for use in (use_compiled, lambda *modules: use_attention("eager", *modules)):
        with pytest.raises(Unavailable, match="of diffusers in Conv2d"):
            use(plain)  # type: ignore[operator]
