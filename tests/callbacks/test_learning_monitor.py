import csv
import math

import keras
import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

import keras_hebbian as kh
from keras_hebbian.callbacks import _measures

IMAGES = np.random.default_rng(0).random((60, 9), dtype="float32")


def fit(model, *callbacks, **arguments):
    arguments = {"batch_size": 10, "epochs": 3, "verbose": 0, **arguments}
    return model.fit(IMAGES, callbacks=list(callbacks), **arguments).history


def model_with(*layers, kind=kh.HebbianSequential, **arguments):
    layers = layers or [kh.HebbianCompetitive(4)]
    model = kind([keras.Input((9,)), *layers])
    model.compile(**arguments)
    return model


def identity(units=9, **arguments):
    """Units that each respond to one input, and do not learn."""
    layer = kh.HebbianCompetitive(
        units, learning_rate=0.0, kernel_initializer="identity", **arguments
    )
    return model_with(layer)


def measured(model, data, **arguments):
    monitor = kh.LearningMonitor(data, **arguments)
    history = fit(model, monitor, epochs=1)
    return {name: values[0] for name, values in history.items()}


def test_wins():
    # Units 0 to 2 win 4, 2 and 2 of 8 samples, 6 units win none.
    data = np.eye(9, dtype="float32")[[0, 0, 0, 0, 1, 1, 2, 2]]
    logs = measured(identity(), data)
    assert logs["dead"] == pytest.approx(6 / 9)
    assert logs["win_entropy"] == pytest.approx(1.5 * math.log(2, 9))
    even = measured(identity(), np.eye(9, dtype="float32"))
    assert even["dead"] == 0
    assert even["win_entropy"] == pytest.approx(1)
    one = measured(identity(), np.eye(9, dtype="float32")[[4, 4]])
    assert one["win_entropy"] == 0


def test_wins_of_many_samples():
    logs = measured(
        identity(), np.eye(9, dtype="float32")[np.arange(600) // 100]
    )
    assert logs["dead"] == pytest.approx(3 / 9)
    assert logs["win_entropy"] == pytest.approx(math.log(6, 9))


def test_a_single_unit_has_no_entropy_and_no_correlation():
    logs = measured(model_with(kh.HebbianPCA(1)), IMAGES)
    assert logs["win_entropy"] == logs["correlation"] == logs["dead"] == 0


def test_correlation():
    data = np.zeros((4, 9), "float32")
    data[:, 0] = [1, -1, 1, -1]
    data[:, 1] = [-3, 3, -3, 3]  # correlation -1 with the first
    data[:, 2] = [1, 1, -1, -1]  # 0 with both; the others never change
    assert measured(identity(), data)["correlation"] == pytest.approx(1 / 3)
    constant = np.ones((4, 9), "float32")
    assert measured(identity(), constant)["correlation"] == 0


def test_constant_outputs_that_float32_rounds_have_no_correlation():
    data = np.full((1000, 9), 0.1, "float32")
    assert measured(identity(), data)["correlation"] == 0
    data[::2, 0] = 1
    data[::2, 1] = -1
    assert measured(identity(), data)["correlation"] == pytest.approx(1)


def test_correlation_is_that_of_the_outputs():
    data = np.zeros((4, 9), "float32")
    data[:, 0] = [1, 2, 3, 4]
    data[:, 1] = [4, 3, 2, 1]
    model = identity(activation=lambda x: keras.ops.minimum(x, 2.5))
    expected = np.corrcoef([1, 2, 2.5, 2.5], [2.5, 2.5, 2, 1])[0, 1]
    logs = measured(model, data)
    assert logs["correlation"] == pytest.approx(abs(expected), rel=1e-5)


def test_cosine_of_the_winners():
    data = np.zeros((3, 9), "float32")
    data[0, :2] = [4, 3]  # unit 0 wins, at a cosine of 4 / 5
    data[1, 2] = 0.1  # in the direction of unit 2
    data[2, :4] = [1, 1, 1.5, 1]  # unit 2: 1.5 / sqrt(5.25)
    expected = np.mean([4 / 5, 1, 1.5 / math.sqrt(5.25)])
    logs = measured(identity(), data)
    assert logs["winner_cosine"] == pytest.approx(expected, rel=1e-5)
    data[1] = 0
    logs = measured(identity(), data)
    assert logs["winner_cosine"] == pytest.approx(expected - 1 / 3, rel=1e-5)


def test_the_cosine_does_not_depend_on_the_scale_of_the_data():
    large, small = (
        measured(identity(), IMAGES * scale)["winner_cosine"]
        for scale in (1, np.float32(1e-9))
    )
    assert small == pytest.approx(large, rel=1e-5)


def test_the_cosine_falls_where_frozen_units_meet_turned_digits(digits):
    """Labels are not needed to see that data drift."""
    layer = kh.HebbianCompetitive(40)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    model.fit(digits, batch_size=20, epochs=5, verbose=0)
    turned = np.rot90(digits.reshape(-1, 8, 8), axes=(1, 2)).reshape(-1, 64)
    layer.learning_rate = 0.0
    cosines = []
    for each in (digits, np.ascontiguousarray(turned)):
        monitor = kh.LearningMonitor(each)
        history = model.fit(each, callbacks=[monitor], verbose=0).history
        cosines += history["winner_cosine"]
    known, drifted = cosines
    assert known > 0.9
    assert drifted < known - 0.05


def test_change_is_how_far_the_kernel_moved():
    model = model_with()
    kernels = [model.get_weights()[0]]
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kernels.append(model.get_weights()[0])
    )
    changes = fit(model, kh.LearningMonitor(), keep)["change"]
    for change, before, after in zip(
        changes, kernels[:-1], kernels[1:], strict=True
    ):
        expected = np.linalg.norm(after - before) / np.linalg.norm(before)
        assert change == pytest.approx(expected, rel=1e-5)


