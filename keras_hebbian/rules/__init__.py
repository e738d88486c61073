"""Pure learning rules: tensors in, tensors out, on `keras.ops`."""
