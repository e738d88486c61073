"""Competing units and the readout of the paper, together in Keras models."""

import keras
import numpy as np

import keras_hebbian as kh


def units(**arguments):
    return kh.HebbianCompetitive(40, p=3, k=3, learning_rate=0.04, **arguments)


def model_of(layer):
    return keras.Sequential(
        [
            keras.Input((64,)),
            layer,
            keras.layers.RMSNormalization(trainable=False),
            kh.RectifiedPower(4.5),
            keras.layers.Dense(
                10, activation="tanh", kernel_initializer="zeros"
            ),
        ]
    )


def fit(model, digits, labels, epochs):
    model.compile(
        keras.optimizers.Adam(3e-3),
        loss=kh.PowerLoss(6, from_indices=True),
        metrics=["accuracy"],
    )
    return model.fit(
        digits, labels, batch_size=50, epochs=epochs, shuffle=False, verbose=0
    )


def test_the_rule_does_not_see_the_readout(digits, digit_labels):
    start = keras.initializers.RandomNormal(0, 1, seed=3)
    joint, alone = units(kernel_initializer=start), units()
    fit(model_of(joint), digits, digit_labels, epochs=2)
    model = kh.HebbianSequential([keras.Input((64,)), alone])
    alone.kernel.assign(start((64, 40)))
    model.compile()
    model.fit(digits, batch_size=50, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(
        joint.get_weights()[0], alone.get_weights()[0], rtol=1e-4, atol=1e-5
    )


def test_frozen_units_are_read_out_and_left_alone(digits, digit_labels):
    layer = units(trainable=False)
    model = model_of(layer)
    before = layer.get_weights()
    history = fit(model, digits, digit_labels, epochs=10).history
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    # Random units and a trained readout: far above the 10 % of chance.
    assert history["accuracy"][-1] > 0.6
    assert history["loss"][-1] < history["loss"][0]


def test_labels_are_read_in_every_form(digits, digit_labels):
    hot = np.eye(10)[digit_labels]
    scores = []
    for labels, from_indices in (
        (digit_labels, True),
        (hot, False),
        (2 * hot - 1, False),
    ):
        keras.utils.set_random_seed(1)
        model = model_of(units(trainable=False))
        model.compile(
            keras.optimizers.SGD(0.01),
            loss=kh.PowerLoss(6, from_indices=from_indices),
            metrics=["accuracy"],
        )
        model.fit(digits, labels, shuffle=False, verbose=0)
        scores.append(model.evaluate(digits, labels, verbose=0))
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-5)
    np.testing.assert_allclose(scores[2], scores[0], rtol=1e-5)