def test_a_model_that_fit_builds():
    model = kh.HebbianSequential([kh.HebbianCompetitive(4)])
    model.compile()
    changes = fit(model, kh.LearningMonitor(IMAGES))["change"]
    assert len(changes) == 3
    assert np.isfinite(changes[1:]).all()


def test_accuracies_are_taken_on_other_samples(digits, digit_labels):
    """Units overfit random labels, which say nothing about other samples."""
    layer = kh.HebbianCompetitive(100)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    model.fit(
        digits,
        batch_size=20,
        epochs=20,
        callbacks=[kh.LinearRateDecay()],
        verbose=0,
    )
    chance = np.random.default_rng(0).permutation(digit_labels)
    for labels, low, high in ((digit_labels, 0.7, 1.0), (chance, 0.0, 0.2)):
        monitor = kh.LearningMonitor((digits, labels), probe=True)
        history = model.fit(digits, callbacks=[monitor], verbose=0).history
        for name in ("winner_accuracy", "probe_accuracy"):
            assert low < history[name][-1] < high


def test_accuracies_of_units_that_tell_the_class():
    labels = np.arange(36) % 9
    logs = measured(
        identity(), (np.eye(9, dtype="float32")[labels], labels), probe=True
    )
    # Each half of the samples has every class.
    assert logs["winner_accuracy"] == 1
    assert logs["probe_accuracy"] == 1


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "bool"])
def test_labels_of_every_type_are_class_indices(dtype):
    labels = np.arange(36) % 2
    data = np.eye(9, dtype="float32")[labels]
    monitor = kh.LearningMonitor((data, labels.astype(dtype)), probe=True)
    assert monitor.labels.dtype == "int64"
    history = fit(identity(), monitor, epochs=1)
    assert history["winner_accuracy"] == history["probe_accuracy"] == [1]


@pytest.mark.parametrize(
    "labels",
    [
        np.full(60, 0.5),
        np.full(60, np.nan),
        np.full(60, np.inf),
        np.arange(60) - 1,
        np.arange(60) + 2**40,
        np.full(60, "3"),
        np.full(60, None),
        np.full(60, 1j),
    ],
)
def test_labels_that_are_no_class_indices_are_refused(labels):
    with pytest.raises(ValueError, match=r"Expected labels .*Received: \["):
        kh.LearningMonitor((IMAGES, labels), probe=True)


def test_labels_of_one_class_are_always_right():
    data = IMAGES, np.zeros(60, "int64")
    logs = measured(identity(), data, probe=True)
    assert logs["winner_accuracy"] == logs["probe_accuracy"] == 1


