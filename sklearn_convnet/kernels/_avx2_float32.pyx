# The kernels for float32 maps, built for the avx2 variant: see kernels/__init__.py.
ctypedef float real

include "src/all.pxi"
