"""What users write with annotations. mypy reads this file with the package."""

from collections.abc import Mapping
from typing import Any, assert_type

import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure

import keras_hebbian as kh

IMAGES = np.random.default_rng(0).random((20, 9), dtype="float32")

# mypy finds a name here only if the package exports it.
NAMES: Mapping[str, Any] = {
    "Convolution": kh.Convolution,
    "HebbianCompetitive": kh.HebbianCompetitive,
    "HebbianModel": kh.HebbianModel,
    "HebbianPCA": kh.HebbianPCA,
    "HebbianSequential": kh.HebbianSequential,
    "KernelLayer": kh.KernelLayer,
    "LateralInhibitionSparse": kh.LateralInhibitionSparse,
    "LearningMonitor": kh.LearningMonitor,
    "LinearRateDecay": kh.LinearRateDecay,
    "LocalLearningLayer": kh.LocalLearningLayer,
    "PowerLoss": kh.PowerLoss,
    "Rate": kh.Rate,
    "RectifiedPower": kh.RectifiedPower,
    "SKLearnTransformer": kh.SKLearnTransformer,
    "SelfOrganizingMap": kh.SelfOrganizingMap,
    "SkippedBatches": kh.SkippedBatches,
    "SoftHebb": kh.SoftHebb,
    "Triangle": kh.Triangle,
    "WeightVisualization": kh.WeightVisualization,
    "WinnerClassifier": kh.WinnerClassifier,
    "activations": kh.activations.triangle,
    "callbacks": kh.callbacks.LearningMonitor,
    "datasets": kh.datasets.load_data,
    "export": kh.export.export_learner,
    "export_learner": kh.export_learner,
    "fit_layerwise": kh.fit_layerwise,
    "layers": kh.layers.SoftHebb,
    "losses": kh.losses.PowerLoss,
    "models": kh.models.HebbianModel,
    "plotting": kh.plotting.plot_weights,
    "sum_over_replicas": kh.sum_over_replicas,
}


class Oja(kh.KernelLayer):
    """Oja's rule, which also counts the samples."""

    learning_rate = kh.Rate()
    state_names = ("kernel", "samples")
    needs_response = True

    def __init__(
        self, units: int, learning_rate: Any = 0.01, **kwargs: Any
    ) -> None:
        super().__init__(units, **kwargs)
        self.learning_rate = learning_rate

    def build_state(self, input_dim: int) -> None:
        super().build_state(input_dim)
        self.samples = self.add_state("samples", (), "zeros")

    def learn(
        self,
        inputs: Any,
        response: Any,
        state: dict[str, Any],
        rates: dict[str, Any],
    ) -> dict[str, Any]:
        error = inputs - response @ ops.transpose(state["kernel"])
        step = kh.sum_over_replicas(ops.transpose(error) @ response)
        samples = ops.cast(ops.shape(inputs)[0], self.state_dtype)
        return {
            "kernel": state["kernel"] + self.unit_rates(state, rates) * step,
            "samples": state["samples"] + samples,
        }


def test_every_public_name_is_exported_for_type_checkers() -> None:
    assert set(NAMES) == set(kh.__all__)


def test_a_model_with_a_rule_of_ones_own_fits_and_draws() -> None:
    layer = Oja(4)
    model = kh.HebbianSequential([keras.Input((9,)), layer])
    model.compile()
    model.fit(IMAGES, epochs=2, verbose=0)
    assert int(layer.samples) == 40
    figure = kh.plotting.plot_weights(ops.convert_to_numpy(layer.kernel))
    assert_type(figure, Figure)


def test_data_and_classes_have_types(tmp_path: Any) -> None:
    path = tmp_path / "images.npz"
    images = IMAGES.reshape(20, 3, 3)
    labels = np.zeros(20, "int32")
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    (train, _), _ = kh.datasets.load_data(path)
    assert_type(train, np.ndarray)
    assert train.shape == (20, 3, 3)
    assert_type(kh.SelfOrganizingMap((2, 3)).shape, tuple[int, ...])


def test_names_of_the_state_are_strings() -> None:
    names = kh.HebbianPCA(2, center=True).state_names
    assert_type(names, tuple[str, ...])
    assert set(names) - set(kh.HebbianPCA(2).state_names) == {"mean"}
