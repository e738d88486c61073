"""Several training steps as one program, and batches as rows of an array."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_hebbian._arguments import Tensor


class Rows(NamedTuple):
    """A batch as the indices of its rows in a whole array."""

    numbers: Tensor
    array: Tensor

    def take(self) -> Tensor:
        import tensorflow as tf

        return tf.gather(self.array, self.numbers)


def row_batches(array: np.ndarray, size: int, shuffle: bool) -> Any:
    """Batches of row indices on TensorFlow, epoch after epoch without an end.

    The steps themselves take the rows: a pipeline that slices each batch takes
    longer than short steps.
    """
    import tensorflow as tf

    count = len(array)
    whole = count // size * size

    def cut(seed: Tensor) -> Any:
        order = tf.range(count, dtype="int64")
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(order, [seed, 0])
        rows = tf.reshape(order[:whole], (-1, size))
        numbers = tf.data.Dataset.from_tensor_slices(rows)
        if whole < count:
            last = tf.data.Dataset.from_tensors(order[whole:])
            numbers = numbers.concatenate(last)
        return numbers

    # A new seed for each epoch, from that of `keras.utils.set_random_seed`.
    numbers = tf.data.Dataset.random().flat_map(cut)
    if array.dtype.kind == "f":
        array = tf.convert_to_tensor(array, keras.config.floatx())
    arrays = tf.data.Dataset.from_tensors(array).repeat()
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    batches = tf.data.Dataset.zip(Rows(numbers, arrays))
    return batches.with_options(options)


def jax_execution(step: Callable[..., Any], steps: int) -> Callable[..., Any]:
    """Compiles training steps, which Keras calls one by one, as one program.

    Returns:
        Function that takes the state and an iterator over batches, and returns
        the logs of the last step and the state. Batches of another shape, such
        as an incomplete last one, are compiled anew; fewer batches are not.
    """
    import jax

    most: dict[Any, int] = {}  # most batches of an execution, by shape

    def run(state: Any, batches: Any, count: int) -> tuple[Any, Any]:
        def batch(i: Any) -> Any:
            return jax.tree.map(lambda values: values[i], batches)

        logs, _ = jax.eval_shape(step, state, batch(0))
        logs = jax.tree.map(lambda x: jax.numpy.zeros(x.shape, x.dtype), logs)
        return jax.lax.fori_loop(
            0, count, lambda i, last: step(last[1], batch(i)), (logs, state)
        )

    run = jax.jit(run, donate_argnums=0)

    def stack(*batches: Any) -> Any:
        on_host = isinstance(batches[0], np.ndarray)
        return (np if on_host else jax.numpy).stack(batches)

    def shapes(batch: Any) -> tuple[tuple[int, ...], ...]:
        return tuple(values.shape for values in jax.tree.leaves(batch))

    def execution(state: Any, iterator: Iterator[Any]) -> tuple[Any, Any]:
        batches = _next(iterator, steps)
        for alike, count in _alike(batches, shapes, most):
            logs, state = run(state, jax.tree.map(stack, *alike), count)
        return logs, state

    return execution


def tensorflow_execution(
    step: Callable[[Rows], Any],
    steps: int,
    size: int,
    jit_compile: bool | str,
) -> Callable[[Iterator[Rows]], dict[str, Any]]:
    """Makes training steps, which Keras calls one by one, one program.

    With `jit_compile="auto"` it is compiled with XLA, unless that fails, which
    it does before anything is computed.

    Returns:
        Function that takes an iterator over the rows of several batches of a
        size, and returns no logs. An incomplete last batch is compiled anew;
        fewer batches are not.
    """
    import tensorflow as tf

    def loop(numbers: Tensor, array: Tensor, count: Tensor, size: int) -> None:
        def body(i: Tensor) -> tuple[Tensor]:
            step(Rows(tf.slice(numbers, [i * size], [size]), array))
            return (i + 1,)

        start = (tf.constant(0),)
        tf.while_loop(lambda i: i < count, body, start, parallel_iterations=1)

    program = functools.partial(tf.function, loop, autograph=False)
    programs = [program(jit_compile=bool(jit_compile))]
    if jit_compile == "auto":
        programs.append(program(jit_compile=False))

    def run(*arguments: Any) -> None:
        try:
            programs[0](*arguments)
        except tf.errors.OpError:
            if len(programs) == 1:
                raise
            del programs[0]
            run(*arguments)

    all_steps = tf.constant(steps)

    def execution(iterator: Iterator[Rows]) -> dict[str, Any]:
        numbers, array = next(iterator)
        count, rest = divmod(numbers.shape[0], size)
        last = count * size
        if count == steps:
            run(numbers, array, all_steps, size)
        elif count:
            padded = tf.pad(numbers[:last], [[0, steps * size - last]])
            run(padded, array, tf.constant(count), size)
        if rest:
            run(numbers[last:], array, tf.constant(1), rest)
        return {}

    return execution


def _next(iterator: Iterator[Any], count: int) -> list[Any]:
    """The next batches, at most `count`, at least one."""
    batches = list(itertools.islice(iterator, count))
    if not batches:
        raise StopIteration
    return batches


def _alike(
    batches: list[Any], shape_of: Callable[[Any], Any], most: dict[Any, int]
) -> Iterator[tuple[list[Any], int]]:
    """Groups of batches of the same shape, with the number of batches in each.

    A group is padded to the largest one of its shape so far, kept in `most`, so
    that its program need not be compiled again.
    """
    for shape, group in itertools.groupby(batches, shape_of):
        alike = list(group)
        count = len(alike)
        most[shape] = max(count, most.get(shape, 0))
        yield alike + alike[-1:] * (most[shape] - count), count
