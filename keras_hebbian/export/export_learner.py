"""Exports of models that keep learning."""

import os
import pathlib
import tempfile

import keras

from keras_hebbian._arguments import check_choice, check_integer, require
from keras_hebbian.export.litert import LiteRTLearner
from keras_hebbian.export.saved_model import SavedModelLearner
from keras_hebbian.layers.local_layers import local_layers

FORMATS = {"tf_saved_model": SavedModelLearner, "litert": LiteRTLearner}


def export_learner(
    model: keras.Model,
    path: str | os.PathLike[str],
    batch_size: int | None = None,
    format: str = "tf_saved_model",
) -> None:
    """Exports a model that predicts and keeps learning without Keras.

    The export runs in TensorFlow or LiteRT alone, in a process without Keras or
    this package. One step of its `learn` equals one call of the model with
    `training=True`: the local layers learn by their rules, `BatchNormalization`
    updates its statistics, and all other weights do not change. A batch is
    skipped, and counted by every local layer, if it or a new weight contains
    NaN or infinite values.

    | signature | takes | returns |
    |---|---|---|
    | `infer` | `inputs` | `outputs`, or each output by its name |
    | `learn` | `inputs` | counters |
    | `get_weights` | nothing | all weights, rates and counters, by name |
    | `set_weights` | output of `get_weights` | counters |
    | `set_rates` | all rates that are numbers, by name | counters |
    | `reset` | nothing | counters |

    The counters of a local layer are `learned` and `skipped`, the numbers of
    batches since the layer was built. `set_rates` takes the rates by their
    names in the layer, such as `learning_rate`; it does not exist if there are
    none. With several local layers, the names of counters and rates start with
    the name of the layer. `reset` restores the exported weights, from which
    both runtimes also start.

    A SavedModel can be saved again with `tf.saved_model.save`, and then starts
    from its learned weights. Its `reset` reads the weights from its folder. A
    LiteRT file does not change while it learns: to keep what it learned, save
    the output of `get_weights`.

    Example:

    >>> import keras
    >>> import keras_hebbian as kh
    >>> model = kh.HebbianSequential(
    ...     [keras.Input((6,)), kh.HebbianCompetitive(4)]
    ... )
    >>> kh.export_learner(model, "learner")  # doctest: +SKIP

    Args:
        model: Sequential or functional model with one input and at least one
            local layer that is `trainable`. It is not changed.
        path: Folder of the SavedModel, or LiteRT file, to write. An earlier
            export is replaced once the new one is complete, a folder with
            everything in it.
        batch_size: Integer >= 1, number of samples in every batch. Defaults to
            `None`, batches of any size, which LiteRT does not support.
        format: `"tf_saved_model"`, on the TensorFlow and JAX backends, or
            `"litert"`, on the TensorFlow backend. Both need TensorFlow.
            Defaults to `"tf_saved_model"`.

    Raises:
        ValueError: If an argument is out of range, if the backend cannot write
            the format, if the model has not been built, does not have one
            input, was compiled with a loss or has no local layer that learns,
            or if one of its layers cannot be converted.
        OSError: If `path` cannot be written, or exists and is not an earlier
            export.
        ImportError: If TensorFlow is not installed.
    """
    check_choice("format", format, tuple(FORMATS))
    kind = FORMATS[format]
    backend = keras.backend.backend()
    if backend not in kind.backends:
        raise ValueError(
            f"Expected the backend {' or '.join(kind.backends)} for format="
            f"{format!r}: save the model in a `.keras` file and load it there. "
            f"Received: the backend {backend}"
        )
    require("tensorflow", "the export of learners")
    _check_model(model)
    spec = _input_spec(model, batch_size, fixed=format == "litert")
    path = pathlib.Path(path)
    _check_place(path, is_folder=format == "tf_saved_model")
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        written = pathlib.Path(folder, "written")
        kind(model, spec).write(written)
        if path.is_dir():  # a folder cannot replace another
            path.replace(written.with_name("replaced"))
        written.replace(path)


def _check_model(model: keras.Model) -> None:
    """Rejects a model that cannot be exported as a learner."""
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(
            "Expected a model that has been built. Received: "
            f"{getattr(model, 'name', model)}"
        )
    if model.compiled and model.loss is not None:
        raise ValueError(
            "Expected a model without a loss, which a learner cannot minimize: "
            "compile it without one. "
            f"Received: loss={model.loss!r}"
        )
    if not any(layer.trainable for layer in local_layers(model)):
        raise ValueError(
            "Expected a model with a local layer that is `trainable`. "
            f"Received: {model.name} without one"
        )


def _input_spec(
    model: keras.Model, batch_size: int | None, fixed: bool
) -> keras.InputSpec:
    """Shape and dtype of the batches, as an `InputSpec`."""
    inputs = getattr(model, "inputs", None)
    if inputs is None or len(inputs) != 1:
        raise ValueError(
            "Expected a Sequential or functional model with one input. "
            f"Received: {model.name} with "
            f"{'none' if inputs is None else len(inputs)}"
        )
    batch, *sizes = inputs[0].shape
    if batch_size is not None:
        batch = check_integer("batch_size", batch_size, minimum=1)
    if fixed and None in (batch, *sizes):
        raise ValueError(
            "Expected `batch_size`, and inputs of a known shape, for "
            f"format='litert'. Received: batch_size={batch_size} and inputs of "
            f"shape {inputs[0].shape}"
        )
    return keras.InputSpec(shape=(batch, *sizes), dtype=inputs[0].dtype)


def _check_place(path: pathlib.Path, is_folder: bool) -> None:
    """Refuses to replace anything but an earlier export."""
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"Expected the folder of `path` to exist. Received: {path}"
        )
    if not path.exists():
        return
    if is_folder:
        earlier = (path / "saved_model.pb").exists()
    else:
        earlier = path.is_file() and path.read_bytes()[4:8] == b"TFL3"
    if not earlier:
        raise FileExistsError(
            "Expected `path` to be free, or an earlier export. "
            f"Received: {path}"
        )
