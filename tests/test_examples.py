"""Each example, as a reader would run it, only shorter."""

import json
import pathlib
import re
import runpy
import subprocess
import sys

import keras
import numpy as np
import pytest
import sklearn.datasets
import sklearn.linear_model
import sklearn.pipeline
import sklearn.preprocessing

pytestmark = pytest.mark.filterwarnings(
    "ignore:.* units won no sample:UserWarning"
)
EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
LITERT = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="no LiteRT"
)


def run(folder, name, *arguments):
    process = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture
def run_here(tmp_path, monkeypatch, capsys):
    """Runs a script in this process, which has imported Keras already."""

    def run_script(name, *arguments):
        script = EXAMPLES / name
        with monkeypatch.context() as patched:
            patched.chdir(tmp_path)
            patched.setattr(sys, "argv", [str(script), *arguments])
            patched.syspath_prepend(script.parent)
            runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out

    return run_script


def percentages(line):
    return [float(word[:-1]) for word in line.split() if word.endswith("%")]


def test_quickstart(tmp_path):
    printed = run(tmp_path, "quickstart.py", "--epochs=20", "--units=40")
    assert "norm_distance" in printed
    assert len(printed.splitlines()) < 35
    accuracy, k_means, chance = (
        percentages(line)[0] for line in printed.splitlines() if "%" in line
    )
    assert accuracy > 80
    assert k_means > 80
    assert 10 <= chance < 15
    for name in ("weights.png", "classifier.keras", "weights/weights.gif"):
        assert (tmp_path / "quickstart" / name).stat().st_size > 1000


@pytest.mark.parametrize(
    "script",
    [
        path.name
        for path in sorted(EXAMPLES.glob("*.py"))
        if "__main__" in path.read_text()
    ],
)
def test_the_help_of_a_script_says_how_long_it_takes(run_here, capsys, script):
    with pytest.raises(SystemExit, match="0"):
        run_here(script, "--help")
    printed = capsys.readouterr().out
    assert re.search("minute|second|hour", printed)
    options = printed.partition("options:")[2]
    for option in re.split(r"\n  (?=-)", options)[1:]:
        assert len(option.split("  ", 1)[-1].split()) > 1, option


def test_documentation_is_written_only_if_asked(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import experiment

    def written(*arguments):
        parser = experiment.parser_of("", "some.json")
        return experiment.file_of(parser.parse_args(arguments), "some.json")

    docs = EXAMPLES.parent / "docs" / "results" / "some.json"
    assert written() == pathlib.Path("results", "some.json")
    assert written("--write") == docs
    assert written("--quick") is None
    assert written("--quick", "--output=it.json") == pathlib.Path("it.json")


def test_first_look(tmp_path, run_here):
    printed = run_here("first_look.py", "--epochs=2", "--units=16")
    for line, name in zip(
        printed.splitlines()[1:], ["competing", "soft"], strict=True
    ):
        entropy = float(re.search(r"win_entropy ([\d.]+)", line)[1])
        assert 0.5 < entropy <= 1
        assert (tmp_path / "first_look" / f"{name}.png").stat().st_size > 1000


@pytest.fixture
def large_digits(tmp_path, digits, digit_labels):
    """A file of 24 x 24 digits."""
    images = np.kron(digits.reshape(-1, 8, 8), np.ones((3, 3)))
    np.savez(
        tmp_path / "large_digits.npz",
        x_train=images,
        y_train=digit_labels,
        x_test=images[:300],
        y_test=digit_labels[:300],
    )
    return "--data=large_digits.npz"


@pytest.mark.slow
def test_gallery(tmp_path, run_here, large_digits):
    run_here("gallery.py", large_digits, "--epochs=2")
    drawn = {path.name for path in (tmp_path / "gallery").iterdir()}
    images = EXAMPLES.parent / "docs" / "images"
    page = (EXAMPLES.parent / "docs" / "gallery.md").read_text()
    shown = set(re.findall(r"images/(\w+\.\w+)", page))
    assert shown <= drawn <= {path.name for path in images.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "rows"),
    [
        ("examples/mnist_competitive.py", 2),
        ("examples/lateral_inhibition.py", 4),
        ("examples/lateral_inhibition_rates.py", 4),
        ("examples/lateral_inhibition_bounds.py", 4),
        ("examples/mnist_readout.py", 4),
        ("examples/cifar10_readout.py", 4),
        ("examples/hebbian_mlp.py", 3),
        ("examples/hybrid.py", 3),
        pytest.param("tests/benchmarks/export.py", 3, marks=LITERT),
        ("examples/few_labels.py", 11),
        ("examples/mnist_deep.py", 10),
        ("examples/cifar10_deep.py", 8),
        ("examples/cifar10_narrow.py", 8),
        ("tests/benchmarks/convolution.py", 3),
        pytest.param("examples/drift.py", 21, marks=LITERT),
        ("examples/topography.py", 2),
        ("tests/benchmarks/guards.py", 2),
        ("tests/benchmarks/mixed_precision.py", 3),
        ("tests/benchmarks/step.py", 14),
        ("tests/benchmarks/visualization.py", 1),
    ],
)
def test_experiments(tmp_path, run_here, large_digits, script, rows):
    printed = run_here(
        EXAMPLES.parent / script,
        large_digits,
        "--quick",
        "--seeds=3",
        "--output=figures.json",
    )
    results = json.loads((tmp_path / "figures.json").read_text())
    assert results["command"].startswith(f"python {script} --data")
    assert results["seeds"] == [3]
    assert len(results["rows"]) == rows
    table = [line for line in printed.splitlines() if line.startswith("| ")]
    assert "not the results" in printed
    assert len(table) == 2 + rows + len(results["reported"])
    for name, row in results["rows"].items():
        (line,) = (line for line in table if line.startswith(f"| {name} |"))
        for column, (value,) in row.items():
            expected = f"{100 * value:.2f} %"
            if column == "seconds":  # none for a row that shares its work
                expected = f"| {value:.0f} |" if value >= 0.5 else "|  |"
            assert expected in line
    if results["figure"]:
        assert (tmp_path / "figures.png").stat().st_size > 1000


