# Without a team, the mode in which denormal numbers are zero is set around each kernel: see
# team.pxi.

from functools import wraps as _wraps


def _flushing(kernel):
    """The kernel, with denormal numbers taken for zero."""
    @_wraps(kernel)
    def call(*args, **options):
        cdef FloatMode outer = float_mode_now()
        set_float_mode(outer | FLUSHING)
        try:
            return kernel(*args, **options)
        finally:
            set_float_mode(outer)
    return call


NO_KERNELS = ("view", "conv_form", "force_form")

if HANDS_ON_MODE:
    for _name, _kernel in list(globals().items()):
        if callable(_kernel) and not _name.startswith("_") and _name not in NO_KERNELS:
            globals()[_name] = _flushing(_kernel)
