"""Suites for airspeed velocity: `asv --config benchmarks/asv.conf.json run`.

They time the cases of the tests, from their tables.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "tests"))

THREADS = (1, 2)