def test_the_deep_readout_is_a_ridge_regression(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import deep_network

    data, labels = sklearn.datasets.load_digits(return_X_y=True)
    data = data.astype("float32")
    train, test = (data[:200], labels[:200]), (data[200:], labels[200:])
    model = sklearn.pipeline.make_pipeline(
        sklearn.preprocessing.StandardScaler(),
        sklearn.linear_model.RidgeClassifier(0.2 * len(labels[:200])),
    )
    counts = (20, 64)  # of the pixels
    expected = [
        model.fit(data[:200, :count], labels[:200]).score(
            data[200:, :count], labels[200:]
        )
        for count in counts
    ]
    seen = data[:200], data[200:]
    accuracies = deep_network.read_out(seen, train, test, 0.2, counts)
    assert accuracies == pytest.approx(expected, abs=2e-3)


@pytest.mark.slow
def test_the_comparison_with_minisom(run_here, large_digits):
    script = EXAMPLES.parent / "tests" / "benchmarks" / "self_organizing_map.py"
    printed = run_here(script, large_digits, "--quick")
    assert "quartiles: [" in printed
    names = re.findall(r"^\| (MiniSom|this layer)", printed, re.MULTILINE)
    assert names == ["MiniSom", "this layer"]


@pytest.mark.slow
def test_an_experiment_keeps_the_seeds_that_it_has(
    tmp_path, run_here, large_digits
):
    file = tmp_path / "figures.json"

    def results(*arguments):
        script = EXAMPLES / "mnist_competitive.py"
        output = f"--output={file.name}"
        run_here(script, large_digits, "--quick", output, *arguments)
        return json.loads(file.read_text())

    first = results("--seeds=3", "--validation")
    assert first["test_images"] == 143  # a tenth of 1437
    both = results("--seeds", "4", "3", "--validation", "--resume")
    assert both["seeds"] == [3, 4]
    assert both["command"].endswith("--validation --seeds 3 4")
    for name, row in both["rows"].items():
        for column, values in row.items():
            assert values[:1] == first["rows"][name][column]
            assert len(values) == 2
    with pytest.raises(SystemExit):  # other images to test on
        results("--seeds=5", "--resume")
    assert json.loads(file.read_text()) == both


@pytest.mark.parametrize("name", ["results.md", "benchmarks.md"])
def test_the_pages_show_the_figures_of_the_experiments(name, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import results_page

    page = (EXAMPLES.parent / "docs" / name).read_text()
    assert page == results_page.PAGES[name]()


def test_the_chart_shows_how_much_faster_than_numpy_each_backend_is(
    monkeypatch,
):
    monkeypatch.syspath_prepend(EXAMPLES)
    import results_page

    rates = {"tensorflow": 6.0, "jax": 8.0, "torch": 3.0}
    (axes,) = results_page.chart(
        [
            {
                "case": case,
                "by": by,
                "settings": settings,
                "fit": [rate if settings == "default" else 9.0],
                "float64": [2.0],
            }
            for case in results_page.throughput.CASES
            for by, rate in rates.items()
            for settings in ("default", "tuned")
        ]
    ).axes
    bars = {
        bars.get_label(): {bar.get_width() for bar in bars}
        for bars in axes.containers
    }
    assert bars == {"TensorFlow": {3}, "JAX": {4}, "torch": {1.5}}
    tuned = [line for line in axes.lines if line.get_marker() == "|"]
    assert {float(x) for line in tuned for x in line.get_xdata()} == {4.5}


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/faq.md",
        "docs/hebbian-learning.md",
        "docs/guides/drift.md",
    ],
)
def test_the_figures_of_a_page_stand_in_the_results(page):
    root = EXAMPLES.parent
    percent = r"[\d.]+(?: ± [\d.]+)? %"
    quoted = set(re.findall(percent, (root / page).read_text()))
    results = (root / "docs" / "results.md").read_text()
    assert quoted
    assert quoted <= set(re.findall(percent, results))


