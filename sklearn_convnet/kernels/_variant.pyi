"""What every variant of the kernels holds, for type checkers: see src/ and reference/."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

# float32 or float64, as the variant says; places are int32, rows and codes int64, bytes uint8.
_Array = NDArray[Any]
_Sizes = Sequence[int]
_Borders = Sequence[tuple[int, int]]

ACTIVATIONS: tuple[str, ...]
PASSES: tuple[str, ...]
FORM_NAMES: tuple[str, ...]
NO_KERNELS: tuple[str, ...]

def view(x: _Array) -> Any: ...
def force_form(name: str | None) -> str | None: ...
def conv_form(
    step: str,
    n: int,
    maps: _Sizes,
    weight: _Sizes,
    stride: _Sizes,
    padding: _Borders,
    dilation: _Sizes,
    groups: int,
    pool_size: _Sizes = (1, 1, 1),
) -> tuple[str, list[tuple[str, str]]]: ...
def conv_forward(
    X: _Array,
    W: _Array,
    scale: _Array | None,
    b: _Array | None,
    Y: _Array,
    index: _Array | None,
    addend: _Array | None,
    stride: _Sizes,
    padding: _Borders,
    dilation: _Sizes,
    groups: int,
    activation: str,
    alpha: float,
    pool_size: _Sizes,
    n_threads: int,
) -> None: ...
def conv_backward(
    X: _Array,
    W: _Array,
    Y: _Array,
    index: _Array | None,
    dY: _Array,
    shift: _Array | None,
    dX: _Array | None,
    dW: _Array | None,
    db: _Array | None,
    stride: _Sizes,
    padding: _Borders,
    dilation: _Sizes,
    groups: int,
    activation: str,
    alpha: float,
    pool_size: _Sizes,
    n_threads: int,
) -> None: ...
def winograd_forward(
    X: _Array,
    affine: _Array | None,
    W: _Array,
    scale: _Array | None,
    b: _Array | None,
    Y: _Array,
    index: _Array | None,
    moments: _Array | None,
    addend: _Array | None,
    padding: _Borders,
    dilation: _Sizes,
    m: int,
    input_activation: str,
    input_alpha: float,
    activation: str,
    alpha: float,
    pool_size: _Sizes,
    n_threads: int,
) -> None: ...
def winograd_backward(
    X: _Array,
    affine: _Array | None,
    W: _Array,
    Y: _Array,
    index: _Array | None,
    dY: _Array,
    norm_back: _Array | None,
    addend: _Array | None,
    normed: _Array | None,
    centre: _Array | None,
    dX: _Array | None,
    sums: _Array | None,
    dW: _Array | None,
    db: _Array | None,
    padding: _Borders,
    dilation: _Sizes,
    m: int,
    input_activation: str,
    input_alpha: float,
    activation: str,
    alpha: float,
    pool_size: _Sizes,
    n_threads: int,
) -> None: ...
def depthwise_forward(
    X: _Array,
    W: _Array,
    scale: _Array | None,
    b: _Array | None,
    Y: _Array,
    stride: _Sizes,
    padding: _Borders,
    dilation: _Sizes,
    activation: str,
    alpha: float,
    n_threads: int,
) -> None: ...
def pointwise_depthwise_forward(
    X: _Array,
    W1: _Array,
    scale1: _Array | None,
    b1: _Array | None,
    W2: _Array,
    scale2: _Array | None,
    b2: _Array | None,
    Y: _Array,
    stride: _Sizes,
    padding: _Borders,
    dilation: _Sizes,
    activation1: str,
    alpha1: float,
    activation2: str,
    alpha2: float,
    n_threads: int,
) -> None: ...
def depthwise_backward(
    X: _Array,
    W: _Array,
    Y: _Array,
    dY: _Array,
    dX: _Array | None,
    dW: _Array | None,
    db: _Array | None,
    stride: _Sizes,
    padding: _Borders,
    dilation: _Sizes,
    activation: str,
    alpha: float,
    n_threads: int,
) -> None: ...
def activation_forward(
    X: _Array, Y: _Array, activation: str, alpha: float, n_threads: int
) -> None: ...
def activation_backward(
    S: _Array, dY: _Array, dX: _Array, activation: str, alpha: float, n_threads: int
) -> None: ...
def softmax_forward(X: _Array, Y: _Array, n_threads: int) -> None: ...
def softmax_backward(Y: _Array, dY: _Array, dX: _Array, n_threads: int) -> None: ...
def maxout_forward(X: _Array, Y: _Array, index: _Array | None, n_threads: int) -> None: ...
def maxout_backward(dY: _Array, index: _Array, dX: _Array, n_threads: int) -> None: ...
def maxpool_forward(
    X: _Array,
    Y: _Array,
    index: _Array | None,
    pool_size: _Sizes,
    stride: _Sizes,
    padding: _Borders,
    n_threads: int,
) -> None: ...
def maxpool_backward(dY: _Array, index: _Array, dX: _Array, n_threads: int) -> None: ...
def avgpool_forward(
    X: _Array, Y: _Array, pool_size: _Sizes, stride: _Sizes, padding: _Borders, n_threads: int
) -> None: ...
def avgpool_backward(
    dY: _Array, dX: _Array, pool_size: _Sizes, stride: _Sizes, padding: _Borders, n_threads: int
) -> None: ...
def globalmax_forward(X: _Array, Y: _Array, index: _Array | None, n_threads: int) -> None: ...
def globalmax_backward(dY: _Array, index: _Array, dX: _Array, n_threads: int) -> None: ...
def globalavg_forward(X: _Array, Y: _Array, n_threads: int) -> None: ...
def globalavg_backward(dY: _Array, dX: _Array, n_threads: int) -> None: ...
def lppool_forward(
    X: _Array,
    Y: _Array,
    pool_size: _Sizes,
    stride: _Sizes,
    padding: _Borders,
    p: float,
    n_threads: int,
) -> None: ...
def lppool_backward(
    X: _Array,
    Y: _Array,
    dY: _Array,
    dX: _Array,
    pool_size: _Sizes,
    stride: _Sizes,
    padding: _Borders,
    p: float,
    n_threads: int,
) -> None: ...
def group_maxpool_forward(
    X: _Array, Y: _Array, index: _Array | None, pool_sizes: _Array, stride: _Sizes, n_threads: int
) -> None: ...
def channel_affine(
    X: _Array, scale: _Array, shift: _Array | None, Y: _Array, n_threads: int
) -> None: ...
def standardize(X: _Array, mean: _Array, deviation: _Array, Y: _Array, n_threads: int) -> None: ...
def centred_affine(
    X: _Array, centre: _Array, scale: _Array, shift: _Array, Y: _Array, n_threads: int
) -> None: ...
def batchnorm_running(
    mean: _Array,
    variance: _Array,
    scale: _Array,
    offset: _Array,
    affine: _Array,
    epsilon: float,
    n_threads: int,
) -> None: ...
def batchnorm_fold(
    mean: _Array,
    variance: _Array,
    scale: _Array,
    offset: _Array,
    b: _Array | None,
    factor: _Array,
    shift: _Array,
    epsilon: float,
    n_threads: int,
) -> None: ...
def batchnorm_statistics(
    X: _Array,
    weight: _Array | None,
    scale: _Array,
    offset: _Array,
    moments: _Array | None,
    mean: _Array,
    variance: _Array,
    affine: _Array,
    epsilon: float,
    n_threads: int,
) -> None: ...
def batchnorm_forward(
    X: _Array,
    affine: _Array,
    Y: _Array,
    addend: _Array | None,
    activation: str,
    alpha: float,
    n_threads: int,
) -> None: ...
def batchnorm_backward(
    X: _Array,
    weight: _Array | None,
    scale: _Array,
    mean: _Array,
    variance: _Array,
    affine: _Array,
    dY: _Array,
    sums: _Array | None,
    dX: _Array | None,
    back: _Array | None,
    dscale: _Array | None,
    doffset: _Array | None,
    epsilon: float,
    activation: str,
    alpha: float,
    n_threads: int,
) -> None: ...
def response_norm_forward(
    X: _Array, Y: _Array, size: int, alpha: float, beta: float, bias: float, n_threads: int
) -> None: ...
def response_norm_backward(
    X: _Array,
    dY: _Array,
    dX: _Array,
    size: int,
    alpha: float,
    beta: float,
    bias: float,
    n_threads: int,
) -> None: ...
def groupnorm_forward(
    X: _Array,
    scale: _Array,
    offset: _Array,
    mean: _Array,
    variance: _Array,
    Y: _Array,
    epsilon: float,
    n_threads: int,
) -> None: ...
def groupnorm_backward(
    X: _Array,
    scale: _Array,
    mean: _Array,
    variance: _Array,
    dY: _Array,
    dX: _Array,
    dscale: _Array | None,
    doffset: _Array | None,
    epsilon: float,
    n_threads: int,
) -> None: ...
def dense_forward(
    X: _Array, W: _Array, b: _Array | None, Y: _Array, activation: str, alpha: float, n_threads: int
) -> None: ...
def dense_backward(
    X: _Array,
    W: _Array,
    Y: _Array,
    dY: _Array,
    dX: _Array | None,
    dW: _Array | None,
    db: _Array | None,
    activation: str,
    alpha: float,
    n_threads: int,
) -> None: ...
def upsample_forward(X: _Array, Y: _Array, linear: bool, n_threads: int) -> None: ...
def upsample_backward(dY: _Array, dX: _Array, linear: bool, n_threads: int) -> None: ...
def add(A: _Array, B: _Array, Y: _Array, activation: str, alpha: float, n_threads: int) -> None: ...
def copy_channels(
    X: _Array, Y: _Array, x_start: int, y_start: int, width: int, accumulate: bool, n_threads: int
) -> None: ...
def exchange_maps(W: _Array, T: _Array, n_threads: int) -> None: ...
def gate_forward(X: _Array, G: _Array, Y: _Array, n_threads: int) -> None: ...
def gate_backward(
    X: _Array, G: _Array, dY: _Array, dX: _Array | None, dG: _Array, n_threads: int
) -> None: ...
def attention_forward(
    Q: _Array,
    K: _Array,
    V: _Array,
    bias: _Array | None,
    P: _Array,
    Y: _Array,
    factor: float,
    n_threads: int,
) -> None: ...
def attention_backward(
    Q: _Array,
    K: _Array,
    V: _Array,
    P: _Array,
    dY: _Array,
    dS: _Array,
    dQ: _Array,
    dK: _Array,
    dV: _Array,
    dbias: _Array | None,
    factor: float,
    n_threads: int,
) -> None: ...
def dropout(X: _Array, Y: _Array, rate: float, seed: int, n_threads: int) -> None: ...
def softmax_cross_entropy(
    Z: _Array, target: _Array, weight: _Array | None, dZ: _Array | None, n_threads: int
) -> float: ...
def logistic_cross_entropy(
    Z: _Array, target: _Array, weight: _Array | None, dZ: _Array | None, n_threads: int
) -> float: ...
def outline_loss(
    Z: _Array, boxes: _Array, weight: _Array, dZ: _Array | None, n_threads: int
) -> float: ...
def global_norm(x: _Array, segments: _Array, n_threads: int) -> float: ...
def sgd_step(
    params: _Array,
    grads: _Array,
    velocity: _Array | None,
    segments: _Array,
    decay: _Array,
    learning_rate: float,
    scale: float,
    momentum: float,
    nesterov: bool,
    n_threads: int,
) -> None: ...
def adagrad_step(
    params: _Array,
    grads: _Array,
    square: _Array,
    segments: _Array,
    decay: _Array,
    learning_rate: float,
    scale: float,
    epsilon: float,
    n_threads: int,
) -> None: ...
def rmsprop_step(
    params: _Array,
    grads: _Array,
    square: _Array,
    mean: _Array | None,
    velocity: _Array | None,
    segments: _Array,
    decay: _Array,
    learning_rate: float,
    scale: float,
    alpha: float,
    epsilon: float,
    momentum: float,
    n_threads: int,
) -> None: ...
def adam_step(
    params: _Array,
    grads: _Array,
    m: _Array,
    v: _Array,
    segments: _Array,
    decay: _Array,
    learning_rate: float,
    scale: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    step: int,
    decoupled: bool,
    n_threads: int,
) -> None: ...
def take_rows(X: _Array, rows: _Array, Y: _Array, n_threads: int) -> None: ...
def take_bytes(X: _Array, rows: _Array, Y: _Array, n_threads: int) -> None: ...
def affine_resample(
    X: _Array, matrices: _Array, Y: _Array, fill_value: float, n_threads: int
) -> None: ...
def affine_resample_nearest(X: _Array, matrices: _Array, Y: _Array, n_threads: int) -> None: ...
def affine_resample_3d(
    X: _Array, matrices: _Array, Y: _Array, fill_value: float, n_threads: int
) -> None: ...
def affine_resample_3d_nearest(X: _Array, matrices: _Array, Y: _Array, n_threads: int) -> None: ...
