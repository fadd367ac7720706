# The input gradient turned into a forward pass: with stride 1, dX is the convolution of dz with the
# filters turned round, input and output maps exchanged. dz is made a second time, in its padding.

cdef inline bint can_turn(const Conv* q) noexcept nogil:
    """True if the padding and the strides of a pass back are such as forward passes have."""
    cdef int axis
    cdef Py_ssize_t reach
    for axis in range(3):
        reach = q.dilation[axis] * (q.kernel[axis] - 1)
        if (q.stride[axis] > 1 or q.before[axis] > reach
                or q.padded[axis] - q.size[axis] - q.before[axis] > reach):
            return False
    return True


cdef Conv turned_geometry(const Conv* q) noexcept nogil:
    """The convolution that gives dX; its filters are still to be given."""
    cdef Conv back = q[0]
    cdef Py_ssize_t reach
    cdef int axis
    for axis in range(3):
        reach = q.dilation[axis] * (q.kernel[axis] - 1)
        back.size[axis], back.out[axis] = q.out[axis], q.size[axis]
        back.before[axis] = reach - q.before[axis]
        back.padded[axis] = q.size[axis] + reach
    back.n_channels, back.n_filters = q.n_filters, q.n_channels
    back.group_channels, back.group_filters = q.group_filters, q.group_channels
    conv_sizes(&back)
    back.is_running = back.n_taps <= RUNNING_TAPS
    back.X, back.b, back.Y = q.dY, q.shift, q.dX
    back.output = NULL if q.code == IDENTITY else q.Y_in
    back.code_in, back.alpha_in = q.code, q.alpha
    back.code, back.alpha = IDENTITY, 0
    return back


cdef int turn_filters(const Conv* q, real* W, int n_threads) except -1:
    """The filters with channels and filters exchanged and their taps turned round, into W."""
    cdef Py_ssize_t n_positions = q.kernel[0] * q.kernel[1] * q.kernel[2], t, i, g
    for t in prange(n_positions * q.n_groups, nogil=True, num_threads=n_threads):
        i = t // q.n_groups
        g = t % q.n_groups
        transpose(
            q.W + i * q.group_channels * q.n_filters + g * q.group_filters, q.n_filters,
            q.group_channels, q.group_filters,
            W + (n_positions - 1 - i) * q.group_filters * q.n_channels
            + g * q.group_channels, q.n_channels)
    return 0
