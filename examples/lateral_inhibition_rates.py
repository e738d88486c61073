"""Does inhibition help?

    python examples/lateral_inhibition_rates.py

The 100 units of `lateral_inhibition.py`, 40 epochs, with several rates of
inhibition. If the thresholds are fast enough, inhibition does not help:
homeostasis alone makes the units compete.
"""

import experiment
from lateral_inhibition import prepared, sparse


def run(
    train: experiment.Split, test: experiment.Split, quick: bool
) -> experiment.Rows:
    """The experiment for one seed."""
    train, test = prepared(train), prepared(test)
    for rate in (0.0, 5e-4, 5e-3, 2e-2):
        yield (
            f"`inhibition_rate={rate:g}`",
            *sparse(100, train, test, 2 if quick else 40, inhibition_rate=rate),
        )


if __name__ == "__main__":
    experiment.main(run, __doc__, "mnist", {}, draw=None)
