"""What makes good calls bad."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .calls import IN, OUT, named

# Calls whose arrays agree with one another but not with the geometry, or whose numbers
# do not fit the arrays: kernel, what is wrong, the changes to the good call.
BAD_CALLS = [
    *(
        (kernel, *bad)
        for kernel in (
            "conv_forward", "conv_backward", "depthwise_forward", "depthwise_backward"
        )
        for bad in (
            ("output too low", named(OH=4)),
            ("output too wide", named(OW=8)),
            ("output too deep", named(OD=5)),
            ("filter larger than the padded map", named(KH=8, OH=1)),
            ("filter larger than the padded map, empty output", named(KH=8, OH=0)),
            ("dilated filter larger than the map", named(dilation=(1, 4, 1), OH=1)),
            ("output of another stride", named(stride=(1, 2, 1))),
            ("output of another dilation", named(dilation=(2, 1, 1))),
            ("output of another padding", named(padding=((1, 1), (1, 1), (0, 1)))),
            ("negative padding", named(padding=((1, 1), (1, 0), (2, -1)))),
            ("stride 0", named(stride=(1, 0, 1))),
            ("negative stride", named(stride=(1, 1, -1))),
            ("dilation 0", named(dilation=(0, 1, 1))),
            ("input maps that do not divide the output maps", named(C=5)),
            ("output maps that are no multiple", named(F=7)),
            ("no input maps", named(C=0)),
            ("no filters", named(F=0)),
            ("an empty filter", named(KH=0, OH=8)),
            ("activation that needs its input", named(activation="gelu")),
            ("unknown activation", named(activation="swish")),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("conv_forward", "conv_backward")
        for bad in (
            ("groups 0", named(groups=0)),
            ("negative groups", named(groups=-2)),
            ("filters for another number of groups", named(groups=1)),
            ("filters for more maps", named(c=4)),
            ("no input maps a group", named(C=0, c=0)),
            ("windows behind groups", named(pool_size=(2, 2, 2), OD=2, OH=2, OW=3)),
        )
    ),
    ("conv_forward", "an index without windows", named(index=OUT("n OD OH OW F", "int32"))),
    ("conv_backward", "an index without windows", named(index=IN("n OD OH OW F", "int32"))),
    ("conv_forward, pool", "a sum of pooled maps", named(addend=IN("n OD OH OW F"))),
    (
        "winograd_forward, pool", "moments of pooled maps",
        named(moments=OUT("n*((OH+3)//4) 1+2*F", "float64")),
    ),
    ("winograd_forward, pool", "a sum of pooled maps", named(addend=IN("n OH OW F"))),
    (
        "winograd_forward", "moments behind dilated filters",
        named(dilation=(2, 1), OH=4, moments=OUT("n*((OH+3)//4) 1+2*F", "float64")),
    ),
    ("winograd_backward", "sums behind dilated filters", named(dilation=(2, 1), OH=4)),
    ("winograd_backward, pool", "a norm of pooled maps", named(norm_back=IN("4 F"))),
    *(
        (kernel, *bad)
        for kernel in ("winograd_forward", "winograd_backward")
        for bad in (
            ("tiles of another size", named(m=3)),
            ("filters of another size", named(taps=4, OH=5, OW=4)),
            ("output too low", named(OH=5)),
            ("output too wide", named(OW=6)),
            ("too much padding", named(padding=((3, 0), (0, 0)), OH=7)),
            ("negative padding", named(padding=((2, 0), (1, -1)))),
            ("dilation 0", named(dilation=(1, 0))),
            ("output of another dilation", named(dilation=(2, 1))),
            ("filter larger than the padded map", named(H=1, OH=0, padding=((0, 1), (0, 0)))),
            ("no input maps", named(C=0)),
            ("no filters", named(F=0)),
            ("activation that needs its input", named(activation="gelu")),
            ("unknown activation", named(activation="swish")),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("conv_forward, pool", "conv_backward, pool")
        for bad in (
            ("output too low", named(OH=3)),
            ("output too wide", named(OW=4)),
            ("output too deep", named(OD=3)),
            ("filter larger than the padded map", named(KH=8)),
            ("windows larger than the map", named(pool_size=(2, 6, 2), OH=1)),
            ("windows of another size", named(pool_size=(2, 3, 2))),
            ("windows of size 0", named(pool_size=(2, 0, 2))),
            ("an index without windows", named(pool_size=(1, 1, 1), OD=4, OH=5, OW=7)),
            ("windows behind groups", named(groups=2)),
            ("windows behind dilated filters", named(dilation=(1, 2, 1))),
            ("output of another stride", named(stride=(1, 2, 1))),
            ("negative padding", named(padding=((1, 1), (1, 0), (2, -1)))),
            ("stride 0", named(stride=(1, 0, 1))),
            ("negative stride", named(stride=(1, 1, -1))),
            ("no input maps", named(C=0)),
            ("no filters", named(F=0)),
            ("an empty filter", named(KH=0)),
            ("activation that needs its input", named(activation="gelu")),
            ("unknown activation", named(activation="swish")),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("winograd_forward, pool", "winograd_backward, pool")
        for bad in (
            ("tiles of another size", named(m=3)),
            ("filters of another size", named(taps=4, OH=2)),
            ("output too low", named(OH=2)),
            ("output too wide", named(OW=3)),
            ("windows over the bounds of tiles", named(pool_size=(3, 2), OH=2)),
            ("windows behind dilated filters", named(dilation=(2, 1), OH=2)),
            ("windows of size 0", named(pool_size=(0, 2))),
            ("an index without windows", named(pool_size=(1, 1), OH=6, OW=5)),
            ("too much padding", named(padding=((3, 0), (0, 0)))),
            ("no input maps", named(C=0)),
            ("no filters", named(F=0)),
            ("activation that needs its input", named(activation="gelu")),
            ("unknown activation", named(activation="swish")),
        )
    ),
    *(
        ("pointwise_depthwise_forward", *bad)
        for bad in (
            ("output too low", named(OH=4)),
            ("filter larger than the padded map", named(KH=8, OH=1)),
            ("negative padding", named(padding=((1, 1), (1, 0), (2, -1)))),
            ("windows of more than a pixel", named(W1=IN("one KH one B C"))),
            ("output maps that are no multiple", named(F=7)),
            ("no input maps", named(B=0)),
            ("no maps between", named(C=0)),
            ("no filters", named(F=0)),
            ("first activation that needs its input", named(activation1="gelu")),
            ("unknown first activation", named(activation1="swish")),
            ("second activation that needs its input", named(activation2="gelu")),
            ("unknown second activation", named(activation2="swish")),
        )
    ),
    *(
        (kernel, "filters over two maps", named(one=2))
        for kernel in ("depthwise_forward", "depthwise_backward")
    ),
    *(
        (kernel, *bad)
        for kernel in ("dense_forward", "dense_backward")
        for bad in (
            ("no inputs", named(I=0)),
            ("no units", named(U=0)),
            ("activation that needs its input", named(activation="gelu")),
            ("unknown activation", named(activation="swish")),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in (
            "maxpool_forward", "avgpool_forward", "avgpool_backward",
            "lppool_forward", "lppool_backward",
        )
        for bad in (
            ("output too low", named(OH=4)),
            ("output too wide", named(OW=8)),
            ("output too deep", named(OD=4)),
            ("window larger than the padded map", named(pool_size=(2, 7, 2), OH=1)),
            ("window as large, no output", named(pool_size=(2, 7, 2), OH=0)),
            ("output of another stride", named(stride=(1, 1, 2))),
            ("padding before as large", named(padding=((0, 1), (2, 0), (1, 1)), OH=6)),
            ("padding after as large", named(padding=((0, 1), (1, 2), (1, 1)), OH=7)),
            ("negative padding", named(padding=((0, 1), (1, 0), (-1, 1)), OW=5)),
            ("stride 0", named(stride=(1, 0, 1))),
            ("negative stride", named(stride=(-1, 1, 1))),
            ("pool size 0", named(pool_size=(2, 0, 2), OH=7)),
            ("no pixels", named(H=0, padding=((0, 1), (1, 1), (1, 1)), OH=1)),
        )
    ),
    *(
        (kernel, "no pixels", named(P=0))
        for kernel in (
            "globalmax_forward", "globalmax_backward",
            "globalavg_forward", "globalavg_backward",
        )
    ),
    *(
        (kernel, "unknown activation", named(activation="swish"))
        for kernel in ("activation_forward", "activation_backward")
    ),
    *(
        (kernel, f"exponent {p}", named(p=p))
        for kernel in ("lppool_forward", "lppool_backward")
        for p in (0.5, 0.0, -2.0, float("nan"))
    ),
    *(
        ("group_maxpool_forward", *bad)
        for bad in (
            ("output too low", named(OH=2)),
            ("output too wide", named(OW=4)),
            ("output too deep", named(OD=4)),
            ("output of another stride", named(stride=(1, 3, 3))),
            ("stride 0", named(stride=(1, 2, 0))),
            ("negative stride", named(stride=(1, -2, 3))),
            ("stride of two axes", named(stride=(2, 3))),
            ("no pixels", named(H=0, OH=0)),
            ("no maps", named(C=0)),
            ("maps not divisible by the groups", named(C=5)),
            ("no groups", named(groups=0, pool_sizes=IN("groups three", "int64"))),
            (
                "pool size 0",
                named(pool_sizes=IN("groups three", "int64", ((1, 2, 1), (1, 3, 0)))),
            ),
            (
                "negative pool size",
                named(pool_sizes=IN("groups three", "int64", ((1, -2, 1), (1, 3, 3)))),
            ),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("batchnorm_statistics", "batchnorm_backward")
        for bad in (
            ("no samples", named(m=0, n=0)),
            ("no rows", named(m=0)),
            ("no weights", named(n=0)),
            ("no maps", named(C=0)),
            ("rows that are no whole samples", named(n=3)),
            ("more weights than rows", named(n=16)),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("gate_forward", "gate_backward")
        for bad in (
            ("a gate of fewer positions", named(G=IN("n 2 1"))),
            ("a gate of more channels", named(G=IN("n P 10"))),
            ("a gate without channels", named(G=IN("n P 0"))),
            ("no positions", named(P=0)),
            ("no channels", named(C=0)),
        )
    ),
    ("maxout_forward", "no pieces", named(pieces=0)),
    ("maxout_backward", "no pieces", named(pieces=0)),
    ("batchnorm_statistics", "parts of half a sample", named(n=8)),
    ("batchnorm_statistics", "no parts", named(moments=IN("parts 1+2*C", "float64"), parts=0)),
    ("batchnorm_backward", "no parts", named(parts=0)),
    ("batchnorm_backward", "no place for dz", named(sums=None, dX=None)),
    ("batchnorm_backward, map", "a map of rows with weights", named(weight=IN("2"))),
    ("batchnorm_forward", "fewer maps than are normalised", named(A=4)),
    *(
        (kernel, *bad)
        for kernel in ("batchnorm_forward", "batchnorm_backward")
        for bad in (
            ("activation that needs its input", named(activation="gelu")),
            ("unknown activation", named(activation="swish")),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in (
            "winograd_forward", "winograd_backward", "winograd_forward, pool",
            "winograd_backward, pool",
        )
        for bad in (
            ("input's activation that needs its input", named(input_activation="gelu")),
            ("unknown activation of the input", named(input_activation="swish")),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("winograd_backward", "winograd_backward, pool")
        for bad in (
            ("sums of nothing", named(normed=None)),
            ("sums about nothing", named(centre=None)),
            ("no sums of a norm", named(sums=None)),
            ("sums of no gradient", named(dX=None)),
        )
    ),
    *(
        (kernel, f"a neighbourhood of {size}", named(size=size))
        for kernel in ("response_norm_forward", "response_norm_backward")
        for size in (0, -3)
    ),
    *(
        (kernel, *bad)
        for kernel in ("groupnorm_forward", "groupnorm_backward")
        for bad in (
            ("no positions", named(P=0)),
            ("no channels", named(C=0)),
            ("no groups", named(groups=0)),
            ("groups that do not divide the channels", named(groups=4)),
            ("more groups than channels", named(groups=12)),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("upsample_forward", "upsample_backward")
        for bad in (
            ("no multiple of the depth", named(OD=3)),
            ("no multiple of the height", named(OH=7)),
            ("no multiple of the width", named(OW=10)),
            ("smaller", named(OH=2)),
            ("enlarged to nothing", named(OW=0)),
            ("no pixels", named(H=0, OH=0)),
            ("no maps", named(C=0)),
        )
    ),
    *(
        (kernel, f"row {row} of 5", named(rows=IN("m", "int64", (0, 4, row))))
        for kernel in ("take_rows", "take_bytes")
        for row in (5, -1)
    ),
    *(
        (kernel, f"no {what}", named(**{axis: 0}))
        for kernel in ("affine_resample", "affine_resample_nearest")
        for what, axis in (("rows", "H"), ("columns", "W"), ("maps", "C"))
    ),
    *(
        (kernel, f"no {what}", named(**{axis: 0}))
        for kernel in ("affine_resample_3d", "affine_resample_3d_nearest")
        for what, axis in (("images", "D"), ("rows", "H"), ("columns", "W"), ("maps", "C"))
    ),
    *(
        ("copy_channels", *bad)
        for bad in (
            ("beyond the last map of X", named(x_start=2)),
            ("beyond the last map of Y", named(y_start=4)),
            ("before the first map of X", named(x_start=-1)),
            ("before the first map of Y", named(y_start=-1)),
            ("wider than X", named(x_start=0, y_start=0, width=6)),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("attention_forward", "attention_backward")
        for bad in (
            ("no queries", named(L=0)),
            ("no keys", named(M=0)),
            ("no heads", named(heads=0)),
            ("no channels", named(d=0)),
        )
    ),
    ("softmax_forward", "no classes", named(C=0)),
    ("softmax_backward", "no classes", named(C=0)),
    ("dropout", "everything dropped", named(rate=1.0)),
    ("dropout", "negative rate", named(rate=-0.1)),
    ("dropout", "rate is not a number", named(rate=float("nan"))),
    ("softmax_cross_entropy", "no classes", named(K=0)),
    *(
        (
            "softmax_cross_entropy",
            f"target {label} of 5 classes",
            named(target=IN("m", "int64", (0, 4, label))),
        )
        for label in (5, -1)
    ),
    *(
        (kernel, f"segment {start}:{stop} of 11", named(segments=segments))
        for kernel in (
            "global_norm", "sgd_step", "adagrad_step", "rmsprop_step", "adam_step"
        )
        for start, stop in ((7, 12), (-1, 3), (7, 6), (12, 12))
        for segments in [IN("s two", "int64", ((0, 5), (start, stop)))]
    ),
    *(
        (kernel, "momentum without a velocity", named(momentum=0.9, velocity=None))
        for kernel in ("sgd_step", "rmsprop_step")
    ),
    ("adam_step", "a step before the first", named(step=0)),
]  # fmt: skip


def bad_arrays(call, dtype):
    """Every array of a call in every shape, dtype and layout that does not fit.

    Yields
    ------
    what, arguments : str, dict
    """
    other = np.float32 if dtype == np.float64 else np.float64
    # The twin serves both dtypes: it is another array that one has to agree with.
    n_real = sum(array.dtype is None for array in call.arrays.values())
    for name, array in call.arrays.items():
        good = call.make(dtype)[name]
        for i, axis in enumerate(array.axes.split()):
            if axis not in call.free:
                longer = np.concatenate([good, np.take(good, [-1], axis=i)], axis=i)
                yield f"{name} longer along {axis}", call.make(dtype) | {name: longer}
        yield f"{name} with one axis more", call.make(dtype) | {name: good[np.newaxis]}
        converted = good.astype("int16" if array.dtype or n_real == 1 else other)
        yield f"{name} of another dtype", call.make(dtype) | {name: converted}
        strided = np.repeat(good, 2, axis=-1)[..., ::2]
        yield f"{name} not contiguous", call.make(dtype) | {name: strided}
        if array.writeable:
            frozen = good.copy()
            frozen.flags.writeable = False
            yield f"{name} not writeable", call.make(dtype) | {name: frozen}
