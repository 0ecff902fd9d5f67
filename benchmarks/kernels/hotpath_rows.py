"""The part of `kernels.hotpath` that runs in a process of its own: arguments as JSON in, rows as JSON out."""

import json
import sys

from benchmarks.kernels.hotpath import rows_of

if __name__ == "__main__":
    print(json.dumps(rows_of(json.loads(sys.argv[1]))))
