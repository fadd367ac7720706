# The kernels for float64 maps, built for the baseline variant: see kernels/__init__.py.
ctypedef double real

include "src/all.pxi"
