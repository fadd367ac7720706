# Few filters, made wide. Where the filters do not fill the vectors, `n` neighbouring output
# positions are taken together: they are the n * F outputs of one longer filter that holds the given
# one n times, each a stride further, with zeros around.
#
#   W'(t, c, (p, f)) = W(t - p s, c, f)      dW(t, c, f) = sum_p dW'(t + p s, c, (p, f))
#
# In memory the wide output is the given one. So the forward and the weight gradient are those of
# the direct form, with a stride of n s and 1/n of the windows. The zeros have a price: a NaN or an
# infinity in a window spoils its neighbours too.

cdef inline double tile_wait(Py_ssize_t n_vec) noexcept nogil:
    """A narrow tile waits for its loads: a number of the input serves few vectors."""
    return 1.75 if n_vec == 1 else 1.22 if n_vec == 2 else 1.1 if n_vec == 3 else 1.0


cdef double cost_of_width(const Conv* q, Py_ssize_t n) noexcept nogil:
    """Time for an output position and a channel, in a row of taps."""
    cdef Py_ssize_t n_vec = vectors_for(n * q.n_filters)
    cdef Py_ssize_t n_taps = q.kernel[2] + (n - 1) * q.stride[2]
    return tile_wait(n_vec) * n_vec * n_taps / n


cdef Py_ssize_t best_width(const Conv* q) noexcept nogil:
    """How many neighbours are best taken together: a divisor of the width of the output."""
    cdef Py_ssize_t n, best = 1
    if q.n_groups > 1 or q.dilation[2] > 1:
        return 1
    for n in range(2, smaller(q.out[2], NR // q.n_filters) + 1):
        if q.out[2] % n == 0 and cost_of_width(q, n) < cost_of_width(q, best):
            best = n
    return best


cdef Conv widened(const Conv* q, Py_ssize_t n) noexcept nogil:
    """The geometry with n positions together; its arrays are still to be given."""
    cdef Conv wide = q[0]
    wide.width = n
    wide.kernel[2] += (n - 1) * q.stride[2]
    wide.stride[2] *= n
    wide.out[2] //= n
    wide.n_filters *= n
    wide.group_filters *= n
    conv_sizes(&wide)
    return wide


cdef inline Py_ssize_t wide_filters(const Conv* q) noexcept nogil:
    """Numbers in the filters and biases of a geometry made wide, none in a given one."""
    return whole_vectors((q.n_taps + 1) * q.n_filters) if q.width > 1 else 0


cdef void widen_filters(const Conv* q, const Conv* wide, real* W, real* b) noexcept nogil:
    """The wide filters, scaled, and n times the biases where there are any."""
    cdef Py_ssize_t row = q.n_channels * q.n_filters, n_rows = q.kernel[0] * q.kernel[1]
    cdef Py_ssize_t i, t, p, j
    memset(W, 0, wide.n_taps * wide.n_filters * sizeof(real))
    for i in range(n_rows):
        for t in range(q.kernel[2]):
            for p in range(wide.width):
                for j in range(q.n_channels):
                    pack_panel(
                        q.W + (i * q.kernel[2] + t) * row + j * q.n_filters, 0, 1, q.scale, 1,
                        q.n_filters, q.n_filters,
                        W + ((i * wide.kernel[2] + t + p * q.stride[2]) * q.n_channels + j)
                        * wide.n_filters + p * q.n_filters)
    if q.b is not NULL:
        for p in range(wide.width):
            memcpy(b + p * q.n_filters, q.b, q.n_filters * sizeof(real))


cdef void fold_filters(
    const Conv* q, const Conv* wide, const real* dW, real* folded
) noexcept nogil:
    """The adjoint of widen_filters."""
    cdef Py_ssize_t i, t, p, j, f
    cdef const real* source
    cdef real* to
    for i in range(q.kernel[0] * q.kernel[1]):
        for t in range(q.kernel[2]):
            for j in range(q.n_channels):
                to = folded + ((i * q.kernel[2] + t) * q.n_channels + j) * q.n_filters
                memset(to, 0, q.n_filters * sizeof(real))
                for p in range(wide.width):
                    source = dW + p * q.n_filters + wide.n_filters * (
                        (i * wide.kernel[2] + t + p * q.stride[2]) * q.n_channels + j)
                    for f in range(q.n_filters):
                        to[f] += source[f]


cdef void fold_biases(
    const Conv* q, const Conv* wide, const real* db, real* folded
) noexcept nogil:
    cdef Py_ssize_t p, f
    memset(folded, 0, q.n_filters * sizeof(real))
    for p in range(wide.width):
        for f in range(q.n_filters):
            folded[f] += db[p * q.n_filters + f]
