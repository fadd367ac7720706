# The kernels for float32 maps, built for the baseline variant: see kernels/__init__.py.
ctypedef float real

include "src/all.pxi"
