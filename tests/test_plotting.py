import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from keras_hebbian.plotting import plot_weights


def mosaic_of(figure):
    return figure.axes[0].images[0]


def test_every_tile_is_the_image_of_a_unit():
    kernel = np.arange(12.0).reshape(4, 3) - 5
    mosaic = mosaic_of(plot_weights(kernel)).get_array()
    assert mosaic.shape == (5, 5)  # 2 x 2 tiles of 2 x 2, one pixel apart
    np.testing.assert_array_equal(mosaic[:2, :2].ravel(), kernel[:, 0])
    np.testing.assert_array_equal(mosaic[:2, 3:].ravel(), kernel[:, 1])
    np.testing.assert_array_equal(mosaic[3:, :2].ravel(), kernel[:, 2])
    assert np.ma.getmaskarray(mosaic)[2].all()
    assert np.ma.getmaskarray(mosaic)[3:, 3:].all()


def test_signed_weights_are_symmetric_about_white():
    drawn = mosaic_of(plot_weights(np.array([[-3.0, 1], [0, 1]] * 2)))
    assert drawn.get_clim() == (-3, 3)
    red, _, blue, _ = drawn.to_rgba(-3.0)
    assert blue > red
    np.testing.assert_allclose(drawn.to_rgba(0.0)[:3], 0.97, atol=0.01)


def test_weights_without_a_sign_start_at_white():
    drawn = mosaic_of(plot_weights(np.array([[3.0, 1], [0.5, 1]] * 2)))
    assert drawn.get_clim() == (0, 3)
    np.testing.assert_allclose(drawn.to_rgba(0.0), 1)


def test_image_shape():
    figure = plot_weights(np.ones((6, 1)), image_shape=(2, 3))
    assert mosaic_of(figure).get_array().shape == (2, 3)


@pytest.mark.parametrize(
    ("kernel", "image_shape", "message"),
    [
        (np.ones((6, 2)), None, "6 pixels"),
        (np.ones((6, 2)), (2, 2), "6 pixels"),
        (np.ones(4), None, "a kernel"),
    ],
)
def test_what_does_not_fit_is_refused(kernel, image_shape, message):
    with pytest.raises(ValueError, match=f"Expected .*{message}.*Received"):
        plot_weights(kernel, image_shape)


def test_figures_draw_without_pyplot():
    pyplot = sys.modules.pop("matplotlib.pyplot", None)
    try:
        FigureCanvasAgg(plot_weights(np.zeros((4, 2)))).draw()
        assert "matplotlib.pyplot" not in sys.modules
    finally:
        if pyplot:
            sys.modules["matplotlib.pyplot"] = pyplot
