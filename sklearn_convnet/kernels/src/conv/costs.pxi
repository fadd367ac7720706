# Cost models: the time that a form takes, by which it is chosen. The unit is a multiply-add of a
# vector in the widest tile. Costs of a forward pass are those of an output position, costs of an
# input gradient those of an image: shapes of one image decide, so that its bits do not depend on
# how many there are. Costs of a weight gradient, which is a sum over the batch, are those of it, of
# one position of each image where there is no pool.

cdef enum:
    ADDING = 8       # multiply-adds that take as long as to add a vector to memory
    SETTING_UP = 8   # and as to begin a position in the direct form
    FINDING_WINDOW = 4   # and as to find the window of an entry of dz that is not zero
    FINDING_SLOT = 16    # and as to put it into a slot of its window
    NEXT_PART = 2        # and as to begin with other taps of its window
    UNPOOLING = 5        # and as to put it into dz
    WRITING = 8          # and as to write a vector of dz, and to read it

# Time of a multiply-add at an entry, where each has a load of its own.
cdef double GATHER_WAIT = 2.1, SPREAD_WAIT = 1.7
cdef double NARROW_SHARE = 0.99  # of the time of the direct form: no model, but that it is less


cdef extern from *:
    """
    /* Time of a multiply-add of a vector, beside one in the widest tile of tile.pxi. */
    #if defined __x86_64__ && !defined __FMA__
    #define MAPS_WAIT 0.75
    #define GRADIENT_WAIT 0.85
    #else
    #define MAPS_WAIT 1.05
    #define GRADIENT_WAIT 1.2
    #endif
    """
    const double MAPS_WAIT, GRADIENT_WAIT


cdef double convolution_cost(const Conv* q, Py_ssize_t width) noexcept nogil:
    """Time of the tiles of an output position, with so many of these taken together."""
    cdef Py_ssize_t n_vec = vectors_for(q.group_filters)
    cdef Py_ssize_t n_taps = q.kernel[0] * q.kernel[1] * q.group_channels
    if q.n_groups == 1:
        return n_taps * cost_of_width(q, width)
    return n_taps * q.n_groups * tile_wait(n_vec) * n_vec * q.kernel[2]


cdef double needed_share(const Conv* q, int axis) noexcept nogil:
    """The share of taps that do not meet padding, on one axis."""
    cdef Py_ssize_t t, first, last, shift, n = 0
    for t in range(q.kernel[axis]):
        shift = q.before[axis] - t * q.dilation[axis]
        first = ceil_div(larger(0, shift), q.stride[axis])
        last = ceil_div(larger(0, q.size[axis] + shift), q.stride[axis])
        n += larger(0, smaller(last, q.out[axis]) - first)
    return <double> n / (q.kernel[axis] * q.out[axis])


cdef double numbers_seen(const Conv* q, const Interleaved* s) noexcept nogil:
    """Those of the input that are interleaved for an output position: several times as many as
    there are where a strip sees much around it."""
    cdef double positions = <double> (s.planes_in * s.rows_in * s.columns_in)
    return positions / (s.rows * s.columns) * q.n_channels


# --- forward -----------------------------------------------------------------------------

cdef double direct_cost(const Conv* q, const Pool* pool) noexcept nogil:
    return convolution_cost(q, 1) + SETTING_UP


cdef double widened_cost(const Conv* q, const Pool* pool) noexcept nogil:
    return convolution_cost(q, best_width(q)) + SETTING_UP


cdef double narrow_cost(const Conv* q, const Pool* pool) noexcept nogil:
    return NARROW_SHARE * widened_cost(q, pool)


