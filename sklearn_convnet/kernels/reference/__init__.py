"""Every kernel in numpy: the slow, exact twin of the compiled modules.

Same names, same signatures, same errors. The compiled kernels are tested against
these functions, and ``SKLEARN_CONVNET_KERNELS=reference`` runs whole networks on them.

# Design:
# - A function says what it computes in the comment above its code, and its derivative
#   is its neighbour. Nothing here is tuned.
# - All work is done in float64 and rounded once, when the result is stored. So the
#   twin is an oracle for float32 as well: its answer is the rounded float64 answer.
# - Convolution and pooling loop over the taps of the filter or window. The rest, all
#   pixels that one tap meets, is a strided view of the padded maps; there is no
#   im2col and no index arithmetic beyond `_taps`. Windows that differ among the maps
#   (`group_maxpool_forward`) are cut out one by one.
# - Shapes are checked by letter: `_match` binds every axis letter once and compares
#   it wherever it comes up again, so a signature and its check read alike.
# - `n_threads` is checked and ignored. The matrix products are those of BLAS, hence
#   the promise that bits do not depend on the batch is that of the compiled kernels.

The letters are those of `sklearn_convnet.kernels`: maps are ``(n, D, H, W, C)``,
filters ``(KD, KH, KW, C / groups, F)``.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

# ruff: noqa: F401

from .activation import (
    ALL_ACTIVATIONS,
    FUSED_ACTIVATIONS,
    activation_backward,
    activation_forward,
    softmax_backward,
    softmax_forward,
)
from .attention import attention_backward, attention_forward
from .augmentation import (
    affine_resample,
    affine_resample_3d,
    affine_resample_3d_nearest,
    affine_resample_nearest,
)
from .blocks import add, copy_channels, exchange_maps
from .conv import conv_backward, conv_forward
from .dense import dense_backward, dense_forward
from .depthwise import depthwise_backward, depthwise_forward, pointwise_depthwise_forward
from .dropout import dropout, dropout_mask
from .forms import FORM_NAMES, conv_form, force_form
from .gate import gate_backward, gate_forward
from .group_norm import groupnorm_backward, groupnorm_forward
from .loss import OUTLINE_NUMBERINGS, logistic_cross_entropy, outline_loss, softmax_cross_entropy
from .maxout import maxout_backward, maxout_forward
from .norm import (
    batchnorm_backward,
    batchnorm_fold,
    batchnorm_forward,
    batchnorm_running,
    batchnorm_statistics,
    centred_affine,
    channel_affine,
    response_norm_backward,
    response_norm_forward,
    standardize,
)
from .optimizer import adagrad_step, adam_step, global_norm, rmsprop_step, sgd_step
from .pool import (
    avgpool_backward,
    avgpool_forward,
    globalavg_backward,
    globalavg_forward,
    globalmax_backward,
    globalmax_forward,
    group_maxpool_forward,
    lppool_backward,
    lppool_forward,
    maxpool_backward,
    maxpool_forward,
)
from .rows import take_bytes, take_rows
from .upsample import upsample_backward, upsample_forward
from .views import view
from .winograd import winograd_backward, winograd_forward