def test_the_same_positions_are_measured_in_each_epoch():
    data = np.random.default_rng(0).random((20, 100, 9), dtype="float32")
    layer = kh.HebbianCompetitive(4, learning_rate=0.0)
    model = kh.HebbianSequential([keras.Input((100, 9)), layer])
    model.compile()
    monitor = kh.LearningMonitor(data)
    history = model.fit(data, epochs=2, callbacks=[monitor], verbose=0).history
    for name in ("winner_cosine", "correlation", "win_entropy"):
        assert history[name][0] == history[name][1]


@pytest.mark.parametrize("noise", [1, 30])  # where the penalty decides
def test_the_probe_is_a_ridge_regression_on_standardized_outputs(noise):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    features = rng.normal(size=(200, 60)) * 10.0 ** -rng.integers(0, 5, 60)
    features[:, :3] += np.eye(3)[labels] * features[:, :3].std(axis=0) / noise
    known, judged = _measures._halves(200)
    scaler = StandardScaler().fit(features[known])
    ridge = RidgeClassifier(alpha=0.01 * len(known))
    ridge.fit(scaler.transform(features[known]), labels[known])
    expected = ridge.score(scaler.transform(features[judged]), labels[judged])
    assert _measures.probe_accuracy(features, labels) == expected


@pytest.mark.parametrize(
    "data", [IMAGES.tolist(), iter([IMAGES]), scipy.sparse.csr_array(IMAGES)]
)
def test_data_that_are_no_arrays_are_refused(data):
    with pytest.raises(ValueError, match="Expected `data` as arrays"):
        kh.LearningMonitor(data)


def test_watching_changes_nothing():
    labels = np.arange(60) % 3
    monitor = kh.LearningMonitor((IMAGES, labels), probe=True)
    kernels = []
    for callbacks in ([], [monitor]):
        keras.utils.set_random_seed(3)
        model = model_with()
        fit(model, *callbacks)
        kernels.append(model.get_weights()[0])
        assert int(model.layers[0].iterations) == 18
    np.testing.assert_array_equal(*kernels)


def two_layers():
    return (
        kh.HebbianCompetitive(8, name="lower", activation="sigmoid"),
        kh.LateralInhibitionSparse(5, name="upper"),
    )


def test_every_layer_has_its_names():
    history = fit(model_with(*two_layers()), kh.LearningMonitor(IMAGES))
    common = {"change", "dead", "win_entropy", "winner_cosine", "correlation"}
    reports = {
        "lower": {"norm_distance"},
        "upper": {"activity", "silent", "inhibition"},
    }
    assert set(history) == {
        f"{layer}_{name}"
        for layer, report in reports.items()
        for name in common | report
    }


def test_models_of_every_kind():
    layers = two_layers()
    nested = keras.Sequential([keras.Input((9,)), *layers[:1]])
    inputs = keras.Input((9,))
    functional = kh.HebbianModel(inputs, layers[1](nested(inputs)))
    functional.compile()

    class Subclass(kh.HebbianModel):
        def __init__(self):
            super().__init__()
            self.lower, self.upper = two_layers()

        def call(self, inputs, training=None):
            lower = self.lower(inputs, training=training)
            return self.upper(lower, training=training)

    subclass = Subclass()
    subclass.compile()
    for model in (functional, subclass):
        history = fit(model, kh.LearningMonitor(IMAGES))
        assert {"lower_dead", "upper_dead", "upper_activity"} <= set(history)
        assert np.isfinite(history["upper_correlation"]).all()


def test_callbacks_after_it_see_what_it_measured(tmp_path, capsys):
    path = tmp_path / "log.csv"
    history = fit(
        model_with(),
        kh.LearningMonitor(IMAGES),
        keras.callbacks.CSVLogger(path),
        verbose=2,
    )
    with path.open() as file:
        rows = list(csv.DictReader(file))
    for name in ("dead", "norm_distance", "change"):
        observed = [float(row[name]) for row in rows]
        assert observed == pytest.approx(history[name])
    assert "win_entropy: " in capsys.readouterr().out


def test_training_stops_when_the_weights_stand_still():
    model = model_with()
    history = fit(
        model,
        kh.LinearRateDecay(),
        kh.LearningMonitor(),
        Halt(),
        keras.callbacks.EarlyStopping(
            "change", mode="min", patience=2, start_from_epoch=9
        ),
        epochs=50,
    )
    # They first stand still in epoch 10, and nothing is less than that.
    assert history["change"][10:] == [0, 0, 0]


