"""Named recipes: data only, each citing where it comes from."""

from __future__ import annotations

from midms.compose.recipe import Recipe
from midms.compose.spec import Spec
from midms.compose.text_to_image import TEXT_TO_IMAGE_RECIPES
from midms.core.domain import Domain

FACES = {
    "condition": Spec("sketch"),
    "features": Spec("pyramid", condition_channels=2, latent_channels=8, stride=4, width=64, widths=(48, 80, 96)),
    "matcher": Spec("correlation", temperature=0.04),
    "autoencoder": Spec("patchified", channels=8, stride=4, widths=(64, 96)),
}
FACES_BRIDGE = {"channels": 8, "condition_channels": 2, "stride": 4, "widths": (64, 96, 112), "head_dim": 16}
SMALL_PARTS = {
    "condition": Spec("sketch"),
    "features": Spec("pyramid", condition_channels=2, latent_channels=16, stride=8, width=64, widths=(48, 80, 96)),
    "matcher": Spec("correlation", temperature=0.04),
    "confidence": Spec("calibrated"),
    "denoiser": Spec("bridge", channels=16, condition_channels=2, stride=8, widths=(64, 96, 112), head_dim=16),
    "sampler": Spec("ddim", timesteps=(700, 350), schedule="cosine"),
    "autoencoder": Spec("patchified", channels=16, stride=8, widths=(64, 96)),
}
"""The parts of `midm-faces`, on grids of the same size at twice as many pixels a side."""
MATCHING_LOSSES = {
    "with_flow": {"exact": 1.0, "distance": 5.0, "visibility": 0.5},
    "without_flow": {"visibility": 0.5, "colours": 5.0},
}
"""What each loss gives where there is a flow: `benchmarks/faces/matching_losses.py`. Without one, MIDMs' domain,
cycle and reconstruction losses are smallest for the identity, which they led to on cartoon faces; colours are not."""
FACES_TRAINING = (
    Spec("autoencoder", steps=7_000),
    Spec("matching", steps=4_000, **MATCHING_LOSSES),
    Spec("diffusion", steps=16_000),
)
SMALL_TRAINING = (
    Spec("autoencoder", steps=3_000),
    Spec("matching", steps=1_500, **MATCHING_LOSSES),
    Spec("diffusion", steps=1_500),
)
"""An hour or so of two cores: `benchmarks/results/translation-facesjs.json`."""
FACES_128_TRAINING = (
    Spec("autoencoder", steps=1_650, learning_rate=1e-3),
    Spec("matching", steps=1_500, learning_rate=1e-3, **MATCHING_LOSSES),
    Spec("diffusion", steps=2_800, learning_rate=6e-4),
)
"""From weights of `midm-faces`, grown: `benchmarks/faces/grown.py`."""
LINEART_PARTS = SMALL_PARTS | {
    "features": Spec("pyramid", condition_channels=2, latent_channels=48, stride=4, width=64, widths=(48, 80, 96)),
    "denoiser": Spec("bridge", channels=48, condition_channels=2, stride=4, widths=(64, 96, 112), head_dim=16),
    "autoencoder": Spec("folded", stride=4),
    "finisher": Spec("composite"),
}
LINEART_TRAINING = (
    Spec(
        "matching", steps=2_800, batch=8, with_flow={}, without_flow={"visibility": 0.5, "colours": 2.0, "palette": 1.0}
    ),
    Spec("diffusion", steps=1_160, batch=8, power=1),
)
"""Two and a half hours of one core."""
FACES_DOMAIN = Domain(
    "computer-drawn portraits, each with one upright face that fills a square", 64, True, "midm-faces"
)

