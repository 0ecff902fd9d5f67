"""One operation, several implementations: `couple`. Importing this imports no Triton."""

from midms.matching.kernels.dispatch import IMPLEMENTATIONS, NoImplementation, couple, explain, logsumexp

__all__ = ["IMPLEMENTATIONS", "NoImplementation", "couple", "explain", "logsumexp"]
