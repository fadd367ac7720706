"""Loops over arrays. They know nothing of layers, only of arrays and geometry.

::

    src/ ── one source for every variant and dtype, layer by layer (src/all.pxi)
       │
    _kernels.pyx ── translated to C once, of which the compiler makes
       │
       ├── _baseline_float32  _avx2_float32  _avx512_float32
       └── _baseline_float64  _avx2_float64  _avx512_float64
                                      │
    _cpu.pyx ── what the CPU has ── loader.py ── the one to use
                                      │
    reference/ ── the numpy twin of every kernel, with the same name and signature

Layouts. Maps are channels-last. Axis letters: ``n`` images, ``d h w`` depth, height and
width, ``c`` channels in, ``f`` filters (channels out), ``m`` rows of a matrix. A batch of
maps is ``(n, d, h, w, c)``, signals and images having axes of length one; filters are
``(kd, kh, kw, c / groups, f)``, dense weights ``(inputs, units)``.

Kernels fill what they are given: callers allocate. Every array argument is marked ``IN``,
``OUT`` or ``INOUT``; all are C-contiguous and of one dtype; inputs may be read-only. Work
space belongs to a call, so kernels can run from several threads at once. They raise
``ValueError`` for shapes that do not fit, and only that.

The last argument is ``n_threads``. It never changes a bit of the result, nor does the batch
that a sample comes in: see docs/kernels.md for how.
"""
