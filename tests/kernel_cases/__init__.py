"""Geometries, calls and tolerances that all tests of the kernels share."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

# ruff: noqa: F401

from .bad_calls import BAD_CALLS, bad_arrays
from .calls import (
    GOOD_CALLS,
    IN,
    INOUT,
    OUT,
    ROW_CASES,
    Array,
    Call,
    kernel_name,
    kernel_of,
    named,
)
from .comparisons import (
    ALL_ACTIVATIONS,
    DTYPES,
    FUSED_ACTIVATIONS,
    INPUT_ACTIVATIONS,
    THREADS,
    TOLERANCES,
    assert_batch_does_not_matter,
    assert_close,
    assert_gradient,
    assert_same_bits,
    assert_threads_do_not_matter,
    every_compiled,
    every_variant,
    numerical_gradient,
    output,
    quick,
    random_input,
    seeds,
    thread_counts,
)
from .geometries import (
    ATTENTION_CASES,
    BATCHNORM_CASES,
    CONV_CASES,
    CONV_POOL_CASES,
    DENSE_CASES,
    DEPTHWISE_CASES,
    GROUP_POOL_CASES,
    GROUPNORM_CASES,
    NO_PADDING,
    ONES,
    POOL_CASES,
    RESAMPLE_CASES,
    RESPONSE_NORM_CASES,
    UPSAMPLE_CASES,
    VOLUME_CASES,
    WINOGRAD_CASES,
    WINOGRAD_POOL_CASES,
    ConvCase,
    ConvPoolCase,
    DepthwiseCase,
    GroupPoolCase,
    PoolCase,
    conv_cases,
    conv_pool_cases,
    depthwise_cases,
    group_pool_cases,
    output_size,
    pad_image,
    pool_cases,
    winograd_cases,
    winograd_pool_cases,
)
