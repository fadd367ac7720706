# The kernels for float64 maps, built for the avx2 variant: see kernels/__init__.py.
ctypedef double real

include "src/all.pxi"
