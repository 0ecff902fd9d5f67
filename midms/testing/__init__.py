"""Laws for parts of other packages: inherit a class in a test file, say what is tested, and run pytest.

    from midms.testing import ConfidenceLaws, MatcherLaws

    class TestMine(MatcherLaws):
        make = Mine

    class TestMyConfidence(ConfidenceLaws):
        make = MyTrust

Our own parts are held to the same laws. Needs pytest.
"""

from midms.testing.conditions import ConditionLaws
from midms.testing.confidences import ConfidenceLaws
from midms.testing.datasets import DatasetLaws
from midms.testing.features import FeatureLaws
from midms.testing.finishers import FinisherLaws
from midms.testing.laws import features
from midms.testing.matchers import MatcherLaws, rows
from midms.testing.metrics import MetricLaws
from midms.testing.samplers import SamplerLaws

__all__ = [
    "ConditionLaws",
    "ConfidenceLaws",
    "DatasetLaws",
    "FeatureLaws",
    "FinisherLaws",
    "MatcherLaws",
    "MetricLaws",
    "SamplerLaws",
    "features",
    "rows",
]