def test_the_table_of_the_defaults_is_that_of_the_study(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import defaults

    results = EXAMPLES.parent / "docs" / "results"
    study = json.loads((results / "defaults.json").read_text())
    assert (results / "defaults.md").read_text() == defaults.table(study)


def test_the_page_of_the_rules_shows_the_figures_of_the_experiment(
    monkeypatch,
):
    monkeypatch.syspath_prepend(EXAMPLES)
    import rules

    docs = EXAMPLES.parent / "docs"
    measured = json.loads((docs / "results" / "rules.json").read_text())
    table = (docs / "results" / "rules.md").read_text()
    assert table == rules.table(measured)
    page = (docs / "guides" / "which-rule.md").read_text()
    quoted = re.findall(r"\d+\.\d+ %", page)
    assert quoted
    for figure in quoted:
        assert f" {figure[:-2]} ± " in table, figure


@pytest.mark.slow
def test_defaults(tmp_path, run_here):
    """On the small sets; the full study takes minutes."""
    run_here(
        "defaults.py",
        "--quick",
        "--seeds=1",
        "--epochs=2",
        "--output=defaults.json",
    )
    study = json.loads((tmp_path / "defaults.json").read_text())
    assert "breast cancer, standardized" in study["sets"]
    for row in study["sets"].values():
        assert 0 <= row["HebbianCompetitive"]["accuracy"][0] <= 1


@pytest.mark.slow
def test_rules(tmp_path, run_here):
    """One rule of each kind; a second run has nothing left to do."""
    given = [
        *("--quick", "--seeds=1", "--output=rules.json"),
        *("--only", "SoftHebb", "k-means", "PCA", "backpropagation"),
    ]
    printed = run_here("rules.py", *given)
    assert "not the results" in printed
    results = json.loads((tmp_path / "rules.json").read_text())
    assert list(results["settings"]) == [
        "digits, 16 units",
        "digits, 8 filters",
    ]
    for setting, rows in results["settings"].items():
        assert list(rows) == given[4:]
        for name, row in rows.items():
            measured = row["seeds"]["1"]
            assert {"all", "10 %", "1 %", "seconds"} <= set(measured)
            voted = setting == "digits, 16 units" and name in given[4:6]
            assert ("winners" in measured) == voted
            shares = {**measured, "seconds": 0}.values()
            assert all(0 <= share <= 1 for share in shares)
            assert measured["seconds"] > 0
    again = run_here("rules.py", *given)
    assert again.strip() == printed[printed.index("| digits, 16") :].strip()
    assert json.loads((tmp_path / "rules.json").read_text()) == results
    assert (tmp_path / "rules.md").read_text().strip() in again
    assert (tmp_path / "rules.png").exists()


def test_the_best_arguments_of_a_rule_are_chosen(
    monkeypatch, digits, digit_labels
):
    """Of units of which one or all are read out."""
    monkeypatch.syspath_prepend(EXAMPLES)
    import rules

    def some(units, count):
        kept = [1.0] * count + [0.0] * (units - count)
        return [rules.random_units(units)[0], keras.layers.Rescaling(kept)]

    monkeypatch.setitem(rules.RULES, "some", some)
    choices = [{"count": count} for count in (1, 30)]
    monkeypatch.setitem(rules.CHOICES, "some", choices)
    split = digits, digit_labels
    data = rules.prepared(split, split, convolution=False)
    setting = rules.Setting("digits", 30)
    chosen = rules.choose("some", setting, data, epochs=1, seed=0)
    assert chosen == {"count": 30}


def test_the_measures_of_rules_by_hand(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import rules

    features = np.array([[0.0, 3.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    assert rules.sparsity(features) == pytest.approx((1 + 0) / 2)
    places = np.array([[0, 1, 5, 2], [7, 1, 0, 2]])  # two units, two places
    np.testing.assert_array_equal(rules.winners(places, 2), [[1, 0], [0, 1]])