cdef double interleaved_cost(const Conv* q, const Pool* pool) noexcept nogil:
    """Time of an output position; it is infinite if a strip does not fit the cache."""
    cdef Interleaved s = interleaved_geometry(q, pool, 1, LANE_BYTES * LANES, 1)
    cdef double share = 1
    if (s.x_size + s.z_size) * sizeof(real) > 8 * LANE_BYTES * LANES:
        return INFINITY
    if q.kernel[0] == 1:
        share *= needed_share(q, 1)
    if s.line_taps > q.group_channels:
        share *= needed_share(q, 2)
    # The input may be a gradient, which needs the output to be interleaved as well.
    return (MAPS_WAIT * share * q.n_taps * q.n_filters / LANES
            + q.n_filters + 2 * numbers_seen(q, &s))


# --- input gradient ----------------------------------------------------------------------

cdef double rows_cost(const Conv* q, Py_ssize_t adding) noexcept nogil:
    """Time of products of dz and the filters, where to add a vector of them takes so long."""
    cdef Py_ssize_t n_vec = vectors_for(q.run_width)
    cdef Py_ssize_t width = ceil_div(n_vec, panels_for(n_vec))
    return (q.n_groups * q.n_runs * n_vec * (tile_wait(width) * q.group_filters + adding)
            * q.n_windows)


cdef double scatter_cost(const Conv* q, const Pool* pool) noexcept nogil:
    return rows_cost(q, ADDING)


cdef double pointwise_cost(const Conv* q, const Pool* pool) noexcept nogil:
    return rows_cost(q, 0)


cdef double phases_cost(const Conv* q, const Pool* pool) noexcept nogil:
    cdef Py_ssize_t joined = best_joined(q)
    cdef double positions = <double> q.size[0] * q.size[1] * q.size[2] / joined
    return phase_products(q, joined) + SETTING_UP * positions * q.n_groups


cdef double turned_cost(const Conv* q, const Pool* pool) noexcept nogil:
    """Time of the forward pass that gives dX, interleaved if there are images enough."""
    cdef Conv back = turned_geometry(q)
    cdef double cost = convolution_cost(&back, best_width(&back)), interleaved = INFINITY
    if back.is_running:
        interleaved = interleaved_cost(&back, NULL)
    if interleaved < cost + SETTING_UP:
        cost = interleaved
    return cost * back.n_windows


cdef double entries_cost(
    const Conv* q, const Pool* pool, double n_vec, double wait, double finding
) noexcept nogil:
    """Time of the entries of dz in an image: behind a max pool, one for each pooled number."""
    cdef double of_entry = wait * n_vec * q.n_runs + NEXT_PART * n_tap_parts(q) + finding
    return pool.n_out * q.n_filters * of_entry


cdef double unpooling_cost(const Conv* q, const Pool* pool) noexcept nogil:
    """Time to make dz of an image."""
    return UNPOOLING * pool.n_out * q.n_filters + WRITING * q.out_size / LANES


cdef double spread_cost(const Conv* q, const Pool* pool) noexcept nogil:
    return entries_cost(q, pool, vectors_for(q.run_width), SPREAD_WAIT, FINDING_SLOT)


# --- weight gradient ---------------------------------------------------------------------

cdef double direct_gradient_cost(const Conv* q, const Pool* pool) noexcept nogil:
    return direct_cost(q, pool) * q.n_images


cdef double widened_gradient_cost(const Conv* q, const Pool* pool) noexcept nogil:
    return widened_cost(q, pool) * q.n_images


cdef double interleaved_gradient_cost(const Conv* q, const Pool* pool) noexcept nogil:
    """Lanes without an image take time too."""
    cdef Interleaved s = interleaved_geometry(q, NULL, 1, STRIP_BYTES, 1)
    cdef Py_ssize_t n_lanes = ceil_div(q.n_images, LANES) * LANES
    cdef double cost = (
        GRADIENT_WAIT * q.n_taps * q.n_filters / LANES
        + 2 * q.n_filters + numbers_seen(q, &s))
    return cost * n_lanes


cdef double gather_cost(const Conv* q, const Pool* pool) noexcept nogil:
    cdef double n_vec = vectors_for(q.run_width)
    if q.run_width <= LANES // 2:
        n_vec = 0.5
    return entries_cost(q, pool, n_vec, GATHER_WAIT, FINDING_WINDOW) * q.n_images