RELEASED_GRID = range(1, 1000, 1000 // 16)
"""CompVis' DDIM of 16 steps has 17 timesteps: 1, 63, ..., 993; diffusers' has 16."""
RELEASED_WEIGHTS = {"dom": 10.0, "cyc": 1.0, "perc": 0.002, "feat": 1.0, "x0": 1.0, "cyc_iter": 1.0}
RELEASED_TRAINING = (
    Spec("warmup", steps=10_000, weights=RELEASED_WEIGHTS),
    Spec("joint", steps=5_000, weights=RELEASED_WEIGHTS | {"ctx": 1.0}),
)
"""The weights of the released code; its README warns of training too long."""
CHURCH_TRAINING = (
    Spec("warmup", steps=10_000, weights=RELEASED_WEIGHTS | {"perc": 0.05, "seg": 100.0}, layer="relu5_2"),
    Spec("joint", steps=5_000, weights=RELEASED_WEIGHTS | {"perc": 0.05, "ctx": 1.0}, layer="relu5_2"),
)


def _released(
    name: str,
    data: str,
    purpose: str,
    trained_on: str,
    schedule: str,
    training: tuple[Spec, ...],
    **parts: Spec,
) -> Recipe:
    """The schedule of the released MIDMs (github.com/KU-CVLAB/MIDMs at 625d88a), and parts in their released sizes."""
    steps = {
        "sampler": Spec(
            "ddim",
            timesteps=tuple(RELEASED_GRID[i] for i in (4, 3, 2, 1)),
            schedule=schedule,
            start=RELEASED_GRID[5],  # noised one step further than the timestep says
        ),
        "refiner": Spec("ddim", timesteps=tuple(range(96, 0, -5)), schedule=schedule, eta=1.0, start=101),
    }
    return Recipe(
        name=name,
        source=f"the released model of {data} (arXiv:2209.11047), as its code runs it",
        slots=parts
        | {
            "matcher": Spec("correlation", temperature=0.005, floor=0.0),
            "confidence": Spec("cycle-released"),
        }
        | steps,
        loop={"rematch": (0, 1), "edit": "blend", "size": 256},  # after levels 0 and 1: before steps 1 and 2
        purpose=purpose,
        domain=Domain(trained_on, size=256, square=True),
        weights={slot: f"{slot}.safetensors" for slot in ("features", "denoiser", "autoencoder")},
        obtain="`midms convert MIDMs.pth --config LDM.yaml --out FOLDER` makes some for --weights or weights=",
        training=training,
    )


FACE_LDM = {
    "denoiser": Spec(
        "unconditional",
        channels=3,
        widths=(224, 448, 672, 896),
        attention=(False, True, True, True),
        layers=2,
        norm_groups=32,
        head_dim=32,
    ),
    "autoencoder": Spec("vq", channels=3, widths=(128, 256, 512), layers=2, norm_groups=32, codes=8192),
}
"""CelebA-HQ's latent diffusion of 256 pixels (arXiv:2112.10752, table 12)."""
CHURCH_LDM = {
    "denoiser": Spec(
        "unconditional",
        channels=4,
        widths=(192, 384, 384, 768, 768),
        attention=(True, True, True, True, False),
        layers=2,
        norm_groups=32,
        heads=8,
        biggan=True,
    ),
    "autoencoder": Spec("kl", channels=4, widths=(128, 256, 512, 512), layers=2, norm_groups=32, scale=1.0),
}
"""LSUN churches' latent diffusion; the released MIDMs leaves out the scale that it was trained with."""

RECIPES = (
    Recipe(
        name="midm-faces",
        source="trained here on procedural portraits; the bridge is ours, the loop is that of arXiv:2209.11047",
        slots=FACES
        | {
            "confidence": Spec("calibrated"),
            "denoiser": Spec("bridge", **FACES_BRIDGE, min_confidence=0.7),
            "sampler": Spec("ddim", timesteps=(700, 350), schedule="cosine"),
        },
        loop={"rematch": (), "edit": "context", "size": 64},
        weights={slot: f"{slot}.safetensors" for slot in ("features", "confidence", "denoiser", "autoencoder")},
        purpose="a sketch of a face takes the colours of a portrait; small, quick, the one to begin with",
        domain=FACES_DOMAIN,
        license="apache-2.0",
        precision="float32",
        training=FACES_TRAINING,
    ),
    Recipe(
        name="midm-faces-paper",
        source="the loop of arXiv:2209.11047, sec. 3.4, with an unconditional network, trained on the same portraits",
        slots=FACES
        | {
            "confidence": Spec("cycle", radius=0.05),
            "denoiser": Spec("unconditional", channels=8, widths=(32, 64, 64), head_dim=16, prediction="v"),
            "sampler": Spec("ddim", timesteps=(311, 187, 125, 63), schedule="cosine"),
            "refiner": Spec("ddim", timesteps=(96, 64, 32), schedule="cosine", eta=1.0),
        },
        loop={"rematch": (1, 2), "edit": "blend", "size": 64},
        weights={slot: f"../midm-faces/{slot}.safetensors" for slot in ("features", "autoencoder")}
        | {"denoiser": "denoiser.safetensors"},
        purpose="the same by the published loop, to compare with: its pictures are worse",
        domain=FACES_DOMAIN,
        license="apache-2.0",
        precision="float32",
        training=(Spec("diffusion", warps=False, steps=3_000),),
    ),
    Recipe(
        name="midm-faces-128",
        source="trained here on procedural portraits in many framings, from midm-faces at twice its size",
        slots=SMALL_PARTS,
        loop={"rematch": (), "edit": "context", "size": 128},
        weights={slot: f"{slot}.safetensors" for slot in ("features", "confidence", "denoiser", "autoencoder")},
        purpose="the same as midm-faces at 128 pixels, for faces that need not fill the square",
        domain=Domain(
            "computer-drawn portraits, each with one upright face from half to the whole of a square", 128, True
        ),
        license="apache-2.0",
        precision="float32",
        training=FACES_128_TRAINING,
    ),
    Recipe(
        name="midm-small",
        source="to be trained on pictures of one's own; the parts are those of midm-faces",
        slots=SMALL_PARTS,
        loop={"rematch": (), "edit": "context", "size": 128},
        weights={slot: f"{slot}.safetensors" for slot in ("features", "confidence", "denoiser", "autoencoder")},
        purpose="sketches take the colours of pictures of one's own kind; trained on them in an evening",
        domain=Domain("what it is trained on", size=128, square=True),
        precision="float32",
        training=SMALL_TRAINING,
        obtain="`midms train --data folder:PICTURES --out DIR` makes some, for --preset DIR",
    ),
    Recipe(
        name="midm-lineart",
        source="trained here on drawings of facesjs, figures of shapes and portraits in line art",
        slots=LINEART_PARTS,
        loop={"rematch": (0,), "edit": "context", "size": 128},
        weights={slot: f"{slot}.safetensors" for slot in ("features", "confidence", "denoiser")},
        purpose="a line drawing takes the colours of a coloured picture; made for faces and figures: with other "
        "subjects expect some wrong regions, which hints mend",
        domain=Domain(
            "line drawings of faces and of figures of simple shapes, each to be coloured like another picture of such",
            size=128,
            square=True,
            usual="midm-lineart",
        ),
        license="apache-2.0",
        precision="float32",
        training=LINEART_TRAINING,
    ),
    *TEXT_TO_IMAGE_RECIPES,
    _released(
        "midm-celeba",
        "faces",
        purpose="the masks of a face's parts take the appearance of a photo of a face",
        trained_on="photos of faces (CelebA-HQ), aligned, each filling a square",
        schedule="ldm-celeba",
        training=RELEASED_TRAINING,
        condition=Spec("celebahq-edge"),
        features=Spec("midm", condition_channels=15, latent_channels=3, stride=4),
        denoiser=FACE_LDM["denoiser"],
        autoencoder=FACE_LDM["autoencoder"],
    ),
    _released(
        "midm-deepfashion",
        "people",
        purpose="the pose of a person takes the clothes of a photo of a person",
        trained_on="photos of people in clothes (DeepFashion), one before a plain background in a square",
        schedule="ldm-celeba",
        training=RELEASED_TRAINING,
        condition=Spec("deepfashion-pose"),
        features=Spec("midm", condition_channels=20, latent_channels=3, stride=4),
        denoiser=FACE_LDM["denoiser"],
        autoencoder=FACE_LDM["autoencoder"],
    ),
    _released(
        "midm-church",
        "churches",
        purpose="a label map of a scene with a church takes the appearance of a photo of one",
        trained_on="photos of churches (LSUN), cut square",
        schedule="ldm-church",
        training=CHURCH_TRAINING,
        condition=Spec("ade20k-segmentation"),
        features=Spec("midm", condition_channels=151, latent_channels=4, stride=8),
        denoiser=CHURCH_LDM["denoiser"],
        autoencoder=CHURCH_LDM["autoencoder"],
    ),
)
PRESETS = {recipe.name: recipe for recipe in RECIPES}
