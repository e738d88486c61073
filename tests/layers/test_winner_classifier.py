import warnings

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

import keras_hebbian as kh

# Unit 0 wins classes 2, 2, 0, unit 1 wins 1, unit 2 wins nothing.
ACTIVATIONS = np.array(
    [[3, 1, 0], [5, 4, 2], [9, 0, 1], [-2, 7, -9]], dtype="float32"
)
LABELS = np.array([2, 2, 0, 1], dtype="int32")
SCORES = {0: [1 / 3, 0, 2 / 3], 1: [0, 1, 0]}


def adapted(*data):
    classifier = kh.WinnerClassifier(3)
    with pytest.warns(UserWarning, match=r"1 of 3 units .*\[2\]"):
        classifier.adapt(*data)
    return classifier


def scores_of(model, activations):
    return ops.convert_to_numpy(model(np.asarray(activations, "float32")))


def test_scores_are_the_votes_of_the_winner():
    classifier = adapted(ACTIVATIONS, LABELS)
    np.testing.assert_array_equal(classifier.unit_classes, [2, 1, -1])
    np.testing.assert_allclose(
        scores_of(classifier, [[4, 3, 0], [0, 1, 0]]), [SCORES[0], SCORES[1]]
    )


def test_without_a_winner_no_class_has_a_score():
    classifier = adapted(ACTIVATIONS, LABELS)
    least = -np.inf
    scores = scores_of(classifier, [[least, least, 5], [least, 0, 5]])
    np.testing.assert_array_equal(scores, [[np.nan] * 3, SCORES[1]])


def test_a_unit_that_never_won_does_not_compete():
    classifier = adapted(ACTIVATIONS, LABELS)
    np.testing.assert_allclose(
        scores_of(classifier, [[-5, -4, 9]]), [SCORES[1]]
    )


def test_leading_axes():
    classifier = adapted(ACTIVATIONS.reshape(2, 2, 3), LABELS.reshape(2, 2))
    np.testing.assert_array_equal(classifier.unit_classes, [2, 1, -1])
    scores = scores_of(classifier, ACTIVATIONS.reshape(2, 2, 3))
    assert scores.shape == (2, 2, 3)
    np.testing.assert_allclose(scores[1, 1], SCORES[1])


class Pairs(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        part = slice(2 * index, 2 * index + 2)
        return ACTIVATIONS[part], LABELS[part]


def tf_pairs():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((ACTIVATIONS, LABELS)).batch(3)


def torch_pairs():
    torch = pytest.importorskip("torch")
    return torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(
            torch.tensor(ACTIVATIONS), torch.tensor(LABELS)
        ),
        batch_size=3,
    )


@pytest.mark.parametrize(
    "data",
    [
        lambda: (ACTIVATIONS, LABELS),
        lambda: (ACTIVATIONS, LABELS[:, None]),
        lambda: (ACTIVATIONS, LABELS.astype("float32")),
        lambda: (ACTIVATIONS.tolist(), LABELS.tolist()),
        lambda: (ops.convert_to_tensor(ACTIVATIONS), LABELS),
        lambda: (Pairs(),),
        lambda: ([Pairs()[0], Pairs()[1]],),
        lambda: (pair for pair in [iter([Pairs()[0], Pairs()[1]])]),
        lambda: (tf_pairs(),),
        lambda: (torch_pairs(),),
    ],
)
def test_arrays_and_datasets_count_alike(data):
    classifier = adapted(*data())
    np.testing.assert_array_equal(
        ops.convert_to_numpy(classifier.votes.value),
        [[1, 0, 2], [0, 1, 0], [0, 0, 0]],
    )


def test_all_of_many_samples_count():
    classes = np.arange(2500) % 3
    classifier = kh.WinnerClassifier(3)
    classifier.adapt(np.eye(3, dtype="float32")[classes], classes)
    votes = ops.convert_to_numpy(classifier.votes.value)
    np.testing.assert_array_equal(votes, np.diag([834, 833, 833]))


