"""Learners for LiteRT."""

import pathlib
import re
from typing import Any

from keras_hebbian._arguments import Tensor
from keras_hebbian.export.learner import Learner


class LiteRTLearner(Learner):
    """A learner for LiteRT that uses only its built-in operations."""

    backends = ("tensorflow",)

    def start(self) -> list[Tensor]:
        import tensorflow as tf

        return [tf.constant(value) for value in self.initial]

    def checked(self, value: Tensor, spec: Any) -> Tensor:
        import tensorflow as tf

        # The runtime lets callers resize any argument. A sum of tensors of
        # different shapes is an error, and converters cannot tell that this
        # one is 0. The runtime adds no narrower numbers.
        wide = spec.dtype
        if wide.size < 4:
            wide = tf.int32 if wide.is_integer else tf.float32
        count = next(iter(self.counters.values()))
        zero = tf.cast(tf.minimum(count, 0), wide)
        total = tf.add_n([tf.cast(value, wide), tf.fill(spec.shape, zero)])
        return tf.cast(total, spec.dtype)

    def write(self, path: pathlib.Path) -> None:
        import tensorflow as tf

        folder = path.with_name("saved_model")
        signatures = self.save(folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(folder), signature_keys=signatures
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.experimental_enable_resource_variables = True
        try:
            content = converter.convert()
        except Exception as error:
            needed = re.search(r"(?:TF Select|Custom) ops: .*", str(error))
            reason = needed[0] if needed else str(error).partition("\n")[0]
            raise ValueError(
                "Expected layers that use only built-in operations of LiteRT. "
                f"Received: {self.model.name}, which needs {reason}"
            ) from error
        path.write_bytes(content)
