import inspect
import subprocess
import sys

import keras

import keras_hebbian as kh

CLASSES = [value for value in vars(kh).values() if inspect.isclass(value)]


def test_every_public_name_is_in_its_own_module_too():
    modules = (kh.layers, kh.losses, kh.models, kh.callbacks, kh.sklearn)
    for public in CLASSES:
        (home,) = [
            m for m in modules if public.__module__.startswith(m.__name__)
        ]
        assert getattr(home, public.__name__) is public
    assert set(kh.__all__) <= set(vars(kh))
    assert {value.__name__ for value in CLASSES} <= set(kh.__all__)


def test_layers_are_registered_under_the_package():
    for public in CLASSES:
        if issubclass(public, keras.Layer) and public not in (
            kh.LocalLearningLayer,
            kh.KernelLayer,
        ):
            name = keras.saving.get_registered_name(public)
            assert name == f"keras_hebbian>{public.__name__}"


def test_import_leaves_the_dtype_of_keras_open_and_loads_no_other_backend():
    code = (
        "import sys, keras; before = set(sys.modules); import keras_hebbian;"
        "keras.config.set_floatx('float64');"
        "print(keras.config.dtype_policy().name);"
        "new = set(sys.modules) - before;"
        "print(*({'tensorflow', 'jax', 'torch'} & new))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout.split() == ["float64"]
