"""What is wrong with a data set, or with one of its pairs."""

from __future__ import annotations

from midms.core.errors import MidmsError


class DatasetError(MidmsError, ValueError):
    """A data set that cannot be made of what is there; the message names the file or argument and says why."""


class BrokenSample(DatasetError):
    """A pair whose files cannot be read, while others may be; the message names the file and says why."""
