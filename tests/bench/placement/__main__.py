"""``python -m tests.bench.placement [--quick]``: how evenly, how far apart and how full a region is filled.

5,000 servers come and some of them go, on 200 hosts in 20 racks and 3 zones, by our placement and by three others, all
on the same orders and hosts; for several seeds, on hosts that are alike and on hosts that are not. A minute or two.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tests.bench.placement.measure import FULL, QUICK, measure

RESULTS = Path(".puchify/bench")


def main(arguments: Sequence[str] | None = None, results: Path = RESULTS) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.placement", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small region: shows that it can be measured")
    quick = parser.parse_args(arguments).quick
    report = measure(QUICK if quick else FULL)
    if quick:
        print("quick: it only shows that everything can be measured; the figures mean nothing")
    print("\n".join(report.lines()))
    print("\nwritten:", *report.write(results))


if __name__ == "__main__":
    main()
