# With stride 1, dX is the convolution of dz with the filters turned round, input and output maps
# exchanged. Where that is faster, dz is made a second time, in its padding.

cdef inline bint can_turn(const Conv* q) noexcept nogil:
    cdef int axis
    cdef Py_ssize_t reach
    for axis in range(3):
        reach = q.dilation[axis] * (q.kernel[axis] - 1)
        if (q.stride[axis] > 1 or q.before[axis] > reach
                or q.padded[axis] - q.size[axis] - q.before[axis] > reach):
            return False
    return True


cdef int turned_geometry(Conv* back, const Conv* q) except -1:
    """The convolution that gives dX; its filters are still to be given."""
    cdef Py_ssize_t[5] maps
    cdef Py_ssize_t[5] filters
    cdef Py_ssize_t reach
    cdef int axis
    padding = []
    for axis in range(3):
        maps[1 + axis] = q.out[axis]
        filters[axis] = q.kernel[axis]
        reach = q.dilation[axis] * (q.kernel[axis] - 1)
        padding.append((
            reach - q.before[axis], reach - q.padded[axis] + q.size[axis] + q.before[axis]))
    maps[0], maps[4] = q.n_images, q.n_filters
    filters[3], filters[4] = q.group_filters, q.n_channels
    dilation = (q.dilation[0], q.dilation[1], q.dilation[2])
    conv_geometry(back, maps, filters, NULL, (1, 1, 1), padding, dilation, q.n_groups)
    back.X, back.output, back.b, back.Y = q.dY, q.Y_in, NULL, q.dX
    back.code_in, back.alpha_in = q.code, q.alpha
    if q.code == IDENTITY:
        back.output = NULL
    back.code, back.alpha = IDENTITY, 0
    return 0


cdef int turned_input_gradient(Conv* back, const Conv* q, int n_threads) except -1:
    cdef Py_ssize_t n_positions = q.kernel[0] * q.kernel[1] * q.kernel[2], t, i, g
    cdef real* W = <real*> allocate(
        n_positions * q.group_filters * q.n_channels * sizeof(real))
    try:
        for t in prange(n_positions * q.n_groups, nogil=True, num_threads=n_threads):
            i = t // q.n_groups
            g = t % q.n_groups
            transpose(
                q.W + i * q.group_channels * q.n_filters + g * q.group_filters, q.n_filters,
                q.group_channels, q.group_filters,
                W + (n_positions - 1 - i) * q.group_filters * q.n_channels
                + g * q.group_channels, q.n_channels)
        back.W = W
        convolve(back, n_threads)
    finally:
        free(W)
    return 0
