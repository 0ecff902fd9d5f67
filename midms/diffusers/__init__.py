"""midms as a pipeline of diffusers: `MIDMsPipeline`, made of the components of a text-to-image model's folder.

Such as `MIDMsPipeline.from_pretrained(FOLDER, preset="sd-ctrlx")(photo, exemplar, prompt="a church").images[0]`.
"""

from midms.diffusers.pipeline import MIDMsPipeline, MIDMsPipelineOutput

__all__ = ["MIDMsPipeline", "MIDMsPipelineOutput"]
