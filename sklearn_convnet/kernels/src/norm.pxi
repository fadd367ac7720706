# One scale and one shift for each map: what remains of a normalisation whose statistics are
# known. Its input gradient is the same without the shift.

def channel_affine(
    const real[:, ::1] X,     # IN  (m, channels)
    const real[::1] scale,    # IN  (channels,)
    const real[::1] shift,    # IN  (channels,) or None
    real[:, ::1] Y,           # OUT like X
    int n_threads,
):
    """Y = X scale + shift."""
    cdef Py_ssize_t m = X.shape[0], n = X.shape[1], i, c
    same_shape((<object> X).shape, (<object> Y).shape, "Y")
    same_length(n, scale.shape[0], "scale")
    if shift is not None:
        same_length(n, shift.shape[0], "shift")
        for i in prange(m, nogil=True, num_threads=threads_for(m * n, n_threads)):
            for c in range(n):
                Y[i, c] = X[i, c] * scale[c] + shift[c]
    else:
        for i in prange(m, nogil=True, num_threads=threads_for(m * n, n_threads)):
            for c in range(n):
                Y[i, c] = X[i, c] * scale[c]
