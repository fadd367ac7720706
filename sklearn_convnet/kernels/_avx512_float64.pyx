# The kernels for float64 maps, built for the avx512 variant: see kernels/__init__.py.
ctypedef double real

include "src/all.pxi"
