"""One good call of every kernel."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .geometries import ONES


def named(**values):
    """A dict, written as the arguments of a call are."""
    return values


@dataclass(frozen=True)
class Array:
    """An argument that is an array, by the letters of its axes or expressions of them."""

    axes: str
    dtype: str | None = None  # None: the dtype of the kernels
    values: tuple | list | float | None = None  # a number is that of all
    writeable: bool = False
    is_read: bool = True

    def shape(self, sizes):
        return tuple(eval(axis, {}, sizes) for axis in self.axes.split())

    def make(self, sizes, dtype):
        shape = self.shape(sizes)
        if isinstance(self.values, float):
            array = np.full(shape, self.values, dtype=self.dtype)
        elif self.values is not None:
            array = np.array(self.values, dtype=self.dtype)
        elif self.dtype is not None:
            array = np.zeros(shape, dtype=self.dtype)
        else:
            array = np.full(shape, 0.5, dtype=dtype)
        array.flags.writeable = self.writeable
        return array


IN = Array
OUT = partial(Array, writeable=True, is_read=False)
INOUT = partial(Array, writeable=True)


@dataclass(frozen=True)
class Call:
    """A call of a kernel: the sizes of the axes, and the arguments in their order.

    `free` are the axes that no other array knows: they may have any length. `optional`
    are the arrays that may be None. `needs_batch`: without a sample nothing is defined.
    """

    sizes: dict
    arguments: dict
    free: tuple = ()
    optional: tuple = ()
    needs_batch: bool = False

    def make(self, dtype):
        """The arguments, by name."""
        return {
            name: value.make(self.sizes, dtype) if isinstance(value, Array) else value
            for name, value in self.arguments.items()
        }

    def replace(self, **changes):
        """The same call with other sizes, arrays or options."""
        sizes = {key: changes.pop(key) for key in list(changes) if key in self.sizes}
        assert not changes.keys() - self.arguments.keys()
        return replace(
            self,
            sizes={**self.sizes, **sizes},
            arguments={**self.arguments, **changes},
        )

    @property
    def arrays(self):
        return {k: v for k, v in self.arguments.items() if isinstance(v, Array)}


def kernel_name(name):
    """The name of the kernel of a call of GOOD_CALLS."""
    return name.partition(",")[0]


def kernel_of(kernels, name):
    """The kernel of a call of GOOD_CALLS."""
    return getattr(kernels, kernel_name(name))


# Batches of all samples: samples, numbers of each, and which are taken.
ROW_CASES = {
    "images": named(
        N=512, P=784, m=128, rows=IN("m", "int64", [(37 * i) % 512 for i in range(128)])
    ),
}

_CONV_SIZES = named(n=2, D=3, H=6, W=7, C=4, KD=2, KH=3, KW=2, c=2, F=6, OD=4, OH=5, OW=7)
_CONV_OPTIONS = named(
    stride=ONES,
    padding=((1, 1), (1, 0), (0, 1)),
    dilation=ONES,
    groups=2,
    activation="relu",
    alpha=0.0,
    pool_size=ONES,
    n_threads=2,
)
_ROW_SIZES = named(m=3, N=5, P=7)
_WINOGRAD_SIZES = named(n=2, H=6, W=7, C=4, three=3, taps=3, F=6, OH=6, OW=5)
_WINOGRAD_OPTIONS = named(
    padding=((2, 0), (0, 0)),
    dilation=(1, 1),
    m=4,
    input_activation="tanh",
    input_alpha=0.0,
    activation="relu",
    alpha=0.0,
    pool_size=(1, 1),
    n_threads=2,
)
_CONV_POOL_SIZES = named(n=2, D=3, H=6, W=7, C=4, KD=2, KH=3, KW=2, F=6, OD=2, OH=2, OW=3)
_CONV_POOL_OPTIONS = _CONV_OPTIONS | named(groups=1, pool_size=(2, 2, 2))
#: Of 4 x 5 x 7 positions, the first in each window.
_FIRST_PLACES = [[[0, 2, 4], [14, 16, 18]], [[70, 72, 74], [84, 86, 88]]]
_CONV_POOL_INDEX = np.broadcast_to(np.array(_FIRST_PLACES)[..., None], (2, 2, 2, 3, 6)).tolist()
#: And of 6 x 5 positions.
_FIRST_OF_PLANE = [[0, 2], [10, 12], [20, 22]]
_WINOGRAD_POOL_INDEX = np.broadcast_to(np.array(_FIRST_OF_PLANE)[..., None], (2, 3, 2, 6)).tolist()
_WINOGRAD_POOL_SIZES = _WINOGRAD_SIZES | named(OH=3, OW=2)
_WINOGRAD_POOL_OPTIONS = _WINOGRAD_OPTIONS | named(pool_size=(2, 2))
_DENSE_SIZES = named(n=3, I=5, U=4)
_DENSE_OPTIONS = named(activation="tanh", alpha=0.0, n_threads=2)
_POOL_SIZES = named(n=2, D=3, H=5, W=6, C=4, OD=3, OH=5, OW=7)
_POOL_OPTIONS = named(
    pool_size=(2, 2, 2), stride=ONES, padding=((0, 1), (1, 0), (1, 1)), n_threads=2
)
_GLOBAL_SIZES = named(n=2, P=5, C=4)
_DEPTHWISE_SIZES = _CONV_SIZES | named(F=8, one=1)
_DEPTHWISE_OPTIONS = {k: v for k, v in _CONV_OPTIONS.items() if k not in ("groups", "pool_size")}
_LPPOOL_OPTIONS = {
    **{k: v for k, v in _POOL_OPTIONS.items() if k != "n_threads"},
    **named(p=3.0, n_threads=2),
}
_BATCHNORM_SIZES = named(m=8, C=5, n=2, three=3, parts=4)
_RESPONSE_OPTIONS = named(size=3, alpha=0.1, beta=0.75, bias=1.0, n_threads=2)
_GATE_SIZES = named(n=3, P=6, C=5)
_UPSAMPLE_SIZES = named(n=2, D=2, H=3, W=4, C=5, OD=4, OH=6, OW=12)
_RESAMPLE_SIZES = named(n=2, H=4, W=5, C=3, two=2, three=3)
_VOLUME_SIZES = named(n=2, D=3, H=4, W=5, C=3, three=3, four=4)
_GROUPNORM_SIZES = named(n=3, P=4, C=6, groups=2)
_ATTENTION_SIZES = named(n=2, L=6, M=5, heads=3, d=4)
_SEGMENTS = IN("s two", "int64", ((0, 5), (7, 11)))

#: By the name of the kernel, and behind a comma what the call is to do besides.
GOOD_CALLS = {
    "conv_forward": Call(
        _CONV_SIZES,
        named(
            X=IN("n D H W C"), W=IN("KD KH KW c F"), scale=IN("F"), b=IN("F"),
            Y=OUT("n OD OH OW F"), index=None, addend=IN("n OD OH OW F"), **_CONV_OPTIONS,
        ),
        optional=("scale", "b", "addend"),
    ),
    "conv_backward": Call(
        _CONV_SIZES,
        named(
            X=IN("n D H W C"), W=IN("KD KH KW c F"), Y=IN("n OD OH OW F"), index=None,
            dY=IN("n OD OH OW F"), shift=IN("C"), dX=OUT("n D H W C"), dW=OUT("KD KH KW c F"),
            db=OUT("F"), **_CONV_OPTIONS,
        ),
        optional=("shift", "dX", "dW", "db"),
    ),
    "conv_forward, pool": Call(
        _CONV_POOL_SIZES,
        named(
            X=IN("n D H W C"), W=IN("KD KH KW C F"), scale=IN("F"), b=IN("F"),
            Y=OUT("n OD OH OW F"), index=OUT("n OD OH OW F", "int32"), addend=None,
            **_CONV_POOL_OPTIONS,
        ),
        optional=("scale", "b", "index"),
        free=("D", "H", "W", "KD", "KH", "KW"),  # windows may leave out pixels
    ),
    "conv_backward, pool": Call(
        _CONV_POOL_SIZES,
        named(
            X=IN("n D H W C"), W=IN("KD KH KW C F"), Y=IN("n OD OH OW F"),
            index=IN("n OD OH OW F", "int32", _CONV_POOL_INDEX), dY=IN("n OD OH OW F"),
            shift=IN("C"), dX=OUT("n D H W C"), dW=OUT("KD KH KW C F"), db=OUT("F"),
            **_CONV_POOL_OPTIONS,
        ),
        optional=("shift", "dX", "dW", "db"),
    ),
    "winograd_forward": Call(
        _WINOGRAD_SIZES,
        named(
            X=IN("n H W C"), affine=IN("three C"), W=IN("taps taps C F"), scale=IN("F"),
            b=IN("F"), Y=OUT("n OH OW F"), index=None,
            moments=OUT("n*((OH+3)//4) 1+2*F", "float64"), addend=IN("n OH OW F"),
            **_WINOGRAD_OPTIONS,
        ),
        optional=("scale", "b", "moments", "addend"),
    ),
    "winograd_backward": Call(
        _WINOGRAD_SIZES,
        named(
            X=IN("n H W C"), affine=IN("three C"), W=IN("taps taps C F"), Y=IN("n OH OW F"),
            index=None, dY=IN("n OH OW F"), norm_back=None, addend=IN("n H W C"),
            normed=IN("n H W C"), centre=IN("C"), dX=OUT("n H W C"),
            sums=OUT("n*((H+3)//4) 2*C", "float64"), dW=OUT("taps taps C F"), db=OUT("F"),
            **_WINOGRAD_OPTIONS,
        ),
        optional=("addend", "dW", "db"),
    ),
    "winograd_backward, norm": Call(
        _WINOGRAD_SIZES | named(four=4),
        named(
            X=IN("n H W C"), affine=IN("three C"), W=IN("taps taps C F"), Y=IN("n OH OW F"),
            index=None, dY=IN("n OH OW F"), norm_back=IN("four F"), addend=IN("n H W C"),
            normed=IN("n H W C"), centre=IN("C"), dX=OUT("n H W C"),
            sums=OUT("n*((H+3)//4) 2*C", "float64"), dW=OUT("taps taps C F"), db=OUT("F"),
            **_WINOGRAD_OPTIONS,
        ),
        optional=("addend", "dW", "db"),
    ),
    "winograd_forward, pool": Call(
        _WINOGRAD_POOL_SIZES,
        named(
            X=IN("n H W C"), affine=IN("three C"), W=IN("taps taps C F"), scale=IN("F"),
            b=IN("F"), Y=OUT("n OH OW F"), index=OUT("n OH OW F", "int32"), moments=None,
            addend=None, **_WINOGRAD_POOL_OPTIONS,
        ),
        optional=("scale", "b", "index"),
        free=("H", "W"),
    ),
    "winograd_backward, pool": Call(
        _WINOGRAD_POOL_SIZES,
        named(
            X=IN("n H W C"), affine=IN("three C"), W=IN("taps taps C F"), Y=IN("n OH OW F"),
            index=IN("n OH OW F", "int32", _WINOGRAD_POOL_INDEX), dY=IN("n OH OW F"),
            norm_back=None, addend=IN("n H W C"), normed=IN("n H W C"), centre=IN("C"),
            dX=OUT("n H W C"), sums=OUT("n*((H+3)//4) 2*C", "float64"),
            dW=OUT("taps taps C F"), db=OUT("F"),
            **_WINOGRAD_POOL_OPTIONS,
        ),
        optional=("addend", "dW", "db"),
    ),
    "dense_forward": Call(
        _DENSE_SIZES,
        named(X=IN("n I"), W=IN("I U"), b=IN("U"), Y=OUT("n U"), **_DENSE_OPTIONS),
        optional=("b",),
    ),
    "dense_backward": Call(
        _DENSE_SIZES,
        named(
            X=IN("n I"), W=IN("I U"), Y=IN("n U"), dY=IN("n U"), dX=OUT("n I"),
            dW=OUT("I U"), db=OUT("U"), **_DENSE_OPTIONS,
        ),
        optional=("dX", "dW", "db"),
    ),
    "depthwise_forward": Call(
        _DEPTHWISE_SIZES,
        named(
            X=IN("n D H W C"), W=IN("KD KH KW one F"), scale=IN("F"), b=IN("F"),
            Y=OUT("n OD OH OW F"), **_DEPTHWISE_OPTIONS,
        ),
        optional=("scale", "b"),
    ),
    "pointwise_depthwise_forward": Call(
        _DEPTHWISE_SIZES | named(B=3),
        named(
            X=IN("n D H W B"), W1=IN("one one one B C"), scale1=IN("C"), b1=IN("C"),
            W2=IN("KD KH KW one F"), scale2=IN("F"), b2=IN("F"), Y=OUT("n OD OH OW F"),
            **{k: _CONV_OPTIONS[k] for k in ("stride", "padding", "dilation")},
            activation1="tanh", alpha1=0.0, activation2="relu", alpha2=0.0, n_threads=2,
        ),
        optional=("scale1", "b1", "scale2", "b2"),
    ),
    "depthwise_backward": Call(
        _DEPTHWISE_SIZES,
        named(
            X=IN("n D H W C"), W=IN("KD KH KW one F"), Y=IN("n OD OH OW F"),
            dY=IN("n OD OH OW F"), dX=OUT("n D H W C"), dW=OUT("KD KH KW one F"),
            db=OUT("F"), **_DEPTHWISE_OPTIONS,
        ),
        optional=("dX", "dW", "db"),
    ),
    "maxpool_forward": Call(
        _POOL_SIZES,
        named(
            X=IN("n D H W C"), Y=OUT("n OD OH OW C"),
            index=OUT("n OD OH OW C", "int32"), **_POOL_OPTIONS,
        ),
        optional=("index",),
    ),
    "maxpool_backward": Call(
        _POOL_SIZES,
        named(
            dY=IN("n OD OH OW C"), index=IN("n OD OH OW C", "int32"),
            dX=OUT("n D H W C"), n_threads=2,
        ),
        free=("D", "H", "W"),
    ),
    "avgpool_forward": Call(
        _POOL_SIZES,
        named(X=IN("n D H W C"), Y=OUT("n OD OH OW C"), **_POOL_OPTIONS),
    ),
    "avgpool_backward": Call(
        _POOL_SIZES,
        named(dY=IN("n OD OH OW C"), dX=OUT("n D H W C"), **_POOL_OPTIONS),
    ),
    "globalmax_forward": Call(
        _GLOBAL_SIZES,
        named(X=IN("n P C"), Y=OUT("n C"), index=OUT("n C", "int32"), n_threads=2),
        free=("P",),
        optional=("index",),
    ),
    "globalmax_backward": Call(
        _GLOBAL_SIZES,
        named(dY=IN("n C"), index=IN("n C", "int32"), dX=OUT("n P C"), n_threads=2),
        free=("P",),
    ),
    "globalavg_forward": Call(
        _GLOBAL_SIZES, named(X=IN("n P C"), Y=OUT("n C"), n_threads=2), free=("P",)
    ),
    "globalavg_backward": Call(
        _GLOBAL_SIZES, named(dY=IN("n C"), dX=OUT("n P C"), n_threads=2), free=("P",)
    ),
    "lppool_forward": Call(
        _POOL_SIZES,
        named(X=IN("n D H W C"), Y=OUT("n OD OH OW C"), **_LPPOOL_OPTIONS),
    ),
    "lppool_backward": Call(
        _POOL_SIZES,
        named(
            X=IN("n D H W C"), Y=IN("n OD OH OW C"), dY=IN("n OD OH OW C"),
            dX=OUT("n D H W C"), **_LPPOOL_OPTIONS,
        ),
    ),
    "group_maxpool_forward": Call(
        named(n=2, D=3, H=6, W=9, C=4, OD=3, OH=3, OW=3, groups=2, three=3),
        named(
            X=IN("n D H W C"), Y=OUT("n OD OH OW C"), index=OUT("n OD OH OW C", "int32"),
            pool_sizes=IN("groups three", "int64", ((1, 2, 1), (2, 3, 5))), stride=(1, 2, 3),
            n_threads=2,
        ),
        optional=("index",),
    ),
    "activation_forward": Call(
        named(m=9),
        named(X=IN("m"), Y=OUT("m"), activation="gelu", alpha=0.0, n_threads=2),
    ),
    "activation_backward": Call(
        named(m=9),
        named(
            S=IN("m"), dY=IN("m"), dX=OUT("m"), activation="gelu", alpha=0.0,
            n_threads=2,
        ),
    ),
    "maxout_forward": Call(
        named(m=9, pieces=3),
        named(X=IN("m pieces"), Y=OUT("m"), index=OUT("m", "int32"), n_threads=2),
        optional=("index",),
        free=("pieces",),
    ),
    "maxout_backward": Call(
        named(m=9, pieces=3),
        named(dY=IN("m"), index=IN("m", "int32"), dX=OUT("m pieces"), n_threads=2),
        free=("pieces",),
    ),
    "softmax_forward": Call(
        named(m=3, C=5), named(X=IN("m C"), Y=OUT("m C"), n_threads=2)
    ),
    "softmax_backward": Call(
        named(m=3, C=5), named(Y=IN("m C"), dY=IN("m C"), dX=OUT("m C"), n_threads=2)
    ),
    "channel_affine": Call(
        named(m=3, C=5),
        named(X=IN("m C"), scale=IN("C"), shift=IN("C"), Y=OUT("m C"), n_threads=2),
        optional=("shift",),
    ),
    "standardize": Call(
        named(m=3, C=5),
        named(
            X=IN("m C"),
            mean=IN("C", "float64"),
            deviation=IN("C", "float64", 2.0),
            Y=OUT("m C"),
            n_threads=2,
        ),
    ),
    "centred_affine": Call(
        named(m=3, C=5),
        named(
            X=IN("m C", "float64"), centre=IN("C", "float64"), scale=IN("C", "float64"),
            shift=IN("C", "float64"), Y=OUT("m C"), n_threads=2,
        ),
    ),
    "batchnorm_running": Call(
        named(C=5, three=3),
        named(
            mean=IN("C", "float64"), variance=IN("C", "float64"), scale=IN("C"),
            offset=IN("C"), affine=OUT("three C"), epsilon=0.1, n_threads=2,
        ),
        needs_batch=True,
    ),
    "batchnorm_fold": Call(
        named(C=5),
        named(
            mean=IN("C", "float64"), variance=IN("C", "float64"), scale=IN("C"),
            offset=IN("C"), b=IN("C"), factor=OUT("C"), shift=OUT("C"), epsilon=0.1, n_threads=2,
        ),
        optional=("b",),
        needs_batch=True,
    ),
    "batchnorm_statistics": Call(
        _BATCHNORM_SIZES,
        named(
            X=IN("m C"), weight=IN("n"), scale=IN("C"), offset=IN("C"),
            moments=IN("parts 1+2*C", "float64", [[2.0, *5 * [0.5], *5 * [0.0]]] * 4),
            mean=OUT("C", "float64"), variance=OUT("C", "float64"), affine=OUT("three C"),
            epsilon=0.1, n_threads=2,
        ),
        free=("parts",),
        optional=("weight",),
        needs_batch=True,
    ),
    "batchnorm_forward": Call(
        named(m=8, A=7, C=5, three=3),
        named(
            X=IN("m A"), affine=IN("three C"), Y=OUT("m C"), addend=IN("m C"),
            activation="relu", alpha=0.0, n_threads=2,
        ),
        free=("A",),
        optional=("addend",),
    ),
    "batchnorm_backward": Call(
        _BATCHNORM_SIZES,
        named(
            X=IN("m C"), weight=IN("n"), scale=IN("C"), mean=IN("C", "float64"),
            variance=IN("C", "float64"), affine=IN("three C"), dY=IN("m C"),
            sums=IN("parts 2*C", "float64"), dX=OUT("m C"), back=None, dscale=OUT("C"),
            doffset=OUT("C"), epsilon=0.1, activation="relu", alpha=0.0, n_threads=2,
        ),
        free=("parts",),
        optional=("weight", "dX", "dscale", "doffset"),
        needs_batch=True,
    ),
    "batchnorm_backward, map": Call(
        _BATCHNORM_SIZES | named(four=4),
        named(
            X=IN("m C"), weight=None, scale=IN("C"), mean=IN("C", "float64"),
            variance=IN("C", "float64"), affine=IN("three C"), dY=IN("m C"),
            sums=IN("parts 2*C", "float64"), dX=OUT("m C"), back=OUT("four C"),
            dscale=OUT("C"), doffset=OUT("C"), epsilon=0.1, activation="relu", alpha=0.0,
            n_threads=2,
        ),
        free=("parts",),
        optional=("dX", "back", "dscale", "doffset"),
        needs_batch=True,
    ),
    "response_norm_forward": Call(
        named(m=3, C=5), named(X=IN("m C"), Y=OUT("m C"), **_RESPONSE_OPTIONS)
    ),
    "response_norm_backward": Call(
        named(m=3, C=5),
        named(X=IN("m C"), dY=IN("m C"), dX=OUT("m C"), **_RESPONSE_OPTIONS),
    ),
    "groupnorm_forward": Call(
        _GROUPNORM_SIZES,
        named(
            X=IN("n P C"), scale=IN("C"), offset=IN("C"), mean=OUT("n groups", "float64"),
            variance=OUT("n groups", "float64"), Y=OUT("n P C"), epsilon=0.1, n_threads=2,
        ),
    ),
    "groupnorm_backward": Call(
        _GROUPNORM_SIZES,
        named(
            X=IN("n P C"), scale=IN("C"), mean=IN("n groups", "float64"),
            variance=IN("n groups", "float64"), dY=IN("n P C"), dX=OUT("n P C"),
            dscale=OUT("C"), doffset=OUT("C"), epsilon=0.1, n_threads=2,
        ),
        optional=("dscale", "doffset"),
    ),
    "upsample_forward": Call(
        _UPSAMPLE_SIZES,
        named(X=IN("n D H W C"), Y=OUT("n OD OH OW C"), linear=True, n_threads=2),
    ),
    "upsample_backward": Call(
        _UPSAMPLE_SIZES,
        named(dY=IN("n OD OH OW C"), dX=OUT("n D H W C"), linear=True, n_threads=2),
    ),
    "take_rows": Call(
        _ROW_SIZES,
        named(X=IN("N P"), rows=IN("m", "int64", (4, 0, 4)), Y=OUT("m P"), n_threads=2),
        free=("N",),
    ),
    "take_bytes": Call(
        _ROW_SIZES,
        named(
            X=IN("N P", "uint8"), rows=IN("m", "int64", (4, 0, 4)), Y=OUT("m P"), n_threads=2
        ),
        free=("N",),
    ),
    "affine_resample": Call(
        _RESAMPLE_SIZES,
        named(
            X=IN("n H W C"), matrices=IN("n two three", "float64"), Y=OUT("n H W C"),
            fill_value=0.25, n_threads=2,
        ),
    ),
    "affine_resample_nearest": Call(
        _RESAMPLE_SIZES,
        named(
            X=IN("n H W C", "int64"), matrices=IN("n two three", "float64"),
            Y=OUT("n H W C", "int64"), n_threads=2,
        ),
    ),
    "affine_resample_3d": Call(
        _VOLUME_SIZES,
        named(
            X=IN("n D H W C"), matrices=IN("n three four", "float64"), Y=OUT("n D H W C"),
            fill_value=0.25, n_threads=2,
        ),
    ),
    "affine_resample_3d_nearest": Call(
        _VOLUME_SIZES,
        named(
            X=IN("n D H W C", "int64"), matrices=IN("n three four", "float64"),
            Y=OUT("n D H W C", "int64"), n_threads=2,
        ),
    ),
    "add": Call(
        named(m=9),
        named(A=IN("m"), B=IN("m"), Y=OUT("m"), activation="tanh", alpha=0.0, n_threads=2),
    ),
    "copy_channels": Call(
        named(m=3, C=5, F=7),
        named(
            X=IN("m C"), Y=INOUT("m F"), x_start=1, y_start=3, width=4,
            accumulate=True, n_threads=2,
        ),
        free=("C", "F"),
    ),
    "exchange_maps": Call(
        named(m=2, C=5, F=7), named(W=IN("m C F"), T=OUT("m F C"), n_threads=2)
    ),
    "gate_forward": Call(
        _GATE_SIZES,
        named(X=IN("n P C"), G=IN("n P 1"), Y=OUT("n P C"), n_threads=2),
    ),
    "gate_backward": Call(
        _GATE_SIZES,
        named(
            X=IN("n P C"), G=IN("n P 1"), dY=IN("n P C"), dX=OUT("n P C"),
            dG=OUT("n P 1"), n_threads=2,
        ),
        optional=("dX",),
    ),
    "attention_forward": Call(
        _ATTENTION_SIZES,
        named(
            Q=IN("n L heads d"), K=IN("n M heads d"), V=IN("n M heads d"),
            bias=IN("heads L M"), P=OUT("n heads L M"), Y=OUT("n L heads d"),
            factor=0.5, n_threads=2,
        ),
        optional=("bias",),
    ),
    "attention_backward": Call(
        _ATTENTION_SIZES,
        named(
            Q=IN("n L heads d"), K=IN("n M heads d"), V=IN("n M heads d"),
            P=IN("n heads L M"), dY=IN("n L heads d"), dS=OUT("n heads L M"),
            dQ=OUT("n L heads d"), dK=OUT("n M heads d"), dV=OUT("n M heads d"),
            dbias=OUT("heads L M"), factor=0.5, n_threads=2,
        ),
        optional=("dbias",),
    ),
    "dropout": Call(
        named(m=9), named(X=IN("m"), Y=OUT("m"), rate=0.5, seed=1, n_threads=2)
    ),
    "softmax_cross_entropy": Call(
        named(m=3, K=5),
        named(
            Z=IN("m K"), target=IN("m", "int64"), weight=IN("m"), dZ=OUT("m K"),
            n_threads=2,
        ),
        optional=("weight", "dZ"),
    ),
    "logistic_cross_entropy": Call(
        named(m=3, K=5),
        named(
            Z=IN("m K"), target=IN("m K"), weight=IN("m K"), dZ=OUT("m K"), n_threads=2
        ),
        optional=("weight", "dZ"),
    ),
    "outline_loss": Call(
        named(n=3, eight=8),
        named(
            Z=IN("n eight"),
            boxes=IN("n eight"),
            weight=IN("n"),
            dZ=OUT("n eight"),
            n_threads=2,
        ),
        optional=("dZ",),
    ),
    "global_norm": Call(
        named(p=11, s=2, two=2),
        named(x=IN("p"), segments=_SEGMENTS, n_threads=2),
        free=("p", "s"),
    ),
    "sgd_step": Call(
        named(p=11, s=2, two=2),
        named(
            params=INOUT("p"), grads=IN("p"), velocity=INOUT("p"), segments=_SEGMENTS,
            decay=IN("s"), learning_rate=0.1, scale=0.5, momentum=0.0, nesterov=False,
            n_threads=2,
        ),
        optional=("velocity",),
    ),
    "adagrad_step": Call(
        named(p=11, s=2, two=2),
        named(
            params=INOUT("p"), grads=IN("p"), square=INOUT("p"), segments=_SEGMENTS,
            decay=IN("s"), learning_rate=0.1, scale=0.5, epsilon=1e-8, n_threads=2,
        ),
    ),
    "rmsprop_step": Call(
        named(p=11, s=2, two=2),
        named(
            params=INOUT("p"), grads=IN("p"), square=INOUT("p"), mean=INOUT("p"),
            velocity=INOUT("p"), segments=_SEGMENTS, decay=IN("s"), learning_rate=0.1,
            scale=0.5, alpha=0.9, epsilon=1e-8, momentum=0.0, n_threads=2,
        ),
        optional=("velocity",),
    ),
    "adam_step": Call(
        named(p=11, s=2, two=2),
        named(
            params=INOUT("p"), grads=IN("p"), m=INOUT("p"), v=INOUT("p"),
            segments=_SEGMENTS, decay=IN("s"), learning_rate=0.1, scale=0.5, beta1=0.9,
            beta2=0.999, epsilon=1e-8, step=1, decoupled=False, n_threads=2,
        ),
    ),
}  # fmt: skip
