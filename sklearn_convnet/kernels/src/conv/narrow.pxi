# The narrow form, forward with a max pool for few taps and filters: vectors run along a row of Y.
# Filters that do not fill vectors cost nothing then, and the maxima are taken between registers.
#
# Design:
# * A tile is NARROW_FILTERS filters at the four positions of each of LANES windows of 2 x 2 side by
#   side. Neighbours in a vector are two strides apart in X, so its columns are dealt out to 2 s
#   planes, column j to plane j % 2s: in a plane, they are neighbours.
# * The order of sums is that of direct.pxi, and so are the bits.
# * Whole vectors of images are faster interleaved (interleaved.pxi); this is for small batches and
#   the images that are left over, and for so few taps that their filters stay in the L1 cache.

cdef struct Narrow:
    Py_ssize_t n_planes       # of a channel
    Py_ssize_t length         # of a row of a plane, so that no vector reaches over its end
    Py_ssize_t plane_size
    Py_ssize_t n_groups       # of NARROW_FILTERS filters
    Py_ssize_t row_lanes      # of a row of Y, in whole vectors
    Py_ssize_t n_chunks       # of the rows of an image
    Py_ssize_t scratch_size
    Py_ssize_t* tap           # (2, n_taps): in the planes, for the left and the right of a window
    real* w                   # (n_groups, n_taps, NARROW_FILTERS)
    real* b                   # (n_groups, NARROW_FILTERS)


cdef bint fills_rows(const Conv* q, const Pool* pool) noexcept nogil:
    """True if not much is idle: lanes behind rows of Y, and filters of a tile."""
    cdef Py_ssize_t filters = ceil_div(q.n_filters, NARROW_FILTERS) * NARROW_FILTERS
    return 4 * filters * whole_vectors(pool.out[2]) <= 7 * q.n_filters * pool.out[2]


