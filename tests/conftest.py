import inspect
import os
import tempfile

import keras
import numpy as np
import pytest
from hypothesis import settings

import keras_hebbian as kh

if "MUTANT_UNDER_TEST" in os.environ:
    # mutmut wraps each method; Keras reads the arguments of what it finds.
    arguments_of = inspect.getfullargspec
    inspect.getfullargspec = lambda f: arguments_of(inspect.unwrap(f))

collect_ignore = ["benchmarks"]  # programs, which find their own modules

# The first call of anything compiles it; every run draws the same examples.
settings.register_profile("keras", deadline=None, derandomize=True)
settings.load_profile("keras")


def pytest_configure(config):
    """Workers take one core each, and do not wait for one another's threads.

    On JAX, what one test compiled the next ones find: Keras traces each model
    anew, and many are alike.
    """
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    if keras.backend.backend() == "jax":
        import jax

        folder = tempfile.TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        jax.config.update("jax_compilation_cache_dir", folder.name)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(7)


@pytest.fixture
def float64():
    """Everything that Keras makes is float64, on every backend."""
    on_jax = keras.backend.backend() == "jax"
    if on_jax:
        import jax

        jax.config.update("jax_enable_x64", True)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    if on_jax:
        jax.config.update("jax_enable_x64", False)


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """1437 scanned digits as flat images in [0, 1]."""
    (images, _), _ = kh.datasets.load_data("digits")
    return images.reshape(len(images), -1)


@pytest.fixture(scope="session")
def digit_labels() -> np.ndarray:
    (_, labels), _ = kh.datasets.load_data("digits")
    return labels
