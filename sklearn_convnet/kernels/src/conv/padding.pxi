# The input in its padding: a copy of one or a few images into the scratch of a thread, not of the
# batch. As a prologue, it is multiplied by f' there, if it is a gradient.

cdef void pad_image(
    const Conv* q, const real* image, real* padded, Py_ssize_t row_start, Py_ssize_t row_end
) noexcept nogil:
    """Copies an image, or its gradient times f', into the middle of zeros; of its (depth, height)
    rows, those from row_start to row_end of the padded image are filled."""
    cdef Py_ssize_t row = q.padded[2] * q.n_channels, width = q.size[2] * q.n_channels
    cdef Py_ssize_t left = q.before[2] * q.n_channels
    cdef Py_ssize_t i, d, h
    cdef real* to
    cdef const real* source
    for i in range(row_start, row_end):
        to = padded + i * row
        d = i // q.padded[1] - q.before[0]
        h = i % q.padded[1] - q.before[1]
        if 0 <= d and d < q.size[0] and 0 <= h and h < q.size[1]:
            memset(to, 0, left * sizeof(real))
            source = image + (d * q.size[1] + h) * width
            memcpy(to + left, source, width * sizeof(real))
            if q.output is not NULL:
                multiply_derivative(
                    q.code_in, q.alpha_in, q.output + (source - q.X), to + left, width)
            memset(to + left + width, 0, (row - left - width) * sizeof(real))
        else:
            memset(to, 0, row * sizeof(real))


cdef void fill_pixels(
    const real* shift, Py_ssize_t n_channels, Py_ssize_t n_pixels, real* image
) noexcept nogil:
    """Pixels that are all the shift, or zero without one."""
    cdef Py_ssize_t i
    if shift is NULL:
        memset(image, 0, n_pixels * n_channels * sizeof(real))
        return
    for i in range(n_pixels):
        copy_row(shift, image + i * n_channels, n_channels)


cdef void crop_image(const Conv* q, const real* padded, real* image) noexcept nogil:
    """The adjoint of pad_image."""
    cdef Py_ssize_t row = q.padded[2] * q.n_channels, width = q.size[2] * q.n_channels
    cdef Py_ssize_t d, h
    for d in range(q.size[0]):
        for h in range(q.size[1]):
            memcpy(
                image + (d * q.size[1] + h) * width,
                padded + ((d + q.before[0]) * q.padded[1] + h + q.before[1]) * row
                + q.before[2] * q.n_channels,
                width * sizeof(real))


cdef inline bint copies_input(const Conv* q) noexcept nogil:
    return q.has_padding or q.output is not NULL


cdef inline bint reads_pixels(const Conv* q) noexcept nogil:
    """True if windows are pixels in memory, not in a copy: the processor does not foresee where the
    next row of a tile begins, so they are asked for."""
    return q.n_runs == 1 and not copies_input(q)


cdef const real* padded_block(
    const Conv* q, Py_ssize_t block, Py_ssize_t first, Py_ssize_t last, real* scratch
) noexcept nogil:
    """The padded images of a block, at least where windows first to last (exclusive) look."""
    cdef Py_ssize_t image = block_start(q, block)
    cdef Py_ssize_t n_images = block_start(q, block + 1) - image
    cdef Py_ssize_t n_rows = q.padded[0] * q.padded[1], row_start = 0, row_end = n_rows, i
    if not copies_input(q):
        return q.X + image * q.image_size
    if n_images == 1 and q.out[0] == 1:
        row_start = (first // q.out[2]) * q.stride[1]
        row_end = ((last - 1) // q.out[2]) * q.stride[1]
        row_end = smaller(row_end + (q.kernel[1] - 1) * q.dilation[1] + 1, q.padded[1])
        if q.kernel[0] > 1:
            row_start = 0
            row_end = n_rows
    for i in range(n_images):
        pad_image(q, q.X + (image + i) * q.image_size, scratch + i * q.padded_size,
                  row_start, row_end)
    return scratch
