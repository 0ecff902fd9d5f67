"""For `DiffusionPipeline.from_pretrained(..., custom_pipeline=FOLDER_OF_THIS_FILE, trust_remote_code=True)`."""

from midms.diffusers import MIDMsPipeline as MIDMsPipeline
