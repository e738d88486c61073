"""Learners for TensorFlow."""

import pathlib
import re

import keras

from keras_hebbian._arguments import Tensor
from keras_hebbian.export.learner import Learner


class SavedModelLearner(Learner):
    """A learner for TensorFlow, with each weight stored once."""

    backends = ("tensorflow", "jax")

    def start(self) -> list[Tensor]:
        import tensorflow as tf

        # An asset knows its own path, even if the folder was moved.
        home = tf.strings.regex_replace(
            self.asset.asset_path, r"assets[/\\][^/\\]*$", ""
        )
        count = len(self.state)
        return tf.raw_ops.RestoreV2(
            prefix=home + "variables/variables",
            tensor_names=[
                f"state/{place}/.ATTRIBUTES/VARIABLE_VALUE"
                for place in range(count)
            ],
            shape_and_slices=[""] * count,
            dtypes=[variable.dtype for variable in self.state],
        )

    def write(self, path: pathlib.Path) -> None:
        import tensorflow as tf

        mark = path.with_name("start")
        mark.touch()
        self.asset = tf.saved_model.Asset(str(mark))
        self.save(path, asset=self.asset)
        if keras.backend.backend() == "jax":
            self._try(path)

    def _try(self, path: pathlib.Path) -> None:
        """Rejects an export from JAX that TensorFlow cannot read."""
        import tensorflow as tf

        batch = tf.zeros(
            [size or 16 for size in self.spec.shape], self.spec.dtype
        )
        try:
            learner = tf.saved_model.load(str(path))
            learner.learn(batch)
            learner.infer(batch)
        except tf.errors.OpError as error:
            reason = re.search("error: .*", error.message)
            raise ValueError(
                "Expected layers whose operations TensorFlow can read from "
                "JAX: save the model in a `.keras` file, load it on the "
                "TensorFlow backend and export it there. "
                f"Received: {reason[0] if reason else error.message}"
            ) from error