def test_of_equally_frequent_classes_the_first_is_that_of_the_unit():
    classifier = kh.WinnerClassifier(3)
    classifier.adapt(np.eye(2)[[0, 0, 1, 1, 1]], [2, 1, 0, 2, 2])
    np.testing.assert_array_equal(classifier.unit_classes, [1, 2])


@pytest.mark.parametrize(
    ("policy", "dtype"), [("mixed_float16", "float16"), ("float32", "float32")]
)
def test_scores_have_the_compute_dtype(policy, dtype):
    classifier = kh.WinnerClassifier(3, dtype=policy)
    classifier.adapt(np.eye(3), [0, 1, 2])
    scores = classifier(np.eye(3, dtype="float32"))
    assert keras.backend.standardize_dtype(scores.dtype) == dtype


def test_adapt_forgets_earlier_counts():
    classifier = adapted(ACTIVATIONS, LABELS)
    classifier.adapt(np.eye(3), [0, 1, 2])
    np.testing.assert_array_equal(classifier.unit_classes, [0, 1, 2])


@given(
    arrays("float32", (20, 5), elements=st.integers(-1000, 1000)),
    arrays("int64", (20,), elements=st.integers(0, 3)),
)
def test_scores_are_shares_of_the_samples_that_the_winner_won(values, labels):
    classifier = kh.WinnerClassifier(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier.adapt(values, labels)
    scores = scores_of(classifier, values)
    np.testing.assert_allclose(scores.sum(axis=-1), 1, rtol=1e-5)
    winners = values.argmax(axis=-1)
    for row, winner in zip(scores, winners, strict=True):
        won = labels[winners == winner]
        expected = np.bincount(won, minlength=4) / len(won)
        np.testing.assert_allclose(row, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("activations", "labels", "message"),
    [
        (ACTIVATIONS, [0, 1, 2, 3], "class indices"),
        (ACTIVATIONS, [0, 1, 2, -1], "class indices"),
        (ACTIVATIONS, [0, 1, 2, 0.5], "class indices"),
        (ACTIVATIONS, [0, 1, 2, np.nan], "class indices"),
        (ACTIVATIONS, list("abcd"), "class indices"),
        (ACTIVATIONS, LABELS[:3], "one label per sample"),
        (ACTIVATIONS, np.eye(4), "one label per sample"),
        (ACTIVATIONS[0], LABELS[:3], "finite activations"),
        (np.full_like(ACTIVATIONS, np.inf), LABELS, "finite activations"),
        (ACTIVATIONS[:0], LABELS[:0], "at least one sample"),
        ([], None, "at least one sample"),
        (ACTIVATIONS, None, "`labels`"),
        (ACTIVATIONS[:, :2], LABELS, "activations of 3 units"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_bad_data_is_refused_and_nothing_is_forgotten(
    activations, labels, message
):
    classifier = adapted(ACTIVATIONS, LABELS)
    with pytest.raises(ValueError, match=f"(?s)Expected.*{message}.*Received"):
        classifier.adapt(activations, labels)
    np.testing.assert_array_equal(classifier.unit_classes, [2, 1, -1])


@pytest.mark.parametrize("num_classes", [1, 2.5, "ten", None])
def test_bad_arguments_are_refused(num_classes):
    with pytest.raises(ValueError, match="Expected `num_classes`"):
        kh.WinnerClassifier(num_classes)


def test_a_call_without_votes_is_refused_or_undefined():
    model = keras.Sequential([keras.Input((3,)), kh.WinnerClassifier(3)])
    with pytest.raises(ValueError, match="Expected `adapt`"):
        model(ACTIVATIONS)
    with pytest.raises(ValueError, match="Expected `adapt`"):
        _ = kh.WinnerClassifier(3).unit_classes
    if keras.backend.backend() == "torch":  # whose steps are not compiled
        with pytest.raises(ValueError, match="Expected `adapt`"):
            model.predict(ACTIVATIONS, verbose=0)
    else:
        assert np.isnan(model.predict(ACTIVATIONS, verbose=0)).all()
    with pytest.warns(UserWarning, match="won no sample"):
        model.layers[0].adapt(ACTIVATIONS, LABELS)
    np.testing.assert_allclose(
        model.predict(ACTIVATIONS, verbose=0)[-1], SCORES[1]
    )


@pytest.mark.parametrize("eagerly", [False, True])
def test_units_below_a_classifier_learn_before_it_has_votes(eagerly):
    units = kh.HebbianCompetitive(4)
    model = kh.HebbianSequential(
        [keras.Input((2,)), units, kh.WinnerClassifier(2)]
    )
    model.compile(run_eagerly=eagerly)
    model.fit(SAMPLES, verbose=0)
    assert int(units.iterations) == 1


def test_a_model_without_votes_has_no_accuracy():
    model = kh.HebbianSequential(
        [keras.Input((2,)), kh.HebbianCompetitive(4), kh.WinnerClassifier(2)]
    )
    model.compile(metrics=["accuracy"])
    with pytest.raises(ValueError, match="Expected `adapt`"):
        model.evaluate(SAMPLES, np.zeros(len(SAMPLES)), verbose=0)


def test_freezing_a_classifier_leaves_the_units_free():
    units = kh.HebbianCompetitive(2)
    classifier = kh.WinnerClassifier(2, layer=units)
    classifier.trainable = False
    assert units.trainable
    units.trainable = False
    classifier.trainable = True
    assert not units.trainable


def test_a_clone_without_votes_does_not_answer():
    model = keras.Sequential([keras.Input((3,)), adapted(ACTIVATIONS, LABELS)])
    clone = keras.models.clone_model(model)
    with pytest.raises(ValueError, match="Expected `adapt`"):
        clone(ACTIVATIONS)


def test_undefined_activations_have_undefined_scores():
    classifier = adapted(ACTIVATIONS, LABELS)
    scores = scores_of(classifier, [[4, np.nan, 0], [0, 1, 0]])
    assert np.isnan(scores[0]).all()
    np.testing.assert_allclose(scores[1], SCORES[1])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "activations",
    [
        # Less than the least float16, and closer than its or bfloat16's steps.
        -1e4 * np.array([[7, 8, 9], [9.5, 7, 8], [9, 8, 7]], "float32"),
        1 + 1e-4 * np.array([[2, 1, 0], [0, 2, 1], [0, 1, 2]], "float32"),
    ],
)
def test_winners_do_not_depend_on_the_policy(tmp_path, activations, policy):
    classifier = kh.WinnerClassifier(3, dtype=policy)
    classifier.adapt(activations, [0, 1, 2])
    scores = scores_of(classifier, activations)
    assert scores.dtype.name == classifier.compute_dtype
    np.testing.assert_array_equal(scores.astype("float32"), np.eye(3))
    model = keras.Sequential([keras.Input((3,)), classifier])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    scores = loaded.predict(activations, verbose=0)
    np.testing.assert_array_equal(scores.astype("float32"), np.eye(3))


def test_onnx_has_scores_of_16_bits(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip(
        {"tensorflow": "tf2onnx", "jax": "jax2onnx"}.get(
            keras.backend.backend(), "onnx"
        )
    )
    classifier = kh.WinnerClassifier(3, dtype="mixed_float16")
    classifier.adapt(np.eye(3), [2, 0, 1])
    model = keras.Sequential([keras.Input((3,)), classifier])
    samples = np.array(
        [[9, 7, 8], [np.nan, 1, 2], [-7e4, -9e4, -8e4]], "float32"
    )
    model.predict(samples, verbose=0)  # Keras exports what was called
    path = str(tmp_path / "model.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters
        model.export(path, format="onnx", verbose=False)
    session = runtime.InferenceSession(path)
    (given,) = session.get_inputs()
    (scores,) = session.run(None, {given.name: samples})
    np.testing.assert_array_equal(scores[[0, 2]], np.eye(3)[[2, 2]])
    assert np.isnan(scores[1]).all()


def test_whole_numbers_compete_as_well():
    classifier = kh.WinnerClassifier(3, dtype="mixed_float16")
    activations = np.array([[70_001, 70_000, 0], [0, 70_000, 70_001]], "int32")
    with pytest.warns(UserWarning, match=r"1 of 3 units .*\[1\]"):
        classifier.adapt(activations, [2, 1])
    scores = ops.convert_to_numpy(classifier(activations))
    np.testing.assert_array_equal(scores, np.eye(3)[[2, 1]])


def test_accuracy_counts_the_winners_that_vote_right():
    units = kh.HebbianCompetitive(3, kernel_initializer="identity")
    classifier = adapted(ACTIVATIONS, LABELS)
    model = kh.HebbianSequential([keras.Input((3,)), units, classifier])
    model.compile(metrics=["accuracy"])
    accuracy = model.evaluate(ACTIVATIONS, LABELS, verbose=0)
    assert accuracy == 0.75


# With p = 3 a large weight counts more: by the product unit 0 wins the first
# sample, by the currents unit 1 does.
KERNEL = np.array([[0.7, 1.0], [0.7, -0.1]], dtype="float32")
SAMPLES = np.array([[1.0, 0.9], [0.0, 1.0]], dtype="float32")


def competing(p):
    units = kh.HebbianCompetitive(2, p=p)
    units.build((None, 2))
    units.kernel.assign(KERNEL)
    return units


@pytest.mark.parametrize("p", [2, 3])
def test_units_of_a_layer_compete_as_they_do_while_learning(p):
    classifier = kh.WinnerClassifier(2, layer=competing(p))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for p = 2 unit 1 wins nothing
        classifier.adapt(SAMPLES, np.array([0, 1]))
    drives = SAMPLES @ (np.sign(KERNEL) * np.abs(KERNEL) ** (p - 1))
    winners = drives.argmax(axis=-1)
    votes = np.zeros((2, 2))
    np.add.at(votes, (winners, [0, 1]), 1)
    np.testing.assert_array_equal(ops.convert_to_numpy(classifier.votes), votes)
    shares = votes[winners] / votes[winners].sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(scores_of(classifier, SAMPLES), shares)


def test_samples_of_a_layer_are_not_rounded():
    """Under a policy of 16 bits both samples would be one."""
    samples = np.array([[1.0, 0.9999], [0.9999, 1.0]], "float32")
    units = kh.HebbianCompetitive(2, kernel_initializer="identity")
    classifier = kh.WinnerClassifier(2, layer=units, dtype="mixed_float16")
    classifier.adapt(samples, np.array([0, 1]))
    np.testing.assert_array_equal(scores_of(classifier, samples), np.eye(2))


def test_a_classifier_of_a_layer_is_saved_with_it(tmp_path):
    classifier = kh.WinnerClassifier(2, layer=competing(3))
    classifier.adapt(SAMPLES, np.array([0, 1]))
    model = kh.HebbianSequential([keras.Input((2,)), classifier])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(SAMPLES, verbose=0), scores_of(model, SAMPLES)
    )
    assert loaded.layers[0].layer.p == 3


def test_a_layer_that_does_not_compete_is_refused():
    with pytest.raises(ValueError, match=r"Expected `layer`.*Received"):
        kh.WinnerClassifier(2, layer=keras.layers.Dense(2))


def test_votes_survive_files_and_clones(tmp_path):
    model = keras.Sequential([keras.Input((3,)), adapted(ACTIVATIONS, LABELS)])
    expected = scores_of(model, ACTIVATIONS)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = keras.Sequential([keras.Input((3,)), kh.WinnerClassifier(3)])
    fresh.load_weights(tmp_path / "model.weights.h5")
    for copy in (loaded, clone, fresh):
        np.testing.assert_array_equal(
            copy.predict(ACTIVATIONS, verbose=0), expected
        )