class Halt(keras.callbacks.Callback):
    """Sets the rate to 0 from epoch 10 on."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch >= 10:
            self.model.layers[0].learning_rate.assign(0.0)


def test_between_measurements_the_logs_repeat_the_last():
    often, seldom = (
        measured_with(monitor=kh.LearningMonitor(IMAGES, every=every))
        for every in (1, 3)
    )
    for name in ("change", "win_entropy"):
        first, _, third, _, _, sixth, last = often[name]
        expected = [first] * 2 + [third] * 3 + [sixth, last]
        np.testing.assert_allclose(seldom[name], expected, rtol=1e-5)
    # What the model itself reports is never older than the epoch.
    assert seldom["norm_distance"] == often["norm_distance"]


def test_the_first_epoch_of_a_resumed_fit_is_measured():
    monitor = kh.LearningMonitor(IMAGES, every=5)
    history = fit(model_with(), monitor, initial_epoch=2, epochs=4)
    assert len(history["change"]) == 2
    assert history["change"][0] != history["change"][1]


def measured_with(monitor=None, **arguments):
    keras.utils.set_random_seed(2)
    monitor = monitor or kh.LearningMonitor(IMAGES)
    return fit(model_with(**arguments), monitor, epochs=7)


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="torch runs single steps"
)
def test_several_steps_per_execution():
    one, three = (measured_with(steps_per_execution=steps) for steps in (1, 3))
    for name in one:
        np.testing.assert_allclose(one[name], three[name], rtol=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"every": 0},
        {"data": IMAGES[:1]},
        {"data": (IMAGES, np.zeros(3, int))},
        {"data": IMAGES, "probe": True},
        {"data": np.where(IMAGES[0, 0] < IMAGES, np.nan, IMAGES)},
    ],
)
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=r"Expected .*Received"):
        kh.LearningMonitor(**arguments)


def test_data_of_another_width_are_refused_before_anything_is_learned():
    model = model_with()
    with pytest.raises(ValueError, match=r"incompatible|expected shape"):
        fit(model, kh.LearningMonitor(IMAGES[:, :5]))
    assert int(model.layers[-1].iterations) == 0


def test_labels_may_be_a_column(digits, digit_labels):
    row, column = (
        kh.LearningMonitor((digits[:40], labels))
        for labels in (digit_labels[:40], digit_labels[:40, None])
    )
    np.testing.assert_array_equal(row.labels, column.labels)


def test_a_model_without_a_local_layer_is_refused():
    model = keras.Sequential([keras.Input((9,)), keras.layers.Dense(2)])
    model.compile(loss="mse")
    with pytest.raises(ValueError, match="Expected a model with a local"):
        model.fit(IMAGES, IMAGES[:, :2], callbacks=[kh.LearningMonitor()])


def test_wins_are_those_of_the_competition_that_learns():
    """With p = 3 and weights of both signs, currents and outputs differ."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(9, 12)).astype("float32")
    model = model_with(kh.HebbianCompetitive(12, p=3, learning_rate=0.0))
    model.layers[0].kernel.assign(kernel)
    currents = IMAGES @ (np.sign(kernel) * kernel**2)
    wins = np.bincount(currents.argmax(axis=-1), minlength=12)
    by_outputs = np.bincount((IMAGES @ kernel).argmax(axis=-1), minlength=12)
    assert wins.tolist() != by_outputs.tolist()
    shares = wins[wins > 0] / wins.sum()
    logs = measured(model, IMAGES)
    assert logs["dead"] == pytest.approx(np.mean(wins == 0))
    entropy = -np.sum(shares * np.log(shares)) / math.log(12)
    assert logs["win_entropy"] == pytest.approx(entropy, rel=1e-5)


def test_accuracies_do_not_depend_on_the_order_of_the_labels():
    labels = np.arange(64) % 2
    features = np.eye(9, dtype="float32")[labels]
    logs = measured(identity(), (features, labels), probe=True)
    assert (logs["winner_accuracy"], logs["probe_accuracy"]) == (1, 1)


