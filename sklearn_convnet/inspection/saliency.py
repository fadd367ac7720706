"""Saliency: the parts of a sample that a score depends on."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from .._typing import PerAxis, RandomState
from ..constraints import Interval, StrOptions, validate_params
from ..estimators.classifier import ConvNetClassifier
from ..estimators.regressor import ConvNetRegressor
from ..network.network import Network
from ..on_demand import Samples
from . import gradients
from .class_activation import grad_cam
from .occlusion import occlusion
from .samples import Seen
from .targets import wanted_of

METHODS = (
    "gradient",
    "gradient_x_input",
    "integrated",
    "smooth",
    "guided",
    "deconvnet",
    "grad_cam",
    "occlusion",
)
#: Those with a number for each position.
WITHOUT_CHANNELS = ("grad_cam", "occlusion")


@validate_params(
    {
        "method": [StrOptions(set(METHODS))],
        "layer": [str, Integral, None],
        "baseline": [Real, "array-like"],
        "n_points": [Interval(Integral, 1, None, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "window": [Integral, "array-like", None],
        "stride": [Integral, "array-like", None],
        "random_state": ["random_state"],
    }
)
def saliency(
    estimator: ConvNetClassifier | ConvNetRegressor | Network,
    X: Samples,
    method: str = "gradient",
    *,
    target: Any = None,
    layer: str | int | None = None,
    baseline: float | ArrayLike = 0.0,
    n_points: int = 64,
    noise: float = 0.15,
    window: PerAxis | None = None,
    stride: PerAxis | None = None,
    random_state: RandomState = None,
) -> NDArray[Any]:
    """Measure how much each part of a sample contributes to a prediction.

    What is explained is a score: the number that the network puts out before softmax or logistic
    function (a probability near 1 hardly depends on anything), a value in the units of y (before
    the exponential function of a Poisson loss), or a coordinate in those of the boxes; of a
    `Network`, a number of its output as it is. All gradients are those of a prediction: without
    dropout, with the running statistics of batch norms. The estimator is left as it is.

    Parameters
    ----------
    estimator : ConvNetClassifier, ConvNetRegressor or Network
        Fitted. With `multi_crop`, what is explained is the score of the crop in the middle, and
        what lies outside of it is 0.
    X : array-like of shape (n_samples, *sample_shape)
        Samples, as for `predict`.
    method : str, default="gradient"
        - "gradient": the gradient of the score [1]_. Its largest magnitude over the channels is
          the saliency map of the paper.
        - "gradient_x_input": the gradient times the sample.
        - "integrated": the mean gradient along the straight line from `baseline` to the sample,
          times their difference; its sum is the difference of their two scores [2]_.
        - "smooth": the mean gradient at copies of the sample with noise [3]_.
        - "guided": as "gradient", but what is negative does not pass a rectifier backward [4]_.
        - "deconvnet": as "guided", but a rectifier passes what is positive wherever it was itself
          in the forward pass, as in ZFNet's deconvolutional network [5]_.
        - "grad_cam": the maps of a layer, each times its mean gradient, summed and rectified,
          and enlarged linearly to the size of the sample [6]_.
        - "occlusion": by how much the score falls where a window of the sample is covered
          [5]_, the mean over all windows that cover a position. This needs predictions only.
    target : object, default=None
        What is explained, for all samples, or a list or array with an entry for each:

        - a label, where y holds one label a sample; of several labels at once, the number of its
          column. None is the predicted class, or the most probable label;
        - ``(column, label)`` of several columns of labels, or ``(column,)`` for the predicted
          label;
        - ``(row, column, label)`` of maps of labels, or ``(row, column)`` for the predicted label
          of this pixel; ``(step, label)`` and ``(plane, row, column, label)`` for signals and
          volumes;
        - the place of a value in y, a number or a tuple: ``1``, ``(row, column)``. None is the
          only one;
        - ``("box", i)``, the i-th coordinate of the box of a classifier;
        - the place in the output of a `Network`; None is the largest number.
    layer : str or int, default=None
        For "grad_cam": the path of a layer, such as "conv2" or "residual1/conv2d1", or its place
        in `layers_`. None is the last layer with maps of several positions.
    baseline : float or array-like of shape sample_shape, default=0.0
        For "integrated" the sample without a content, for "occlusion" what covers a window, in the
        units of X.
    n_points : int, default=64
        For "integrated" and "smooth": the number of gradients that a mean is taken of. For
        "integrated" it is tripled, and tripled again, if the sum is not yet right within 1 %.
    noise : float, default=0.15
        For "smooth": standard deviation of the noise, as a share of a sample's range of values.
    window : int or tuple of int, default=None
        For "occlusion": size of the windows along each axis. None is a quarter of the sample.
    stride : int or tuple of int, default=None
        For "occlusion": step from one window to the next, at most its size. None is half of it.
    random_state : int, RandomState instance or None, default=None
        For "smooth": seed of the noise.

    Returns
    -------
    ndarray of shape X.shape or (n_samples, *axes)
        Of "grad_cam" and "occlusion" one number for each position, without channels (columns of a
        table are positions); of all other methods one for each value of X, in the same order. In
        the dtype that the network computes in.

    Raises
    ------
    ValueError
        If a parameter is invalid, there is no such target or layer, or X is not like the training
        data.
    TypeError
        If `estimator` is none of this package.

    See Also
    --------
    weakly_supervised_box : Boxes around what "grad_cam" shows.

    Notes
    -----
    Rectifiers are the activations that pass on large numbers and hold back negative ones: "relu",
    "leaky_relu", "elu", "gelu", "softplus", "relu6", "silu" and "hard_swish". "guided" multiplies
    the positive part of a gradient with their derivative; for "relu" that is the rule of the paper.

    References
    ----------
    .. [1] Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks: visualising image
       classification models and saliency maps", 2014.
    .. [2] Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", 2017.
    .. [3] Smilkov, Thorat, Kim, Viégas and Wattenberg, "SmoothGrad: removing noise by adding
       noise", 2017.
    .. [4] Springenberg, Dosovitskiy, Brox and Riedmiller, "Striving for simplicity: the all
       convolutional net", 2015.
    .. [5] Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014.
    .. [6] Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
       localization", 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.inspection import saliency
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier(input_shape=(8, 8), max_iter=3, random_state=0)
    >>> clf = clf.fit(X[:500], y[:500])
    >>> saliency(clf, X[:10]).shape
    (10, 64)
    >>> saliency(clf, X[:10], "grad_cam", target=3).shape
    (10, 8, 8)
    """
    if layer is not None and method != "grad_cam":
        raise ValueError(
            f"layer={layer!r} is for method='grad_cam', but method={method!r}: leave it out"
        )
    seen = Seen.of(estimator, X)
    wanted = wanted_of(target, len(seen))
    rng = check_random_state(random_state)
    base = seen.one(baseline, "baseline")
    if method == "grad_cam":
        values = grad_cam(seen, wanted, layer)
    elif method == "occlusion":
        values = occlusion(seen, wanted, window, stride, base)
    elif method == "integrated":
        values = gradients.integrated(seen, wanted, n_points, base)
    elif method == "smooth":
        values = gradients.smooth(seen, wanted, n_points, noise, rng)
    else:
        values = getattr(gradients, method)(seen, wanted)
    seen.network.release_memory()
    return seen.like_positions(values) if method in WITHOUT_CHANNELS else seen.like_X(values)
