# Units of a convolution, its activation, and a max pool whose windows do not overlap, in one.
#
#   z = conv(X, W) + b     A = f(z)     Y(o, f) = the maximum over the window of o, at index(o, f)
#   d(o, f) = dY(o, f) f'(z(index(o, f), f))     dz(index(o, f), f) = d(o, f), elsewhere 0
#
# Design:
# * z and dz are as many times larger than Y as the windows are. They are made and used for a unit
#   at a time: the windows of as many rows of Y as make a full block of rows; where maps are small,
#   all of a block of images. All of dz is in memory only where windows are small: unpooled.pxi.
# * Where images fill the vectors better, whole vectors of images go forward interleaved
#   (interleaved.pxi), to the same bits.
# * f' follows from the output, so that of the maximum is known from Y.
# * Of dz all but one number of a window is zero. Sparse gradients skip the zeros: a filter's
#   gradient is the sum of the windows of X in which it found a maximum, times d; a position's
#   gradient is the sum of the filters that found one there. With 2 x 2 windows that is a quarter
#   of the multiplications of direct_gradient.pxi, in vectors along the taps. As there, a vector
#   over the end of a run adds zeros, so an infinite d spoils its neighbours.

cdef struct ConvPool:
    Conv conv                 # as given; dY and Y_in are pooled
    bint pools                # otherwise all that follows has no meaning
    Pool pool                 # of its output
    bint whole                # whether a unit is a block of images, and not a part of one
    Py_ssize_t rows           # of pooled positions in an image
    Py_ssize_t unit_rows      # and in a unit
    Py_ssize_t n_units        # of a block of images
    Py_ssize_t unit_windows   # of the largest unit
    Py_ssize_t unit_size      # pooled numbers of the largest unit
    int32_t* index
    const int32_t* index_in


cdef struct Unit:
    Py_ssize_t first, n_windows   # windows of the block
    Py_ssize_t row, n_rows        # rows of pooled positions of the block


cdef int conv_pool_geometry(
    ConvPool* p, const Py_ssize_t* shape_X, const Py_ssize_t* shape_W,
    const Py_ssize_t* shape_Y, stride, padding, dilation, Py_ssize_t groups, pool_size
) except -1:
    """Shapes have five axes; that of Y may be NULL. Windows of one position are no pool."""
    cdef Conv* q = &p.conv
    cdef Py_ssize_t windows[3]
    cdef Py_ssize_t maps[5]
    cdef Py_ssize_t pooled[5]
    cdef int axis
    read_sizes(pool_size, 3, 1, "pool_size", windows)
    p.pools = windows[0] > 1 or windows[1] > 1 or windows[2] > 1
    conv_geometry(q, shape_X, shape_W, NULL if p.pools else shape_Y, stride, padding, dilation,
                  groups)
    if not p.pools:
        return 0
    if groups > 1 or q.dilation[0] > 1 or q.dilation[1] > 1 or q.dilation[2] > 1:
        raise ValueError(f"a pool needs filters that are neither dilated nor in groups, got "
                         f"dilation={dilation} and groups={groups}")
    maps[:] = [q.n_images, q.out[0], q.out[1], q.out[2], q.n_filters]
    if shape_Y is NULL:
        pooled[:] = maps
        for axis in range(3):
            pooled[1 + axis] = q.out[axis] // windows[axis]
        shape_Y = pooled
    pool_geometry(
        &p.pool, maps, shape_Y, pool_size, pool_size, ((0, 0), (0, 0), (0, 0)))
    check_places(q.n_windows)
    p.rows = p.pool.out[0] * p.pool.out[1]
    return 0


cdef void cut_units(ConvPool* p, Py_ssize_t width) noexcept nogil:
    """The units of a block of images, where `width` windows are taken together. The number of
    images plays no part: the order of sums must not depend on it."""
    cdef Conv* q = &p.conv
    cdef Py_ssize_t row_windows = p.pool.window[1] * q.out[2], most = MC * width
    cdef Unit largest
    p.whole = most // q.n_windows > 1
    p.unit_rows = p.pool.out[1]
    p.n_units = 1
    if not p.whole:
        # Rows of several planes are no neighbours: there a unit is all of these planes.
        if p.pool.window[0] == 1:
            p.unit_rows = larger(1, smaller(p.unit_rows, most // row_windows))
        p.n_units = p.pool.out[0] * ceil_div(p.pool.out[1], p.unit_rows)
    largest = unit_at(p, 0, q.block_images)
    p.unit_windows = largest.n_windows
    p.unit_size = largest.n_rows * p.pool.out[2] * q.n_filters


cdef Unit unit_at(const ConvPool* p, Py_ssize_t number, Py_ssize_t n_images) noexcept nogil:
    """A unit of a block of n_images images."""
    cdef const Conv* q = &p.conv
    cdef Py_ssize_t in_plane = ceil_div(p.pool.out[1], p.unit_rows)
    cdef Py_ssize_t plane = number // in_plane, top = number % in_plane * p.unit_rows
    cdef Unit u
    if p.whole:
        u.first, u.n_windows = 0, n_images * q.n_windows
        u.row, u.n_rows = 0, n_images * p.rows
        return u
    u.n_rows = smaller(p.unit_rows, p.pool.out[1] - top)
    u.row = plane * p.pool.out[1] + top
    u.first = (plane * p.pool.window[0] * q.out[1] + top * p.pool.window[1]) * q.out[2]
    u.n_windows = u.n_rows * p.pool.window[1] * q.out[2]
    if p.pool.window[0] > 1:
        u.n_windows = p.pool.window[0] * q.out[1] * q.out[2]
    return u