def test_class_indices_may_have_gaps(digits, digit_labels):
    """Arrays with a column for each index up to the largest would not fit."""
    layer = kh.HebbianCompetitive(10, learning_rate=0.0)
    model = kh.HebbianSequential([layer])
    model.compile()
    measured = [
        model.fit(
            digits[:20],
            callbacks=[kh.LearningMonitor((digits[:200], labels), probe=True)],
            verbose=0,
        ).history
        for labels in (digit_labels[:200], digit_labels[:200] * 10**8)
    ]
    for name in ("winner_accuracy", "probe_accuracy"):
        assert measured[0][name] == measured[1][name]


def test_layers_of_the_same_name_are_told_apart():
    inner = [
        keras.Sequential(
            [keras.Input((size,)), kh.HebbianCompetitive(units, name="units")],
            name=name,
        )
        for name, size, units in (("low", 9, 8), ("high", 8, 4))
    ]
    model = model_with(*inner)
    history = fit(model, kh.LearningMonitor(IMAGES), kh.LinearRateDecay())
    assert {"units_dead", "units_1_dead", "units_1_change"} <= set(history)
    assert {"units_norm_distance", "units_1_norm_distance"} <= set(history)
    assert all(len(values) == 3 for values in history.values())


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (0, 2, 1)])
def test_a_name_that_looks_numbered_is_told_apart(order):
    names = ["units", "units", "units_1"]
    inner = [
        keras.Sequential(
            [keras.Input((9,)), kh.HebbianCompetitive(9, name=names[i])],
            name=f"model_{i}",
        )
        for i in order
    ]
    history = fit(model_with(*inner), epochs=1)
    assert len(history) == 3


@pytest.mark.parametrize("kind", [list, dict])
def test_inputs_of_several_arrays(kind):
    inputs = [keras.Input((9,), name=name) for name in ("a", "b")]
    units = kh.HebbianCompetitive(4)(keras.layers.Add()(inputs))
    model = kh.HebbianModel(inputs, units)
    model.compile()
    data = [IMAGES, IMAGES]
    if kind is dict:
        inputs = {"a": inputs[0], "b": inputs[1]}
        model = kh.HebbianModel(inputs, units)
        model.compile()
        data = {"a": IMAGES, "b": IMAGES}
    monitor = kh.LearningMonitor(data)
    history = model.fit(data, callbacks=[monitor], verbose=0).history
    assert 0 <= history["dead"][0] < 1


