# Rows of a convolution of single pixels, made as they are read by a depth-wise one after it.
#
# Design:
# * Only so many rows are in memory as are seen by a few rows of what reads them. As those go down
#   the map, what is still seen is moved to the beginning, and the rows below it are made.
# * Each row is that of conv_panel, in whatever block of rows it is made: its bits are those of the
#   map as a whole.

cdef struct PixelRows:
    const Conv* conv          # of single pixels
    Py_ssize_t n_rows         # of the map that are in memory, at most
    Py_ssize_t first, end     # those that are there now
    real* memory


cdef inline Py_ssize_t pixel_row(const Conv* q) noexcept nogil:
    """Numbers in a row of the map."""
    return q.out[2] * q.n_filters


cdef inline Py_ssize_t pixel_rows_scratch(const Conv* q, Py_ssize_t n_rows) noexcept nogil:
    """So many rows of the map, and what a panel needs."""
    return whole_vectors(n_rows * pixel_row(q)) + panel_scratch(q)


cdef void make_pixels(
    const Conv* q, Py_ssize_t image, Py_ssize_t first, Py_ssize_t n, real* y, real* scratch
) noexcept nogil:
    """n positions of the map."""
    cdef const real* x = q.X + image * q.image_size
    cdef Py_ssize_t n_rows, panel
    while n > 0:
        n_rows = smaller(MC, n)
        for panel in range(q.n_panels):
            conv_panel(q, x, first, n_rows, 0, panel, y, scratch)
        activate(q.code, q.alpha, y, n_rows * q.n_filters)
        y = y + n_rows * q.n_filters
        first += n_rows
        n -= n_rows


cdef const real* with_pixel_rows(
    PixelRows* rows, Py_ssize_t image, Py_ssize_t first, Py_ssize_t end
) noexcept nogil:
    """Where the map would begin, of which the rows from first to end are in memory."""
    cdef const Conv* q = rows.conv
    cdef Py_ssize_t row = pixel_row(q), kept = larger(0, rows.end - first)
    cdef Py_ssize_t n_new = larger(0, end - first - kept)
    if first > rows.first:
        memmove(rows.memory, rows.memory + (first - rows.first) * row, kept * row * sizeof(real))
    make_pixels(q, image, (first + kept) * q.out[2], n_new * q.out[2], rows.memory + kept * row,
                rows.memory + whole_vectors(rows.n_rows * row))
    rows.first, rows.end = first, first + kept + n_new
    return rows.memory - first * row
