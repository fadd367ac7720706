# All kernels, layer by layer: a file uses names of those before it, and of none after it.

# --- vectors, memory, threads, and what every kernel checks ---
include "base/simd.pxi"
include "base/team.pxi"
include "base/checks.pxi"
include "base/views.pxi"

# --- micro-kernels: loops whose sums are registers ---
include "micro/tile.pxi"
include "micro/interleaved_tile.pxi"
include "micro/narrow_tile.pxi"
include "micro/sparse_tile.pxi"
include "micro/channel_tile.pxi"
include "micro/transforms.pxi"

# --- packing: numbers in the order in which micro-kernels read them ---
include "packing/transpose.pxi"
include "packing/panels.pxi"

# --- blocking: how much is worked on at a time, by whom, and in which order it is summed ---
include "blocking/bounds.pxi"
include "blocking/chunks.pxi"
include "blocking/tasks.pxi"
include "blocking/sums.pxi"

# --- prologues and epilogues: done to maps while they are in the cache ---
include "epilogue/activation.pxi"
include "epilogue/pooling.pxi"
include "epilogue/norm.pxi"

# --- the forms of convolutions, and what chooses among them ---
include "conv/geometry.pxi"
include "conv/padding.pxi"
include "conv/widen.pxi"
include "conv/direct.pxi"
include "conv/strips.pxi"
include "conv/interleaved.pxi"
include "conv/interleaved_gradient.pxi"
include "conv/turned.pxi"
include "conv/scatter.pxi"
include "conv/direct_gradient.pxi"
include "conv/units.pxi"
include "conv/direct_pool.pxi"
include "conv/narrow.pxi"
include "conv/sparse_gradient.pxi"
include "conv/costs.pxi"
include "conv/forms.pxi"
include "conv/passes.pxi"
include "conv/winograd_geometry.pxi"
include "conv/winograd_strips.pxi"
include "conv/winograd_pass.pxi"
include "conv/winograd_gradient.pxi"

# --- families: the kernels that are called ---
include "conv.pxi"
include "winograd.pxi"
include "depthwise.pxi"
include "activation.pxi"
include "maxout.pxi"
include "pool.pxi"
include "global_pool.pxi"
include "lp_pool.pxi"
include "group_pool.pxi"
include "norm.pxi"
include "response_norm.pxi"
include "group_norm.pxi"
include "product.pxi"
include "dense.pxi"
include "upsample.pxi"
include "blocks.pxi"
include "gate.pxi"
include "attention.pxi"
include "dropout.pxi"
include "loss.pxi"
include "optimizer.pxi"
include "rows.pxi"
include "augmentation.pxi"
include "modes.pxi"