def test_positions_of_a_sample_compete_and_vote():
    """Each sample shows its class at 2 of 3 positions, another one at 1."""
    labels = np.arange(400) % 4
    positions = np.stack([labels, labels, (labels + 1) % 4], axis=1)
    positions = np.random.default_rng(0).permuted(positions, axis=1)
    data = np.eye(9, dtype="float32")[positions]
    model = kh.HebbianSequential(
        [
            keras.Input((3, 9)),
            kh.HebbianCompetitive(
                9, learning_rate=0.0, kernel_initializer="identity"
            ),
        ]
    )
    model.compile()
    monitor = kh.LearningMonitor((data, labels), probe=True)
    history = model.fit(data, callbacks=[monitor], verbose=0).history
    assert history["dead"] == [pytest.approx(5 / 9)]
    assert history["winner_accuracy"] == history["probe_accuracy"] == [1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_early_stopping_waits_for_the_norms(digits, seed):
    """It ends a long training run, and not before the units have learned."""
    keras.utils.set_random_seed(seed)
    layer = kh.HebbianCompetitive(50)
    model = kh.HebbianSequential([keras.Input((64,)), layer])
    model.compile()
    stop = keras.callbacks.EarlyStopping(
        "norm_distance", mode="min", min_delta=1e-3, patience=5
    )
    history = model.fit(
        digits, batch_size=20, epochs=100, callbacks=[stop], verbose=0
    ).history
    distances = history["norm_distance"]
    assert len(distances) < 100
    assert distances[-1] < 0.1


CLASSES = np.random.default_rng(1).integers(0, 2, 100)


def accuracy_of(layer, x, y):
    model = kh.HebbianSequential([keras.Input(x.shape[1:]), layer])
    model.compile()
    monitor = kh.LearningMonitor((x, y))
    history = model.fit(x, epochs=3, callbacks=[monitor], verbose=0).history
    return history.get("winner_accuracy", [None])[-1]


def test_all_calls_of_a_layer_see_a_sample_in_the_same_half():
    """Labels are random, so that a sample is known only from its copies."""
    x = np.random.default_rng(0).random((100, 9), dtype="float32")
    copies = np.repeat(x[:, None], 5, axis=1)
    units = keras.layers.TimeDistributed(kh.HebbianCompetitive(60))
    assert accuracy_of(units, copies, CLASSES) < 0.7


def assert_shares(history, drives):
    """The units win equal shares as measured, counted by hand."""
    drives = keras.ops.convert_to_numpy(drives).reshape(-1, 4)
    shares = np.bincount(drives.argmax(axis=1), minlength=4) / len(drives)
    assert history["dead"] == [np.mean(shares == 0)]
    bits = -np.sum(shares[shares > 0] * np.log2(shares[shares > 0]))
    np.testing.assert_allclose(history["win_entropy"], bits / 2, rtol=1e-5)


def test_a_layer_may_see_several_numbers_of_positions():
    several, one = keras.Input((5, 6)), keras.Input((6,))
    units = kh.HebbianCompetitive(4)
    model = kh.HebbianModel([several, one], [units(several), units(one)])
    model.compile()
    rng = np.random.default_rng(0)
    x = [rng.random((64, 5, 6)), rng.random((64, 6))]
    monitor = kh.LearningMonitor(x)
    history = model.fit(x, verbose=0, callbacks=[monitor]).history
    drives = [units.competition(inputs.reshape(-1, 6)) for inputs in x]
    assert_shares(history, keras.ops.concatenate(drives))


@pytest.mark.parametrize("fewer", [False, True])
def test_a_layer_may_see_several_numbers_of_samples(fewer):
    inputs = keras.Input((5, 6))
    units = kh.HebbianCompetitive(4)
    # Of 266 samples, all 10 of a last batch, but not all 256 of a first one.
    rows = keras.ops.reshape(inputs, (-1, 6))
    if fewer:
        rows = keras.layers.Lambda(lambda x: x[:20])(inputs)
    model = kh.HebbianModel(inputs, [units(inputs), units(rows)])
    model.compile()
    x = np.random.default_rng(0).random((266, 5, 6), dtype="float32")
    monitor = kh.LearningMonitor((x, np.arange(266) % 2))
    history = model.fit(x, verbose=0, callbacks=[monitor]).history
    assert "winner_accuracy" not in history
    seen = np.concatenate([x, x[:20], x[256:]]) if fewer else x
    assert_shares(history, units.competition(seen))


class Folded(keras.layers.Layer):
    """Units that get the steps of all samples as samples."""

    def __init__(self, units):
        super().__init__()
        self.units = units

    def call(self, x, training=None):
        rows = keras.ops.reshape(x, (-1, 4))
        return keras.ops.reshape(self.units(rows, training=training), (-1, 24))


def test_labels_of_samples_do_not_measure_the_rows_of_a_reshaped_batch():
    x = np.random.default_rng(0).random((100, 3, 4), dtype="float32")
    assert accuracy_of(Folded(kh.HebbianCompetitive(8)), x, CLASSES) is None
    assert accuracy_of(kh.HebbianCompetitive(8), x, CLASSES) is not None


class AlwaysTraining(kh.HebbianModel):
    def __init__(self):
        super().__init__()
        self.units = kh.HebbianCompetitive(4)

    def call(self, x, training=True):
        return self.units(x, training=training)


def test_a_monitor_teaches_nothing():
    model = AlwaysTraining()
    model.compile()
    fit(model, epochs=1)
    fit(model, kh.LearningMonitor(IMAGES), epochs=1)
    assert int(model.units.iterations) == 12


def test_models_of_a_fixed_batch_size_are_measured():
    inputs = keras.Input(batch_shape=(10, 9))
    steps = keras.layers.Reshape((3, 3))(inputs)
    remembered = keras.layers.SimpleRNN(5, stateful=True, trainable=False)
    outputs = kh.HebbianCompetitive(4)(remembered(steps))
    model = kh.HebbianModel(inputs, outputs)
    model.compile()
    history = fit(model, kh.LearningMonitor(IMAGES))
    assert len(history["dead"]) == 3
