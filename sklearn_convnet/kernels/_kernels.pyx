# The kernels of every variant and dtype: see kernels/__init__.py.

include "src/all.pxi"
