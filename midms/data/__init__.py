"""Data sets: pairs of a condition and an exemplar, with what is known of the target, by index."""

from __future__ import annotations

from midms.registry import Registry

DATASETS = Registry("dataset", "midms.datasets", nested={"condition": "condition"})
DATASETS.row(
    "portraits",
    "midms.data.portraits.dataset:Portraits",
    "computer-drawn faces whose correspondence is known exactly",
)
DATASETS.row("folder", "midms.data.folder:folder", "pictures alone, each its own exemplar, or with a list of pairs")
DATASETS.row("pairs", "midms.data.tables:pairs", "a table of paths, CSV or JSON lines: target, condition, exemplar")
DATASETS.row(
    "imagefolder",
    "midms.data.tables:imagefolder",
    "Hugging Face's folder of pictures with metadata.jsonl or metadata.csv",
)
DATASETS.row("webdataset", "midms.data.webdataset:webdataset", "tar files whose members are called by samples")
DATASETS.row(
    "celebahq-edge",
    "midms.data.cocosnet:celebahq_edge",
    "CelebAMask-HQ as CoCosNet has it: photos, masks, lists of exemplars (arXiv:2004.05571)",
)
DATASETS.row(
    "deepfashion-pose",
    "midms.data.cocosnet:deepfashion_pose",
    "DeepFashion as CoCosNet has it: photos, joints, lists of exemplars and of other views",
)
DATASETS.row("lsun-church", "midms.data.cocosnet:lsun_church", "churches as MIDMs has them: photos, label maps, lists")
DATASETS.row("ade20k", "midms.data.cocosnet:ade20k", "ADE20K as CoCosNet has it: photos, label maps, lists")
DATASETS.row(
    "facesjs",
    "midms.data.lineart.facesjs:facesjs",
    "line drawings of faces to be coloured like other faces, of the npm package facesjs (Apache-2.0)",
)
DATASETS.row(
    "lineart",
    "midms.data.lineart.mixed:lineart",
    "line drawings of all kinds of pens to be coloured: facesjs and portraits together",
)
DATASETS.row(
    "openmoji",
    "midms.data.lineart.openmoji:openmoji",
    "emoji as line drawings and in five skin colourings, of the npm package openmoji (CC BY-SA 4.0: own use)",
)
