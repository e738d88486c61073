"""Writes docs/results.md from the figures that the experiments left.

python examples/results_page.py
"""

import json

import experiment

PAGE = experiment.RESULTS.with_suffix(".md")
ABOUT = """\
# Results

Accuracy on all test images after the last epoch, mean and standard deviation
over the seeds, and the median of the time that a model took. In italics what
others report. No figure on this page is written by hand: each experiment
writes its own to `docs/results/`, and `python examples/results_page.py` makes
this page of them.

`cifar10_jpeg.npz` holds the images of CIFAR-10 after a JPEG compression, which
loses a little of them.
"""


def page() -> str:
    """The page, a section for each experiment."""
    sections = [ABOUT]
    for path in sorted(experiment.RESULTS.glob("*.json")):
        results = json.loads(path.read_text())
        versions = ", ".join(
            f"{name} {version}" for name, version in results["versions"].items()
        )
        seeds = ", ".join(map(str, results["seeds"]))
        sections.append(
            f"## {results['title'].rstrip('.')}\n\n"
            f"```sh\n{results['command']}\n```\n\n"
            f"{experiment.table(results)}\n\n"
            f"Seeds {seeds}; {results['backend']} on {results['cpu_cores']} "
            f"CPU core(s); {versions}; {results['date']}.\n\n"
            f"![Accuracy and loss over the epochs]"
            f"(results/{path.stem}.png)\n"
        )
    return "\n".join(sections)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE)
