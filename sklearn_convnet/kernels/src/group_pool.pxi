# --- heterogeneous max pooling (Deng, Abdel-Hamid and Yu, 2013) ----------------------------
#
# Group g of the maps has windows of its own size P_g, at the centres that all share: along
# each axis the window of output o begins at o s + (s - P_g) // 2, clipped to the map. What
# is then empty is the nearest pixel. Gradients: maxpool_backward.

cdef struct Span:
    Py_ssize_t start, end


cdef inline Span group_span(
    Py_ssize_t o, Py_ssize_t stride, Py_ssize_t window, Py_ssize_t size
) noexcept nogil:
    cdef Span span
    cdef Py_ssize_t gap = stride - window
    # Floor division, also of negative numbers.
    cdef Py_ssize_t start = o * stride + (gap - (gap < 0) * (gap & 1)) // 2
    span.start = larger(0, smaller(start, size - 1))
    span.end = larger(span.start + 1, smaller(start + window, size))
    return span


cdef void group_maxpool_row(
    const real* x, Py_ssize_t height, Py_ssize_t width, Py_ssize_t n_channels,
    Py_ssize_t group_channels, Py_ssize_t group, Py_ssize_t o_h, Py_ssize_t n_out,
    Py_ssize_t s_h, Py_ssize_t s_w, Py_ssize_t window_h, Py_ssize_t window_w,
    real* y, int32_t* index
) noexcept nogil:
    """One row of outputs, of one group."""
    cdef Span rows = group_span(o_h, s_h, window_h, height), columns
    cdef Py_ssize_t o, h, w, c, at
    cdef int32_t best
    cdef real top, value
    for o in range(n_out):
        columns = group_span(o, s_w, window_w, width)
        for c in range(group * group_channels, (group + 1) * group_channels):
            best = <int32_t> (rows.start * width + columns.start)
            top = x[best * n_channels + c]
            for h in range(rows.start, rows.end):
                for w in range(columns.start, columns.end):
                    at = h * width + w
                    value = x[at * n_channels + c]
                    if value > top or (value != value and top == top):
                        top = value
                        best = <int32_t> at
            y[o * n_channels + c] = top
            if index is not NULL:
                index[o * n_channels + c] = best


def group_maxpool_forward(
    const real[:, :, :, ::1] X,         # IN  (n, height, width, channels)
    real[:, :, :, ::1] Y,               # OUT (n, *out, channels)
    int32_t[:, :, :, ::1] index,        # OUT like Y, or None
    const int64_t[:, ::1] pool_sizes,   # IN  (groups, 2): height and width of the windows
    stride, int n_threads,
):
    n_threads = checked(
        n_threads, X is None or Y is None or pool_sizes is None,
        "X, Y, pool_sizes")
    cdef Py_ssize_t n = X.shape[0], height = X.shape[1], width = X.shape[2]
    cdef Py_ssize_t n_channels = X.shape[3], n_groups = pool_sizes.shape[0]
    cdef Py_ssize_t steps[2]
    cdef Py_ssize_t s_h, s_w, t, g, row
    cdef int32_t* at = NULL
    read_sizes(stride, 2, 1, "stride", steps)
    s_h, s_w = steps[0], steps[1]
    same_length(2, pool_sizes.shape[1], "a row of pool_sizes")
    if n_groups < 1 or n_channels < 1 or n_channels % n_groups:
        raise ValueError(f"{n_groups} pool sizes must divide {n_channels} channels")
    if height < 1 or width < 1:
        raise ValueError(f"maps must not be empty, got {height} x {width}")
    check_places(height * width)
    for g in range(n_groups):
        if not (0 < pool_sizes[g, 0] <= MAX_SIZE and 0 < pool_sizes[g, 1] <= MAX_SIZE):
            raise ValueError(f"pool sizes must be from 1 to {MAX_SIZE}")
    same_shape((n, ceil_div(height, s_h), ceil_div(width, s_w), n_channels),
               shape_of(Y.shape, 4), "Y")
    if index is not None:
        same_sizes(Y.shape, index.shape, 4, "index")
    if n == 0:
        return
    if index is not None:
        at = &index[0, 0, 0, 0]
    row = Y.shape[2] * n_channels
    for t in prange(n * Y.shape[1], nogil=True,
                    num_threads=threads_for(n * height * width * n_channels, n_threads)):
        for g in range(n_groups):
            group_maxpool_row(
                &X[t // Y.shape[1], 0, 0, 0], height, width, n_channels,
                n_channels // n_groups, g, t % Y.shape[1], Y.shape[2], s_h, s_w,
                pool_sizes[g, 0], pool_sizes[g, 1], &Y[0, 0, 0, 0] + t * row,
                NULL if at is NULL else at + t * row)