cdef Narrow narrow_geometry(const ConvPool* p, int n_threads) noexcept nogil:
    cdef const Conv* q = &p.conv
    cdef Narrow s
    s.n_planes = 2 * q.stride[2]
    s.row_lanes = whole_vectors(p.pool.out[2])
    s.length = larger(ceil_div(q.padded[2], s.n_planes),
                      s.row_lanes + (q.stride[2] + q.kernel[2] - 1) // s.n_planes)
    s.plane_size = q.padded[1] * s.length
    s.n_groups = ceil_div(q.n_filters, NARROW_FILTERS)
    s.n_chunks = smaller(p.rows, chunks_of(q.n_images, n_threads))
    s.scratch_size = (
        whole_vectors(q.n_channels * s.n_planes * s.plane_size)
        + s.n_groups * NARROW_FILTERS * 4 * s.row_lanes + 2 * LANES)
    return s


cdef void pack_narrow(const Conv* q, Narrow* s) noexcept nogil:
    """The table of taps, and filters and biases in groups."""
    cdef Py_ssize_t h, w, c, k = 0, dx, column, g, f
    for h in range(q.kernel[1]):
        for w in range(q.kernel[2]):
            for c in range(q.n_channels):
                for dx in range(2):
                    column = dx * q.stride[2] + w
                    s.tap[dx * q.n_taps + k] = (
                        (c * s.n_planes + column % s.n_planes) * s.plane_size
                        + h * s.length + column // s.n_planes)
                k += 1
    for g in range(s.n_groups):
        f = g * NARROW_FILTERS
        pack_panel(q.W + f, q.n_filters, 1, NULL if q.scale is NULL else q.scale + f, q.n_taps,
                   smaller(NARROW_FILTERS, q.n_filters - f), NARROW_FILTERS, s.w + f * q.n_taps)
    memset(s.b, 0, s.n_groups * NARROW_FILTERS * sizeof(real))
    if q.b is not NULL:
        memcpy(s.b, q.b, q.n_filters * sizeof(real))


cdef inline void take_every(
    Py_ssize_t step, const real* x, Py_ssize_t n, real* to
) noexcept nogil:
    cdef Py_ssize_t i
    if step == 2:  # vectors, since the compiler knows it
        for i in range(n):
            to[i] = x[2 * i]
    else:
        for i in range(n):
            to[i] = x[i * step]


cdef void deal_out(
    const Conv* q, const Narrow* s, const real* image, Py_ssize_t plane, Py_ssize_t first,
    Py_ssize_t last, real* planes
) noexcept nogil:
    """Rows first to last (exclusive) of a plane of a padded image into its planes of columns,
    where padding is zero already."""
    cdef bint is_there = 0 <= plane and plane < q.size[0]
    cdef Py_ssize_t row = q.size[2] * q.n_channels, c, i, h, j, column, n
    cdef const real* x
    cdef real* to
    first = larger(first, q.before[1])
    last = smaller(last, q.before[1] + q.size[1])
    for i in range(s.n_planes):
        # The first column of the plane that is not padding.
        j = larger(0, ceil_div(q.before[2] - i, s.n_planes))
        column = j * s.n_planes + i - q.before[2]
        n = ceil_div(q.size[2] - column, s.n_planes)
        for c in range(q.n_channels):
            x = image + plane * q.size[1] * row + column * q.n_channels + c
            to = planes + (c * s.n_planes + i) * s.plane_size + j
            for h in range(first, last):
                if is_there:
                    take_every(s.n_planes * q.n_channels, x + (h - q.before[1]) * row, n,
                               to + h * s.length)
                else:
                    memset(to + h * s.length, 0, n * sizeof(real))


cdef void narrow_row(
    const ConvPool* p, const Narrow* s, const real* planes, Py_ssize_t image, Py_ssize_t row,
    real* z
) noexcept nogil:
    """A row of Y."""
    cdef const Conv* q = &p.conv
    cdef Py_ssize_t h = row % p.pool.out[1] * 2, g, v
    for g in range(s.n_groups):
        for v in range(s.row_lanes // LANES):
            narrow_tile(
                planes + h * q.stride[1] * s.length + v * LANES, q.stride[1] * s.length, s.tap,
                s.tap + q.n_taps, q.n_taps, s.w + g * q.n_taps * NARROW_FILTERS,
                s.b + g * NARROW_FILTERS,
                z + g * NARROW_FILTERS * 4 * s.row_lanes + v * LANES, s.row_lanes)
    activate(q.code, q.alpha, z, s.n_groups * NARROW_FILTERS * 4 * s.row_lanes)
    for v in range(s.row_lanes // LANES):
        pool_vectors(p, s, z + v * LANES, image, row, v)


cdef void pool_vectors(
    const ConvPool* p, const Narrow* s, real* z, Py_ssize_t image, Py_ssize_t row, Py_ssize_t v
) noexcept nogil:
    """Vector v of a row of Y; its maxima replace the first vector of each filter."""
    cdef const Conv* q = &p.conv
    cdef Py_ssize_t F = q.n_filters, step = 4 * s.row_lanes, f
    cdef Py_ssize_t top = row // p.pool.out[1] * q.out[1] + row % p.pool.out[1] * 2
    cdef Py_ssize_t first = top * q.out[2] + 2 * v * LANES
    cdef Py_ssize_t n = smaller(LANES, p.pool.out[2] - v * LANES)
    cdef Py_ssize_t to = ((image * p.rows + row) * p.pool.out[2] + v * LANES) * F
    cdef int32_t* place = NULL if p.index is NULL else <int32_t*> (z + s.row_lanes)
    cdef Py_ssize_t place_step = step * (sizeof(real) // sizeof(int32_t))
    for f in range(F):
        narrow_max(z + f * step, s.row_lanes, first, q.out[2], z + f * step,
                   NULL if place is NULL else place + f * place_step)
    for f in range(F):
        spread_out(z + f * step, n, q.Y + to + f, F)
    if place is not NULL:
        for f in range(F):
            spread_places(place + f * place_step, n, p.index + to + f, F)


cdef inline void spread_out(const real* x, Py_ssize_t n, real* to, Py_ssize_t step) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[i * step] = x[i]


cdef inline void spread_places(
    const int32_t* x, Py_ssize_t n, int32_t* to, Py_ssize_t step
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[i * step] = x[i]


cdef struct NarrowRows:
    const ConvPool* pool
    const Narrow* form


cdef void narrow_task(const void* work, Py_ssize_t task, real* scratch) noexcept nogil:
    """Some rows of Y of an image."""
    cdef const ConvPool* p = (<const NarrowRows*> work).pool
    cdef const Narrow* s = (<const NarrowRows*> work).form
    cdef const Conv* q = &p.conv
    cdef Py_ssize_t image = task // s.n_chunks, chunk = task % s.n_chunks
    cdef Py_ssize_t start = part(p.rows, chunk, s.n_chunks), row
    cdef Py_ssize_t end = part(p.rows, chunk + 1, s.n_chunks), first, last
    cdef real* z = scratch + whole_vectors(q.n_channels * s.n_planes * s.plane_size)
    for row in range(start, end):
        if row == start or row % p.pool.out[1] == 0:
            first = row % p.pool.out[1] * 2 * q.stride[1]
            last = smaller(p.pool.out[1], row % p.pool.out[1] + end - row)
            last = (2 * last - 1) * q.stride[1] + q.kernel[1]
            deal_out(q, s, q.X + image * q.image_size, row // p.pool.out[1] * q.stride[0]
                     - q.before[0], first, last, scratch)
        narrow_row(p, s, scratch, image, row, z)


cdef int narrow_forward(const ConvPool* p, int n_threads) except -1:
    cdef const Conv* q = &p.conv
    cdef Narrow s = narrow_geometry(p, n_threads)
    cdef NarrowRows work = NarrowRows(p, &s)
    cdef Py_ssize_t n_packed = s.n_groups * NARROW_FILTERS * (q.n_taps + 1)
    cdef Py_ssize_t* memory = <Py_ssize_t*> allocate(
        2 * q.n_taps * sizeof(Py_ssize_t) + n_packed * sizeof(real))
    try:
        s.tap = memory
        s.w = <real*> (s.tap + 2 * q.n_taps)
        s.b = s.w + s.n_groups * NARROW_FILTERS * q.n_taps
        with nogil:
            pack_narrow(q, &s)
            run_tasks(narrow_task, &work, q.n_images * s.n_chunks, n_threads, s.scratch_size,
                      n_zeros=s.scratch_size)
    finally:
        free(memory)
    return 0
