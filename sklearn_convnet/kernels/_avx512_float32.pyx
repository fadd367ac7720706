# The kernels for float32 maps, built for the avx512 variant: see kernels/__init__.py.
ctypedef float real

include "src/all.pxi"
