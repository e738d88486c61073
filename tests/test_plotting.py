import itertools
import sys

import keras
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from keras_hebbian.plotting import (
    fit_image_shape,
    plot_component_planes,
    plot_convergence,
    plot_history,
    plot_hits,
    plot_inhibition,
    plot_u_matrix,
    plot_weights,
)
from keras_hebbian.plotting.weights import choose_units

GAP = [224, 224, 224]


def pixels(figure):
    """The drawn mosaic as a reader sees it, `(height, width, 3)`."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    box = figure.axes[0].get_window_extent()
    top = len(drawn) - round(box.y1)
    left = round(box.x0)
    return drawn[top : top + round(box.height), left : left + round(box.width)]


def ticks(figure):
    return figure.axes[1].get_yticks().tolist()


def drawn_units(**arguments):
    """Which of ten units are drawn, in their order."""
    figure = plot_weights(np.eye(9, 10), labels=range(10), **arguments)
    return [int(text.get_text()) for text in figure.axes[0].texts]


def test_every_tile_is_the_image_of_a_unit():
    kernel = np.array([[1.0, 0, 1], [0, 1, 1], [0, 1, 0], [1, 0, 1]])
    drawn = pixels(plot_weights(kernel, rows=2, side=1))
    black = (drawn < 100).all(axis=-1)
    np.testing.assert_array_equal(black[:2, :2].ravel(), kernel[:, 0])
    np.testing.assert_array_equal(black[:2, 3:].ravel(), kernel[:, 1])
    np.testing.assert_array_equal(black[3:, :2].ravel(), kernel[:, 2])
    assert (drawn[2, :2] == GAP).all()
    assert (drawn[:, 2][:2] == GAP).all()
    assert (drawn[3:, 3:] == 255).all()  # no unit


def test_signed_weights_are_symmetric_about_white():
    kernel = np.array([[-3.0], [0], [1], [np.nan]])
    figure = plot_weights(kernel, side=1)
    blue, white, red, none = pixels(figure).reshape(4, 3)
    assert blue[2] > blue[0]
    assert red[0] > red[2]
    np.testing.assert_allclose(white, 247, atol=2)  # the middle of RdBu
    assert none.tolist() == GAP
    assert ticks(figure) == [-3, 0, 3]


@pytest.mark.parametrize("rounded", [0, -1e-28, -3 / 520])
def test_weights_without_a_sign_start_at_white(rounded):
    figure = plot_weights(np.array([[3.0], [rounded], [1], [2]]), side=1)
    greys = pixels(figure).reshape(4, 3)
    assert (np.ptp(greys, axis=1) <= 1).all()
    assert greys[1, 0] == 255
    assert greys[0, 0] < greys[3, 0] < greys[2, 0] < 255
    assert ticks(figure) == [0, 3]


def test_colours_are_scaled_over_all_tiles():
    kernel = np.linspace(-2, 3, 24, dtype="float32").reshape(12, 2)
    drawn = pixels(plot_weights(kernel, side=1))
    expected = (kernel + 2) / 5 * 255
    np.testing.assert_allclose(
        drawn[:, :2].ravel(), expected[:, 0].round(), atol=1
    )
    np.testing.assert_allclose(
        drawn[:, 3:].ravel(), expected[:, 1].round(), atol=1
    )
    assert ticks(plot_weights(kernel)) == [-2, 0, 3]


@pytest.mark.parametrize(
    ("inputs", "given", "expected"),
    [
        (784, None, (28, 28)),
        (3072, None, (32, 32, 3)),
        (36, None, (6, 6)),
        (27, None, (3, 3, 3)),
        (6, (2, 3), (2, 3)),
        (6, [3, 2, 1], (3, 2)),
        (18, (2, 3, 3), (2, 3, 3)),
    ],
)
def test_image_shapes(inputs, given, expected):
    assert fit_image_shape(inputs, given) == expected


def test_choice_of_units():
    assert drawn_units() == list(range(10))
    assert drawn_units(units=2) == [0, 1]
    assert drawn_units(units=[7, 0, 7]) == [7, 0, 7]
    assert drawn_units(rows=2, columns=2) == [0, 1, 2, 3]
    assert drawn_units(rows=20, columns=1) == list(range(10))
    wins = np.array([0, 5, 0, 0, 9, 0, 0, 0, 0, 1])
    assert drawn_units(units=3, wins=wins) == [4, 1, 9]


def test_random_units_follow_the_seed():
    chosen = [tuple(drawn_units(units=4, seed=seed)) for seed in range(5)]
    assert chosen[0] == tuple(drawn_units(units=4, seed=0))
    assert len(set(chosen)) > 1
    assert all(len(set(units)) == 4 for units in chosen)


def test_a_weight_is_a_whole_number_of_pixels():
    kernel = np.random.default_rng(0).normal(size=(9, 1))
    small, large = (pixels(plot_weights(kernel, side=side)) for side in (1, 32))
    assert small.shape == (3, 3, 3)
    np.testing.assert_array_equal(large, np.kron(small, np.ones((11, 11, 1))))


def test_labels_stand_under_their_tiles():
    figure = plot_weights(np.eye(4), units=[3, 1], labels=list("abcd"))
    axes = figure.axes[0]
    d, b = axes.texts
    assert (d.get_text(), b.get_text()) == ("d", "b")
    drawn = pixels(figure)
    for text, quarter in ((d, 1), (b, 3)):
        middle = drawn.shape[1] * quarter / 4
        assert text.get_position()[0] == pytest.approx(middle, abs=50)
        box = text.get_window_extent()
        assert axes.bbox.y0 < box.y0 < box.y1 < axes.bbox.y0 + 30


@pytest.mark.parametrize(
    ("kernel", "arguments", "message"),
    [
        (np.ones((6, 2)), {}, "6 values"),
        (np.ones((6, 2)), {"image_shape": (2, 2)}, "6 values"),
        (np.ones((8, 2)), {"image_shape": (2, 2, 2)}, "8 values"),
        (np.ones(4), {}, "a kernel"),
        (np.ones((4, 0)), {}, "a kernel"),
        (np.ones((4, 3)), {"units": 4}, "between 1 and 3"),
        (np.ones((4, 3)), {"units": 0}, "between 1 and 3"),
        (np.ones((4, 3)), {"units": [0, 3]}, "between 0 and 2"),
        (np.ones((4, 3)), {"units": [0.5]}, "between 0 and 2"),
        (np.ones((4, 3)), {"wins": [1, 2]}, "each of 3 units"),
        (np.ones((4, 3)), {"seed": 0, "wins": [1, 2, 3]}, "one of `wins`"),
        (np.ones((4, 3)), {"labels": [1]}, "each of 3 units"),
        (np.ones((4, 3)), {"units": 3, "rows": 1, "columns": 2}, "room for 3"),
        (np.ones((4, 3)), {"rows": 0}, "`rows` to be an integer >= 1"),
    ],
)
def test_what_does_not_fit_is_refused(kernel, arguments, message):
    with pytest.raises(ValueError, match=f"Expected .*{message}.*Received"):
        plot_weights(kernel, **arguments)


def test_units_of_a_class_stand_together():
    inhibition = np.arange(16.0).reshape(4, 4)
    figure = plot_inhibition(inhibition, classes=[7, 3, 7, 3])
    axes = figure.axes[0]
    order = [1, 3, 0, 2]
    np.testing.assert_array_equal(
        axes.images[0].get_array(), inhibition[np.ix_(order, order)]
    )
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["3", "7"]
    assert axes.get_xticks().tolist() == [0.5, 2.5]


def test_units_with_like_inhibition_stand_together():
    groups = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 5))
    inhibition = -(groups[:, None] == groups).astype(float)
    drawn = plot_inhibition(inhibition).axes[0].images[0]
    blocks = np.kron(np.eye(3), np.ones((5, 5)))
    np.testing.assert_array_equal(-drawn.get_array(), blocks)
    assert drawn.get_clim() == (-1, 1)


def test_convergence():
    norms = np.array([[3.0, 1.05, 0.5, 2.0], [1.0, 1.05, 0.85, 1.2]])
    upper, lower = plot_convergence(norms).axes
    (median,) = upper.lines
    np.testing.assert_allclose(median.get_ydata(), [1.525, 1.025])
    np.testing.assert_allclose(lower.lines[0].get_ydata(), [0.25, 0.5])
    (wide,) = plot_convergence(norms, within=0.25).axes[1].lines
    np.testing.assert_allclose(wide.get_ydata(), [0.25, 1.0])


def history(**curves):
    """What `fit` returns."""
    found = keras.callbacks.History()
    found.history = curves
    return found


def test_histories_of_several_models():
    ours = {"accuracy": [0.5, 0.7], "val_accuracy": [0.4, 0.6], "loss": [2, 1]}
    theirs = history(accuracy=[0.3], loss=[5.0])
    figure = plot_history({"ours": ours, "theirs": theirs})
    accuracy, loss = figure.axes
    assert [line.get_label() for line in accuracy.lines] == [
        "ours, training",
        "ours, validation",
        "theirs, training",
    ]
    assert accuracy.lines[1].get_xydata().tolist() == [[1, 0.4], [2, 0.6]]
    assert accuracy.lines[0].get_color() == loss.lines[0].get_color()
    assert accuracy.lines[0].get_color() != accuracy.lines[2].get_color()
    assert accuracy.lines[0].get_linestyle() == "--"
    (alone,) = plot_history(theirs, metrics=["loss"]).axes
    assert [line.get_label() for line in alone.lines] == ["training"]
    # A line of one value needs a marker to be seen.
    markers = [line.get_marker() for line in accuracy.lines]
    assert markers == ["None", "None", "o"]


def boxes(artists):
    """Where texts or axes are drawn, without those that are not."""
    found = (artist.get_window_extent() for artist in artists)
    return [box for box in found if box.width and box.height]


def overlap(some):
    return any(a.overlaps(b) for a, b in itertools.combinations(some, 2))


NAMES = ["units first, then the readout", "random units and the readout", "all"]


@pytest.mark.parametrize("metrics", [["loss"], ["loss", "change", "dead"]])
@pytest.mark.parametrize("epochs", [1, 2, 60])
def test_a_legend_covers_nothing_and_epochs_are_whole(metrics, epochs):
    keys = [*metrics, *(f"val_{name}" for name in metrics)]
    curves = {key: np.linspace(1, 2, epochs) for key in keys}
    figure = plot_history(dict.fromkeys(NAMES, curves), metrics)
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 2 * len(NAMES)
    assert not overlap(boxes([legend, *figure.axes]))
    low, high = legend.get_window_extent().get_points()
    assert (low >= 0).all()
    assert (high <= figure.bbox.max).all()
    for axes in figure.axes:
        assert not overlap(boxes(axes.get_xticklabels()))
        shown = [tick for tick in axes.get_xticks() if 1 <= tick <= epochs]
        assert shown
        np.testing.assert_array_equal(shown, np.round(shown))


@pytest.mark.parametrize("largest", [1.0, 1.3, 3.0, 12.0, 1e3, 1e5])
def test_ticks_of_the_norms_do_not_overlap(largest):
    norms = np.geomspace(largest, 1, 5)[:, None] * [0.95, 1.0]
    figure = plot_convergence(norms)
    FigureCanvasAgg(figure).draw()
    upper, lower = figure.axes
    assert not overlap(boxes([*figure.legends, upper, lower]))
    labels = upper.get_yticklabels() + upper.get_yticklabels(minor=True)
    bottom, top = upper.bbox.intervaly
    within = [box for box in boxes(labels) if bottom < box.y0 and box.y1 < top]
    assert len(within) >= 2
    assert not overlap(within)


@pytest.mark.parametrize(
    ("plot", "values"),
    [
        (plot_inhibition, np.ones((3, 4))),
        (plot_inhibition, np.ones((1, 1))),
        (plot_convergence, np.ones(3)),
        (lambda x: plot_inhibition(np.eye(3), x), [1, 2]),
        (lambda x: plot_history(x, ["auc"]), {"a": {"loss": [1]}}),
        (lambda x: plot_history(x, ["auc"]), {"a": history(loss=[1])}),
        (lambda x: plot_history(x, ["auc"]), history(loss=[1])),
        (lambda x: plot_history(x, ["loss"]), [history(loss=[1])]),
        (lambda x: plot_history(x, ["loss"]), {"a": [history(loss=[1])]}),
        (lambda x: plot_history(x, ["loss"]), None),
    ],
)
def test_what_cannot_be_drawn_is_refused(plot, values):
    with pytest.raises(ValueError, match=r"Expected .*Received"):
        plot(values)


@pytest.mark.parametrize(
    "figure",
    [
        plot_weights(np.eye(4)),
        plot_inhibition(np.eye(4)),
        plot_convergence(np.ones((2, 3))),
        plot_history({"loss": [1, 2]}, ["loss"]),
    ],
)
def test_figures_are_opaque_white(figure, tmp_path):
    figure.savefig(tmp_path / "figure.png")
    keras_image = keras.utils.load_img(
        tmp_path / "figure.png", color_mode="rgba"
    )
    corner = np.asarray(keras_image)[0, 0]
    assert corner.tolist() == [255] * 4


def test_figures_draw_without_pyplot(tmp_path):
    pyplot = sys.modules.pop("matplotlib.pyplot", None)  # Keras imports it
    try:
        plot_weights(np.eye(4)).savefig(tmp_path / "a.png")
        plot_inhibition(np.eye(4)).savefig(tmp_path / "b.png")
        plot_convergence(np.eye(4)).savefig(tmp_path / "c.pdf")
        plot_history({"loss": [1]}, ["loss"]).savefig(tmp_path / "d.svg")
        assert "matplotlib.pyplot" not in sys.modules
    finally:
        if pyplot:
            sys.modules["matplotlib.pyplot"] = pyplot


def cells(figure, panel=0):
    """Of each unit of a map: centre, area, value, and colour."""
    drawn = figure.axes[panel].collections[-1]
    corners = [path.vertices[:-1] for path in drawn.get_paths()]
    centers = np.array([each.mean(axis=0) for each in corners])
    areas = []
    for x, y in (each.T for each in corners):
        doubled = x @ np.roll(y, -1) - y @ np.roll(x, -1)
        areas.append(abs(doubled) / 2)
    return centers, np.array(areas), drawn.get_array(), drawn.get_facecolor()


def test_u_matrix_shows_the_mean_distance_of_neighbours():
    # Neighbours differ by 1 in the first two rows, the third is 10 away.
    kernel = np.array([[0.0, 1, 2, 1, 2, 3, 12, 12, 12]])
    figure = plot_u_matrix(kernel, (3, 3))
    centers, _, values, _ = cells(figure)
    np.testing.assert_allclose(values[[0, 1, 7, 8]], [4 / 3, 1, 6, 19 / 3])
    np.testing.assert_allclose(
        centers, [(j, i) for i in range(3) for j in range(3)], atol=1e-9
    )
    top, bottom = figure.axes[0].get_ylim()[::-1]
    assert top < bottom  # row 0 is at the top
    # On a torus the first row has the third as its neighbour.
    _, _, values, _ = cells(plot_u_matrix(kernel, (3, 3), toroidal=True))
    assert values[0] == pytest.approx((1 + 2 + 1 + 2 + 3 + 3 * 12) / 8)


def test_hexagons_touch_their_six_neighbours():
    figure = plot_u_matrix(np.eye(2, 20), (4, 5), "hexagonal")
    centers, areas, _, _ = cells(figure)
    np.testing.assert_allclose(areas, np.sqrt(3) / 2)  # of width 1
    apart = np.linalg.norm(centers[:, None] - centers, axis=-1)
    closest = np.sort(apart, axis=1)[:, 1]
    np.testing.assert_allclose(closest, 1)
    assert np.isclose(apart, 1).sum(axis=1).max() == 6


def test_component_planes_show_the_weights_of_an_input():
    kernel = np.arange(12.0).reshape(2, 6) - 3
    figure = plot_component_planes(
        kernel, (2, 3), labels=["low", "high"], title="two"
    )
    low, high = (axes for axes in figure.axes if axes.get_title())
    assert (low.get_title(), high.get_title()) == ("low", "high")
    for axes, weights in ((low, kernel[0]), (high, kernel[1])):
        np.testing.assert_array_equal(axes.collections[0].get_array(), weights)
    assert low.collections[0].get_clim() == (-3, 3)
    assert high.collections[0].get_clim() == (0, 8)


def test_of_many_inputs_those_that_vary_most_are_planes():
    kernel = np.zeros((50, 6))
    kernel[np.arange(10, 30), 0] = 1
    figure = plot_component_planes(kernel, 6)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [f"input {index}" for index in range(10, 30)]
    figure = plot_component_planes(kernel, 6, inputs=[7, 3])
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["input 7", "input 3"]


@pytest.mark.parametrize("topology", ["rectangular", "hexagonal"])
def test_hits_are_areas_and_classes_are_names(topology):
    winners = [0, 0, 0, 0, 2, 5, 5]
    classes = ["a", "a", "b", "a", "b", "c", "c"]
    figure = plot_hits(winners, (2, 3), classes, topology)
    centers, areas, _, colors = cells(figure)
    shares = areas / areas.max()
    np.testing.assert_allclose(shares, [1, 0, 0.25, 0, 0, 0.5], atol=1e-9)
    texts = figure.axes[0].texts
    assert [text.get_text() for text in texts] == ["a", "b", "c"]
    for text, unit in zip(texts, (0, 2, 5), strict=True):
        np.testing.assert_allclose(
            text.get_position(), centers[unit], atol=1e-9
        )
    assert len({tuple(colors[unit]) for unit in (0, 2, 5)}) == 3
    assert not plot_hits(winners, 6).axes[0].texts


@pytest.mark.parametrize(
    ("draw", "arguments", "message"),
    [
        (plot_u_matrix, (np.ones((2, 5)), (2, 3)), "2, 3"),
        (plot_u_matrix, (np.ones(6), 6), "a kernel"),
        (plot_u_matrix, (np.ones((2, 6)), (2, 3), "round"), "topology"),
        (plot_component_planes, (np.ones((2, 6)), 6, 3), "`inputs` between"),
        (plot_component_planes, (np.ones((2, 6)), 6, [2]), "`inputs` to be"),
        (plot_component_planes, (np.ones((2, 6)), 6, 2, ["a"]), "a label"),
        (plot_hits, ([0, 6], (2, 3)), "between 0 and 5"),
        (plot_hits, ([0.0, 1.0], (2, 3)), "an integer"),
        (plot_hits, ([], (2, 3)), "winners"),
        (plot_hits, ([0, 1], (2, 3), ["a"]), "a class"),
    ],
)
def test_maps_that_do_not_fit_are_refused(draw, arguments, message):
    with pytest.raises(ValueError, match=f"Expected .*{message}.*Received"):
        draw(*arguments)


def test_classes_may_be_a_column():
    """As the labels of CIFAR-10 in Keras are."""
    winners = np.repeat([0, 1, 2], [5, 3, 2])
    drawn = [
        plot_hits(winners, (1, 3), classes=classes)
        for classes in (winners, winners[:, None])
    ]
    for figure in drawn:
        written = [text.get_text() for text in figure.axes[0].texts]
        assert written == ["0", "1", "2"]
    plot_inhibition(np.eye(3), classes=np.arange(3)[:, None])
    with pytest.raises(ValueError, match="Expected a class for each of 10"):
        plot_hits(winners, (1, 3), classes=np.eye(10))
    with pytest.raises(ValueError, match="Expected a finite inhibition"):
        plot_inhibition(np.full((4, 4), np.nan))


@pytest.mark.parametrize("within", [0, -1, "wide"])
def test_a_band_that_is_none_is_refused(within):
    with pytest.raises(ValueError, match="Expected `within`"):
        plot_convergence(np.ones((3, 4)), within)


def test_curves_are_drawn_at_their_epochs():
    history = keras.callbacks.History()
    history.epoch = [6, 7, 8, 9, 10, 11]
    history.history = {"loss": [1] * 6, "val_loss": [1] * 2}
    for given, start in ((history, 6), (history.history, 0)):
        (axes,) = plot_history(given, "loss").axes
        training, validation = (list(x.get_xdata()) for x in axes.lines)
        assert training == [start + epoch for epoch in range(1, 7)]
        assert validation == [start + 3, start + 6]


def test_runs_may_be_named_by_numbers():
    runs = {100: {"loss": [1, 2]}, 0: {"loss": [2, 1]}}
    (axes,) = plot_history(runs, ["loss"]).axes
    assert [x.get_label() for x in axes.lines] == [
        "100, training",
        "0, training",
    ]


@pytest.mark.parametrize("value", [0.5, 2, -0.5])
def test_colours_that_are_all_alike_are_not_blank(value):
    kernel = np.full((12, 2), value, "float32")
    figure = plot_weights(kernel, image_shape=(2, 2, 3))
    (image,) = figure.axes[0].images
    pixels = np.asarray(image.get_array())[0, 0]
    np.testing.assert_array_equal(pixels, [128, 128, 128, 255])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_shape": 4}, "`image_shape`"),
        ({"image_shape": (-4, -4)}, "`image_shape`"),
        ({"image_shape": (4.0, 4.0)}, "`image_shape`"),
        ({"rows": 2.0}, "`rows`"),
        ({"columns": 0}, "`columns`"),
        ({"units": 2.0}, "`units`"),
        ({"side": 0}, "`side`"),
    ],
)
def test_arguments_of_the_wrong_type_are_refused(given, message):
    with pytest.raises(ValueError, match=f"Expected {message}.*Received"):
        plot_weights(np.ones((16, 4)), **given)


def test_units_are_ordered_by_unsigned_wins():
    wins = np.array([0, 5, 3, 9], "uint32")
    assert choose_units(4, None, wins=wins).tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize(
    ("epochs", "every", "expected"),
    [
        (range(11), 4, [4, 8]),
        (range(1, 7), 2, [2, 4, 6]),
        (range(2), 1, [1, 2]),
    ],
)
def test_validation_stands_at_the_epochs_that_it_followed(
    epochs, every, expected
):
    history = keras.callbacks.History()
    history.epoch = list(epochs)
    validated = [e for e in epochs if (e + 1) % every == 0]
    history.history = {
        "loss": [1.0] * len(epochs),
        "val_loss": [1.0] * len(validated),
    }
    (axes,) = plot_history(history, "loss").axes
    _, drawn = axes.lines
    assert list(drawn.get_xdata()) == expected


def test_a_history_needs_a_metric():
    with pytest.raises(ValueError, match="at least one metric"):
        plot_history({"loss": [1.0]}, [])
