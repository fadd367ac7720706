# --- heterogeneous max pooling (Deng, Abdel-Hamid and Yu, 2013) ----------------------------
#
# Group g of the maps has windows of its own size P_g, at the centres that all share: along
# each axis the window of output o begins at o s + (s - P_g) // 2, clipped to the map. What
# is then empty is the nearest pixel. Gradients: maxpool_backward.

cdef struct Span:
    Py_ssize_t start, end


cdef struct GroupPool:
    Py_ssize_t size[3]
    Py_ssize_t stride[3]
    Py_ssize_t out[3]
    Py_ssize_t n_channels, group_channels


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


cdef inline void take_larger(
    Py_ssize_t n, const real* x, int32_t place, real* y, int32_t* index
) noexcept nogil:
    """The larger ones of y and of the n channels of a pixel, whose place is kept with them. NaN is
    the largest; of equal ones the first stays."""
    cdef Py_ssize_t c
    cdef bint is_larger
    if index is NULL:
        for c in range(n):
            is_larger = (x[c] > y[c]) | ((x[c] != x[c]) & (y[c] == y[c]))
            y[c] = x[c] if is_larger else y[c]
    else:
        for c in range(n):
            is_larger = (x[c] > y[c]) | ((x[c] != x[c]) & (y[c] == y[c]))
            y[c] = x[c] if is_larger else y[c]
            index[c] = place if is_larger else index[c]


cdef void group_maxpool_row(
    const GroupPool* q, const int64_t* window, const real* x, Py_ssize_t row, real* y,
    int32_t* index
) noexcept nogil:
    """One row of outputs, of one group, whose first map is where x, y and index begin."""
    cdef Span planes = group_span(row // q.out[1], q.stride[0], window[0], q.size[0])
    cdef Span rows = group_span(row % q.out[1], q.stride[1], window[1], q.size[1]), columns
    cdef Py_ssize_t height = q.size[1], width = q.size[2], n_channels = q.n_channels
    cdef Py_ssize_t n = q.group_channels, o, d, h, w, c, first, place
    for o in range(q.out[2]):
        columns = group_span(o, q.stride[2], window[2], width)
        first = (planes.start * height + rows.start) * width + columns.start
        memcpy(y, x + first * n_channels, n * sizeof(real))
        if index is not NULL:
            for c in range(n):
                index[c] = <int32_t> first
        for d in range(planes.start, planes.end):
            for h in range(rows.start, rows.end):
                for w in range(columns.start, columns.end):
                    place = (d * height + h) * width + w
                    take_larger(n, x + place * n_channels, <int32_t> place, y, index)
        y = y + n_channels
        if index is not NULL:
            index = index + n_channels


cdef int group_geometry(
    GroupPool* q, const Py_ssize_t* shape_X, const int64_t[:, ::1] pool_sizes, stride
) except -1:
    cdef Py_ssize_t n_groups = pool_sizes.shape[0], g
    cdef int axis
    read_sizes(stride, 3, 1, "stride", q.stride)
    same_length(3, pool_sizes.shape[1], "a row of pool_sizes")
    q.n_channels = shape_X[4]
    if n_groups < 1 or q.n_channels < 1 or q.n_channels % n_groups:
        raise ValueError(f"{n_groups} pool sizes must divide {q.n_channels} channels")
    q.group_channels = q.n_channels // n_groups
    for axis in range(3):
        q.size[axis] = shape_X[1 + axis]
        q.out[axis] = ceil_div(q.size[axis], q.stride[axis])
        if q.size[axis] < 1:
            raise ValueError(
                f"maps must not be empty, got {shape_X[1]} x {shape_X[2]} x {shape_X[3]}")
        for g in range(n_groups):
            if not 0 < pool_sizes[g, axis] <= MAX_SIZE:
                raise ValueError(f"pool sizes must be from 1 to {MAX_SIZE}")
    check_places(q.size[0] * q.size[1] * q.size[2])
    return 0


def group_maxpool_forward(
    const real[:, :, :, :, ::1] X,      # IN  (n, depth, height, width, channels)
    real[:, :, :, :, ::1] Y,            # OUT (n, *out, channels)
    int32_t[:, :, :, :, ::1] index,     # OUT like Y, or None
    const int64_t[:, ::1] pool_sizes,   # IN  (groups, 3): sizes of the windows
    stride, int n_threads,
):
    n_threads = checked(
        n_threads, X is None or Y is None or pool_sizes is None,
        "X, Y, pool_sizes")
    cdef GroupPool q
    cdef Py_ssize_t n = X.shape[0], n_rows, size_in, size_row, t, g, c
    cdef const real* x
    cdef real* y
    cdef int32_t* at = NULL
    group_geometry(&q, X.shape, pool_sizes, stride)
    same_shape((n, q.out[0], q.out[1], q.out[2], q.n_channels), shape_of(Y.shape, 5), "Y")
    if index is not None:
        same_sizes(Y.shape, index.shape, 5, "index")
    if n == 0:
        return
    x = &X[0, 0, 0, 0, 0]
    y = &Y[0, 0, 0, 0, 0]
    if index is not None:
        at = &index[0, 0, 0, 0, 0]
    n_rows = q.out[0] * q.out[1]
    size_in = q.size[0] * q.size[1] * q.size[2] * q.n_channels
    size_row = q.out[2] * q.n_channels
    for t in prange(n * n_rows, nogil=True, num_threads=threads_for(n * size_in, n_threads)):
        for g in range(pool_sizes.shape[0]):
            c = g * q.group_channels
            group_maxpool_row(
                &q, &pool_sizes[g, 0], x + t // n_rows * size_in + c, t % n_rows,
                y + t * size_row + c, NULL if at is NULL else at + t * size_row + c)
