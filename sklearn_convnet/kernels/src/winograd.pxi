# Convolutions with 3 x 3 filters and stride 1, with fewer multiplications (Winograd, 1980;
# Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016).
#
# The input is cut into tiles of n x n positions, n = m + 2, that overlap by 2; each makes
# m x m positions of the output. With matrices B, G and A that depend on m alone,
#
#   V = B' x B      U = G w G'      M = sum over channels of U V, point by point      y = A' M A
#
# so an output takes n^2 / m^2 multiplications a channel and filter: 4 for m = 2 and 2.25 for
# m = 4, not 9. The input gradient is the same with dz for x, and with the filters turned around and
# transposed; the weight gradient is its adjoint:
#
#   D = A dz A'     dU = sum over tiles of V D, point by point                       dw = G' dU G
#
# Design:
# * The products are the tile of tile.pxi, one matrix product for each of the n^2 points:
#   rows = tiles (of the weight gradient: channels), columns = filters.
# * A strip is a row of tiles. Its n rows of the input, with their padding, are copied into
#   scratch (and dz = dY f'(z) is made there); transforms run over channels as vectors.
# * A block of strips, perhaps of several images, is worked on together: enough tiles to use
#   each transformed filter often, few enough for V and M to stay in the L2 cache. A tile does
#   not know of the others, so neither the block nor the batch changes a bit.
# * The weight gradient is cut into pieces of the strips, whose sums are added in order, and into
#   groups of the filters. A thread works on one of each alone: cores that read what others have
#   just written take up to twice as long. V is made anew for each group.
# * What a batch norm before or after needs is done with a strip while that is in cache: the input
#   is normalised and activated as it is copied, moments of the output are summed, and those of
#   the input gradient, which is taken through the activation before. See norm.pxi.
# * A max pool whose windows lie side by side, and within tiles, is done with a strip of the output
#   while that is in scratch; backward, a strip of dz is made from the pooled gradient there.
# * The price is rounding: m = 4 loses about two bits, m = 2 hardly any. The matrices come from
#   polynomials through 0, +-1 and infinity for m = 2, and 0, +-1 / sqrt(2), +-sqrt(2) and infinity
#   for m = 4, whose error is a quarter of that of the usual 0, +-1, +-2 and infinity.

cdef enum:
    MAX_POINTS = 36
    BLOCK_BYTES = 1 << 20       # of V and M of a block
    GRADIENT_BYTES = 1 << 19    # of V and D of a block of the weight gradient, at least
    GROUP_BYTES = 5 << 18       # of the sums of a group of filters
    GRADIENT_TASKS = 8          # groups at most, and pieces times groups if sums are large
    MIN_TILES = 16              # of a block
    PIECE_TILES = 64            # of a piece of the weight gradient, at least


cdef enum Transform:
    INPUT_2, INPUT_4     # the transpose of B, n to n
    OUTPUT_2, OUTPUT_4   # the transpose of A, n to m
    SPREAD_2, SPREAD_4   # A, m to n
    FILTER_2, FILTER_4   # G, 3 to n
    FOLD_2, FOLD_4       # the transpose of G, n to 3


cdef struct Winograd:
    Py_ssize_t m, n
    Py_ssize_t n_images, n_channels, n_filters
    Py_ssize_t channel_lanes, filter_lanes   # rounded up to whole vectors
    Py_ssize_t size[2]          # of the input
    Py_ssize_t out[2]
    Py_ssize_t before[2]        # padding
    Py_ssize_t tiles[2]         # of an image, down and across
    Py_ssize_t strip_width      # positions
    Py_ssize_t n_strips         # of all images
    Py_ssize_t block_strips     # of a block, at most
    Py_ssize_t n_blocks
    Py_ssize_t n_pieces, n_groups  # of the weight gradient
    Py_ssize_t v_point, m_point  # distance of two points in V and in M
    const real* X
    const real* S               # activated, if X is to be multiplied by f'
    const int32_t* index_in     # if X is pooled: where in the maps its numbers belong
    int derivative
    real derivative_alpha
    const Norm* norm            # normalises and activates X as it is read, or NULL
    const real* W
    Py_ssize_t w_tap, w_row, w_column   # element (tap, channel, filter) of W
    const real* b
    const real* addend          # to the output, like it, or NULL
    const Norm* through         # if Y is the gradient at f(z): makes it that at z, or NULL
    double* sums                # of strips of that, see sum_gradient, or NULL
    double* moments             # of strips of the output, see moments_of_rows, or NULL
    real* Y
    bint pools                  # the output
    Pool pool                   # of the output, or what the input has been through
    int32_t* index              # of the maxima, or NULL
    int code
    real alpha
    real* packed                # (points, panels of filters) of U


cdef inline void transform_1d(
    Transform kind, const real* x, Py_ssize_t p, real* y, Py_ssize_t q
) noexcept nogil:
    """A small matrix times vectors that are p numbers apart; the results are q apart."""
    cdef real half = 0.5, two = 2, two_and_a_half = 2.5
    cdef real third = 1.0 / 3, two_thirds = 2.0 / 3, sixth = 1.0 / 6
    cdef real root = 1.4142135623730951, inverse_root = 0.70710678118654752
    cdef vec a, b, c, d
    if kind == INPUT_4:
        a = at(x + 4 * p) - two * at(x + 2 * p)
        b = inverse_root * at(x + 3 * p) - root * at(x + p)
        c = at(x + 4 * p) - half * at(x + 2 * p)
        d = root * at(x + 3 * p) - inverse_root * at(x + p)
        put(y, at(x) - two_and_a_half * at(x + 2 * p) + at(x + 4 * p))
        put(y + q, a + b)
        put(y + 2 * q, a - b)
        put(y + 3 * q, c + d)
        put(y + 4 * q, c - d)
        put(y + 5 * q, at(x + p) - two_and_a_half * at(x + 3 * p) + at(x + 5 * p))
    elif kind == INPUT_2:
        put(y, at(x) - at(x + 2 * p))
        put(y + q, at(x + p) + at(x + 2 * p))
        put(y + 2 * q, at(x + 2 * p) - at(x + p))
        put(y + 3 * q, at(x + p) - at(x + 3 * p))
    elif kind == OUTPUT_4:
        a = at(x + p) + at(x + 2 * p)
        b = at(x + p) - at(x + 2 * p)
        c = at(x + 3 * p) + at(x + 4 * p)
        d = at(x + 3 * p) - at(x + 4 * p)
        put(y, at(x) + a + c)
        put(y + q, inverse_root * b + root * d)
        put(y + 2 * q, half * a + two * c)
        put(y + 3 * q, half * inverse_root * b + two * root * d + at(x + 5 * p))
    elif kind == OUTPUT_2:
        put(y, at(x) + at(x + p) + at(x + 2 * p))
        put(y + q, at(x + p) - at(x + 2 * p) - at(x + 3 * p))
    elif kind == SPREAD_4:
        a = at(x) + half * at(x + 2 * p)
        b = inverse_root * at(x + p) + half * inverse_root * at(x + 3 * p)
        c = at(x) + two * at(x + 2 * p)
        d = root * at(x + p) + two * root * at(x + 3 * p)
        put(y, at(x))
        put(y + q, a + b)
        put(y + 2 * q, a - b)
        put(y + 3 * q, c + d)
        put(y + 4 * q, c - d)
        put(y + 5 * q, at(x + 3 * p))
    elif kind == SPREAD_2:
        put(y, at(x))
        put(y + q, at(x) + at(x + p))
        put(y + 2 * q, at(x) - at(x + p))
        put(y + 3 * q, -at(x + p))
    elif kind == FILTER_4:
        a = -two_thirds * at(x) - third * at(x + 2 * p)
        b = two_thirds * inverse_root * at(x + p)
        c = sixth * at(x) + third * at(x + 2 * p)
        d = sixth * root * at(x + p)
        put(y, at(x))
        put(y + q, a - b)
        put(y + 2 * q, a + b)
        put(y + 3 * q, c + d)
        put(y + 4 * q, c - d)
        put(y + 5 * q, at(x + 2 * p))
    elif kind == FILTER_2:
        a = half * (at(x) + at(x + 2 * p))
        b = half * at(x + p)
        put(y, at(x))
        put(y + q, a + b)
        put(y + 2 * q, a - b)
        put(y + 3 * q, at(x + 2 * p))
    elif kind == FOLD_4:
        a = at(x + p) + at(x + 2 * p)
        b = at(x + 2 * p) - at(x + p)
        c = at(x + 3 * p) + at(x + 4 * p)
        d = at(x + 3 * p) - at(x + 4 * p)
        put(y, at(x) - two_thirds * a + sixth * c)
        put(y + q, two_thirds * inverse_root * b + sixth * root * d)
        put(y + 2 * q, third * (c - a) + at(x + 5 * p))
    else:
        a = half * (at(x + p) + at(x + 2 * p))
        put(y, at(x) + a)
        put(y + q, half * (at(x + p) - at(x + 2 * p)))
        put(y + 2 * q, a + at(x + 3 * p))


cdef inline void transform_2d(
    Transform kind, int n_in, int n_out,
    const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    """The columns, then the rows, of a square of vectors."""
    cdef real half_way[MAX_POINTS * MAX_LANES]
    cdef int i
    for i in range(n_in):
        transform_1d(kind, x + i * x_column, x_row, half_way + i * LANES, n_in * LANES)
    for i in range(n_out):
        transform_1d(kind, half_way + i * n_in * LANES, LANES, y + i * y_row, y_column)


cdef void transform_input(
    Py_ssize_t m, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    if m == 4:
        transform_2d(INPUT_4, 6, 6, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(INPUT_2, 4, 4, x, x_row, x_column, y, y_row, y_column)


cdef void transform_output(
    Py_ssize_t m, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    if m == 4:
        transform_2d(OUTPUT_4, 6, 4, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(OUTPUT_2, 4, 2, x, x_row, x_column, y, y_row, y_column)


cdef void transform_gradient(
    Py_ssize_t m, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    """The adjoint of transform_output."""
    if m == 4:
        transform_2d(SPREAD_4, 4, 6, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(SPREAD_2, 2, 4, x, x_row, x_column, y, y_row, y_column)


cdef void transform_filter(
    Py_ssize_t m, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    if m == 4:
        transform_2d(FILTER_4, 3, 6, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(FILTER_2, 3, 4, x, x_row, x_column, y, y_row, y_column)


cdef void fold_points(
    Py_ssize_t m, const real* x, Py_ssize_t x_row, Py_ssize_t x_column,
    real* y, Py_ssize_t y_row, Py_ssize_t y_column,
) noexcept nogil:
    """The adjoint of transform_filter."""
    if m == 4:
        transform_2d(FOLD_4, 6, 3, x, x_row, x_column, y, y_row, y_column)
    else:
        transform_2d(FOLD_2, 4, 3, x, x_row, x_column, y, y_row, y_column)


# --- geometry --------------------------------------------------------------------------

cdef int winograd_geometry(
    Winograd* q, const Py_ssize_t* shape_X, const Py_ssize_t* shape_W,
    const Py_ssize_t* shape_Y, padding, Py_ssize_t m, pool_size
) except -1:
    """Shapes have four axes."""
    cdef int axis
    cdef Py_ssize_t after[2]
    cdef Py_ssize_t windows[2]
    cdef Py_ssize_t maps[5]
    cdef Py_ssize_t pooled[5]
    if m != 2 and m != 4:
        raise ValueError(f"tiles make 2 or 4 positions on an axis, got {m}")
    if shape_W[0] != 3 or shape_W[1] != 3:
        raise ValueError(f"filters must be 3 x 3, got {shape_W[0]} x {shape_W[1]}")
    q.m, q.n = m, m + 2
    q.n_images, q.n_channels, q.n_filters = shape_X[0], shape_X[3], shape_W[3]
    if q.n_channels < 1 or q.n_filters < 1:
        raise ValueError(
            f"a convolution needs channels and filters, got {q.n_channels} and {q.n_filters}")
    if shape_W[2] != q.n_channels:
        raise ValueError(f"W is for {shape_W[2]} channels, X has {q.n_channels}")
    read_padding(padding, 2, q.before, after)
    read_sizes(pool_size, 2, 1, "pool_size", windows)
    for axis in range(2):
        q.size[axis] = shape_X[1 + axis]
        q.out[axis] = q.size[axis] + q.before[axis] + after[axis] - 2
        if q.before[axis] > 2 or after[axis] > 2:
            raise ValueError(f"padding must be 0, 1 or 2 on each side, got {padding}")
        if q.size[axis] < 1 or q.out[axis] < 1:
            raise ValueError(
                f"a filter that reaches over 3 does not fit a padded map of size "
                f"{q.out[axis] + 2} on axis {axis}")
    pool_size = (1, windows[0], windows[1])
    maps[:] = [q.n_images, 1, q.out[0], q.out[1], q.n_filters]
    pooled[:] = [shape_Y[0], 1, shape_Y[1], shape_Y[2], shape_Y[3]]
    pool_geometry(&q.pool, maps, pooled, pool_size, pool_size, ((0, 0), (0, 0), (0, 0)))
    if m % q.pool.window[1] or m % q.pool.window[2]:
        raise ValueError(f"windows of {pool_size[1:]} do not divide tiles of {m} x {m}")
    q.pools = q.pool.window[1] * q.pool.window[2] > 1
    winograd_sizes(q)
    return 0


cdef void winograd_sizes(Winograd* q) noexcept nogil:
    """What follows from the sizes of the axes, channels and filters."""
    cdef int axis
    for axis in range(2):
        q.tiles[axis] = ceil_div(q.out[axis], q.m)
    q.strip_width = q.tiles[1] * q.m + 2
    q.n_strips = q.n_images * q.tiles[0]
    q.channel_lanes = whole_vectors(q.n_channels)
    q.filter_lanes = whole_vectors(q.n_filters)


cdef Winograd input_gradient_of(const Winograd* q) noexcept nogil:
    """The geometry of the pass from dz to dX; its arrays are still to be given."""
    cdef Winograd back = q[0]
    cdef int axis
    back.n_channels, back.n_filters = q.n_filters, q.n_channels
    back.pools = False
    for axis in range(2):
        back.size[axis], back.out[axis] = q.out[axis], q.size[axis]
        back.before[axis] = 2 - q.before[axis]
    winograd_sizes(&back)
    return back


cdef void winograd_block(
    Winograd* q, Py_ssize_t filter_lanes, Py_ssize_t n_bytes, Py_ssize_t rows
) noexcept nogil:
    """How many strips make a block: V, and M of so many lanes, take about n_bytes, and the
    tiles fill `rows` rows of the micro-kernel well."""
    cdef Py_ssize_t tile_bytes = q.n * q.n * (q.channel_lanes + filter_lanes) * sizeof(real)
    cdef Py_ssize_t n_tiles = larger(MIN_TILES, n_bytes // tile_bytes)
    cdef Py_ssize_t most = larger(1, n_tiles // q.tiles[1]), s, waste, least = -1
    q.block_strips = 1
    for s in range(ceil_div(most, 2), most + 1):
        # Of equal shares of idle rows the larger block is better.
        n_tiles = s * q.tiles[1]
        waste = (ceil_div(n_tiles, rows) * rows - n_tiles) * CHUNK // n_tiles
        if least < 0 or waste <= least:
            least = waste
            q.block_strips = s
    q.block_strips = smaller(q.block_strips, q.n_strips)


cdef void share_blocks(Winograd* q, Py_ssize_t rows, int n_threads) noexcept nogil:
    """Smaller blocks, where there would be too few to share: but not so small that the tiles of
    the micro-kernel are, unless a thread would have none; then as many for each thread."""
    cdef Py_ssize_t few = ceil_div(ceil_div(MIN_TILES, rows) * rows, q.tiles[1])
    few = smaller(few, ceil_div(q.n_strips, n_threads))
    q.block_strips = smaller(
        q.block_strips, larger(few, ceil_div(q.n_strips, WANTED_TASKS)))
    q.n_blocks = ceil_div(ceil_div(q.n_strips, q.block_strips), n_threads) * n_threads
    q.n_blocks = smaller(q.n_strips, q.n_blocks)


cdef void place_points(Winograd* q, Py_ssize_t filter_lanes) noexcept nogil:
    """Where in V, and in M of so many lanes, the points of a block lie."""
    # A cache line more, so that the points of a tile do not all lie in one set of the cache.
    q.v_point = q.block_strips * q.tiles[1] * q.channel_lanes + CACHE_LINE // sizeof(real)
    q.m_point = q.block_strips * q.tiles[1] * filter_lanes + CACHE_LINE // sizeof(real)


# --- strips ----------------------------------------------------------------------------

cdef void unpool_row(
    const Winograd* q, Py_ssize_t image, Py_ssize_t h, real* to, real* d
) noexcept nogil:
    """Row h of an input that is pooled: a number where the maximum was, else zero. Scratch: d,
    for a row of the pooled input."""
    cdef Py_ssize_t n_channels = q.n_channels, n = q.pool.out[2] * n_channels, o, p, c, start
    cdef const int32_t* index
    cdef int32_t at
    cdef real* column = to
    if h // q.pool.window[1] < q.pool.out[1]:
        start = (image * q.pool.out[1] + h // q.pool.window[1]) * n
        index = q.index_in + start
        memcpy(d, q.X + start, n * sizeof(real))
        multiply_derivative(q.derivative, q.derivative_alpha, q.S + start, d, n)
        for o in range(q.pool.out[2]):
            for p in range(q.pool.window[2]):
                at = <int32_t> (h * q.size[1] + o * q.pool.window[2] + p)
                for c in range(n_channels):
                    column[c] = d[c] if index[c] == at else 0
                column = column + n_channels
            index = index + n_channels
            d = d + n_channels
    memset(column, 0, (to + q.size[1] * n_channels - column) * sizeof(real))


cdef void fill_strip(
    const Winograd* q, Py_ssize_t strip, Py_ssize_t first, Py_ssize_t left, Py_ssize_t n_rows,
    real* to
) noexcept nogil:
    """n_rows rows of the input, from row `first` of its strip's image and column -left on,
    zero outside; multiplied by f' where there is S."""
    cdef Py_ssize_t image = strip // q.tiles[0], row = q.strip_width * q.n_channels, i, h
    cdef Py_ssize_t n_left = left * q.n_channels, width = q.size[1] * q.n_channels, start
    cdef real* behind = to + strip_numbers(q)
    for i in range(n_rows):
        h = first + i
        if h < 0 or h >= q.size[0]:
            memset(to, 0, row * sizeof(real))
        else:
            start = (image * q.size[0] + h) * q.size[1] * q.n_channels
            memset(to, 0, n_left * sizeof(real))
            memset(to + n_left + width, 0, (row - n_left - width) * sizeof(real))
            if q.index_in is not NULL:
                unpool_row(q, image, h, to + n_left, behind)
            elif q.norm is not NULL:
                normalize_rows(q.norm, q.X + start, q.size[1], to + n_left)
                activate(q.norm.code, q.norm.alpha, to + n_left, width)
            else:
                memcpy(to + n_left, q.X + start, width * sizeof(real))
                if q.S is not NULL:
                    multiply_derivative(
                        q.derivative, q.derivative_alpha, q.S + start, to + n_left, width)
        to = to + row


cdef inline Py_ssize_t strip_numbers(const Winograd* q) noexcept nogil:
    """Numbers in a strip, and some that a vector over its end may read."""
    return whole_vectors(q.n * q.strip_width * q.n_channels) + LANES


cdef inline Py_ssize_t strip_size(const Winograd* q) noexcept nogil:
    """Scratch of a strip: of the input, and behind it a row of what that is made from."""
    cdef Py_ssize_t behind = 0
    if q.index_in is not NULL:
        behind = whole_vectors(q.pool.out[2] * q.n_channels)
    return strip_numbers(q) + behind


cdef inline Py_ssize_t output_numbers(const Winograd* q) noexcept nogil:
    """Numbers in a strip of the output, and some that a vector over its end may read."""
    return whole_vectors(q.m * q.out[1] * q.n_filters) + LANES


cdef inline Py_ssize_t output_size(const Winograd* q) noexcept nogil:
    """Scratch of a strip of the output: where it is pooled, the strip and a row of its pool; else
    what a norm's moments or sums of it take."""
    if q.pools:
        return output_numbers(q) + whole_vectors(ceil_div(row_bytes(&q.pool), sizeof(real)))
    if q.through is NULL and q.moments is NULL:
        return 0
    return larger(gradient_rows_scratch(q.n_filters), moments_scratch(q.n_filters))


cdef void strip_to_points(
    const Winograd* q, Py_ssize_t strip, Py_ssize_t tile_row, real* V, real* scratch
) noexcept nogil:
    """V of the tiles of a strip, which begin at row `tile_row` of each point's matrix."""
    cdef Py_ssize_t row = q.strip_width * q.n_channels, t, v
    fill_strip(q, strip, strip % q.tiles[0] * q.m - q.before[0], q.before[1], q.n, scratch)
    for t in range(q.tiles[1]):
        for v in range(q.channel_lanes // LANES):
            transform_input(
                q.m, scratch + t * q.m * q.n_channels + v * LANES, row, q.n_channels,
                V + (tile_row + t) * q.channel_lanes + v * LANES, q.n * q.v_point, q.v_point)


cdef void gradient_to_points(
    const Winograd* q, const Winograd* dz, Py_ssize_t strip, Py_ssize_t tile_row,
    Py_ssize_t first, Py_ssize_t n_vec, real* D, real* db, real* scratch
) noexcept nogil:
    """D of the tiles of a strip for n_vec vectors of filters, from `first` on; the sum of dz
    over the strip is added to db where there is one. The input of `dz` is dz, in the tiles
    of q."""
    cdef Py_ssize_t row = q.strip_width * q.n_filters, t, v
    fill_strip(dz, strip, strip % q.tiles[0] * q.m, 0, q.m, scratch)
    for t in range(q.tiles[1]):
        for v in range(n_vec):
            transform_gradient(
                q.m, scratch + t * q.m * q.n_filters + (first + v) * LANES, row, q.n_filters,
                D + ((tile_row + t) * n_vec + v) * LANES, q.n * q.m_point, q.m_point)
    if db is not NULL:
        add_rows(scratch + first * LANES, q.n_filters, q.m * q.strip_width, n_vec * LANES, db)


cdef inline void put_sum(
    const real* a, const real* b, real* to, Py_ssize_t width
) noexcept nogil:
    """a + b, a whole vector or the first `width` numbers of it."""
    cdef Py_ssize_t i
    if width == LANES:
        put(to, at(a) + at(b))
    else:
        for i in range(width):
            to[i] = a[i] + b[i]


cdef void points_to_output(
    const Winograd* q, Py_ssize_t strip, Py_ssize_t tile_row, const real* M, real* scratch
) noexcept nogil:
    """The output of a strip from its rows of M."""
    cdef real y[MAX_POINTS * MAX_LANES]
    cdef real bias[MAX_LANES]
    cdef Py_ssize_t image = strip // q.tiles[0], top = strip % q.tiles[0] * q.m
    cdef Py_ssize_t row = q.out[1] * q.n_filters, t, v, i, j, width
    cdef Py_ssize_t n_rows = smaller(q.m, q.out[0] - top), n_columns
    cdef real* first = scratch if q.pools else q.Y + (image * q.out[0] + top) * row
    for v in range(q.filter_lanes // LANES):
        width = smaller(LANES, q.n_filters - v * LANES)
        memset(bias, 0, LANES * sizeof(real))
        if q.b is not NULL:
            memcpy(bias, q.b + v * LANES, width * sizeof(real))
        for t in range(q.tiles[1]):
            n_columns = smaller(q.m, q.out[1] - t * q.m)
            transform_output(
                q.m, M + (tile_row + t) * q.filter_lanes + v * LANES, q.n * q.m_point,
                q.m_point, y, q.m * LANES, LANES)
            for i in range(n_rows):
                for j in range(n_columns):
                    put_sum(y + (i * q.m + j) * LANES, bias,
                            first + i * row + (t * q.m + j) * q.n_filters + v * LANES, width)
    if q.addend is not NULL:
        add_chunk_to(first, q.addend + (image * q.out[0] + top) * row, n_rows * row)
    activate(q.code, q.alpha, first, n_rows * row)
    if q.pools:
        pool_strip(q, image, top, n_rows, scratch)
    if q.through is not NULL or q.moments is not NULL:
        finish_strip(q, strip, n_rows, scratch)


cdef void finish_strip(
    const Winograd* q, Py_ssize_t strip, Py_ssize_t n_rows, real* scratch
) noexcept nogil:
    """What is done with n_rows rows of the output for the norm before or after it."""
    cdef Norm output
    cdef Py_ssize_t n = q.n_filters
    cdef Py_ssize_t start = strip // q.tiles[0] * q.out[0] + strip % q.tiles[0] * q.m
    cdef Py_ssize_t first = start * q.out[1], end = (start + n_rows) * q.out[1]
    if q.through is not NULL:
        gradient_rows(q.through, first, end, q.Y, q.Y,
                      NULL if q.sums is NULL else q.sums + strip * 2 * n, scratch)
    if q.moments is not NULL:
        output.X, output.n_channels, output.weight, output.sample_rows = q.Y, n, NULL, 1
        moments_of_rows(&output, first, end, q.moments + strip * (1 + 2 * n), scratch)


cdef void pool_strip(
    const Winograd* q, Py_ssize_t image, Py_ssize_t top, Py_ssize_t n_rows, real* scratch
) noexcept nogil:
    """The pooled output of a strip of n_rows rows in scratch, from row `top` of the image on."""
    cdef const real* end = scratch + output_numbers(q)
    cdef Row row = row_scratch(&q.pool, <char*> end, 0)
    cdef Py_ssize_t first = top // q.pool.window[1], r, to
    for r in range(n_rows // q.pool.window[1]):
        to = (image * q.pool.out[1] + first + r) * q.pool.out[2] * q.n_filters
        # The image would begin `top` rows before, were it there as a whole.
        maxpool_row(&q.pool, scratch - top * q.out[1] * q.n_filters, first + r, end, q.Y + to,
                    NULL if q.index is NULL else q.index + to, row)


# --- filters ---------------------------------------------------------------------------

cdef void pack_points(Winograd* q, real* scratch, int n_threads) noexcept nogil:
    """U, point by point in panels. Scratch: `panel_taps` for each thread."""
    cdef Py_ssize_t n_panels = panels_for(q.filter_lanes // LANES), p
    for p in prange(n_panels, num_threads=n_threads):
        pack_points_of(q, p, scratch + threadid() * panel_taps(q))


cdef inline Py_ssize_t panel_taps(const Winograd* q) noexcept nogil:
    return 9 * q.n_channels * MAX_VECTORS * LANES


cdef void pack_points_of(const Winograd* q, Py_ssize_t panel, real* taps) noexcept nogil:
    """The panel of all points; taps is scratch for the panel of the filters as given."""
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, v = panel_start(n_vec, panel)
    cdef Py_ssize_t n_lanes = (panel_start(n_vec, panel + 1) - v) * LANES, first = v * LANES
    cdef Py_ssize_t width = smaller(n_lanes, q.n_filters - first), t, k, tap_size
    cdef Py_ssize_t point_size = q.n_channels * q.filter_lanes
    tap_size = q.n_channels * n_lanes
    for t in range(9):
        pack_panel(q.W + t * q.w_tap + first * q.w_column, q.w_row, q.w_column, q.n_channels,
                   width, n_lanes, taps + t * tap_size)
    for k in range(tap_size // LANES):
        transform_filter(
            q.m, taps + k * LANES, 3 * tap_size, tap_size,
            q.packed + first * q.n_channels + k * LANES, q.n * point_size, point_size)


# --- forward, and the input gradient ---------------------------------------------------

cdef void multiply_points(
    const Winograd* q, Py_ssize_t n_tiles, const real* V, real* M
) noexcept nogil:
    """M = V U at each point, for n_tiles tiles."""
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, n_k = q.n_channels
    cdef Py_ssize_t n_steps = ceil_div(n_k, REDUCTION_BLOCK), step, k
    cdef Py_ssize_t point, panel, v, W
    cdef const real* b
    for point in range(q.n * q.n):
        for panel in range(panels_for(n_vec)):
            v = panel_start(n_vec, panel)
            W = panel_start(n_vec, panel + 1) - v
            b = q.packed + (point * q.filter_lanes + v * LANES) * n_k
            for step in range(n_steps):
                k = part(n_k, step, n_steps)
                matrix_rows(
                    W, V + point * q.v_point + k, q.channel_lanes, 1, n_tiles,
                    part(n_k, step + 1, n_steps) - k, b + k * W * LANES, W * LANES, ZEROS,
                    step > 0, M + point * q.m_point + v * LANES, q.filter_lanes)


cdef inline Py_ssize_t pass_scratch(const Winograd* q) noexcept nogil:
    return larger(strip_size(q), output_size(q)) + q.n * q.n * (q.v_point + q.m_point)


cdef void winograd_task(const Winograd* q, Py_ssize_t block, real* scratch) noexcept nogil:
    """A block of strips, from input to output."""
    cdef Py_ssize_t first = part(q.n_strips, block, q.n_blocks), i
    cdef Py_ssize_t n_strips = part(q.n_strips, block + 1, q.n_blocks) - first
    cdef real* strip = scratch
    cdef real* V = strip + larger(strip_size(q), output_size(q))
    cdef real* M = V + q.n * q.n * q.v_point
    for i in range(n_strips):
        strip_to_points(q, first + i, i * q.tiles[1], V, strip)
    multiply_points(q, n_strips * q.tiles[1], V, M)
    for i in range(n_strips):
        points_to_output(q, first + i, i * q.tiles[1], M, strip)


cdef int winograd_pass(Winograd* q, int n_threads) except -1:
    """The output of q from its input and filters, both given."""
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, task, scratch_size, rows
    cdef Shares shares
    cdef int thread
    cdef Py_ssize_t n_packed = q.n * q.n * q.n_channels * q.filter_lanes
    cdef real* work
    n_threads = threads_for_products(
        q.n_strips * q.tiles[1] * q.n * q.n * q.n_channels * q.n_filters, n_threads)
    rows = tile_rows(panel_start(n_vec, 1))
    winograd_block(q, q.filter_lanes, BLOCK_BYTES, rows)
    share_blocks(q, rows, n_threads)
    place_points(q, q.filter_lanes)
    scratch_size = larger(pass_scratch(q), panel_taps(q))
    work = <real*> allocate((n_packed + n_threads * scratch_size) * sizeof(real))
    q.packed = work + n_threads * scratch_size
    with nogil:
        pack_points(q, work, n_threads)
        share_out(&shares, q.n_blocks, n_threads)
        for thread in prange(n_threads, num_threads=n_threads, schedule="static"):
            task = next_task(&shares, thread)
            while task >= 0:
                winograd_task(q, task, work + thread * scratch_size)
                task = next_task(&shares, thread)
        free(work)
    return 0


cdef int input_norm(
    Norm* norm, const real[:, :, :, ::1] X, const real[:, ::1] affine, str activation, double alpha
) except -1:
    """What the input has been through, or goes through: f, and the affine map if there is one."""
    norm.n_channels = X.shape[3]
    norm.X = NULL if X.shape[0] == 0 else &X[0, 0, 0, 0]
    if affine is not None:
        same_shape((3, norm.n_channels), shape_of(affine.shape, 2), "affine")
    use_affine(norm, NULL if affine is None else &affine[0, 0],
               activation_code(activation, True), alpha)
    return 0


cdef int winograd_output(
    const real[:, :, :, ::1] X, const real[:, ::1] affine, const real[:, :, :, ::1] W,
    const real[::1] b, real[:, :, :, ::1] Y, double[:, ::1] moments,
    const real[:, :, :, ::1] addend, int32_t[:, :, :, ::1] index, padding, Py_ssize_t m, pool_size,
    str input_activation, double input_alpha, str activation, double alpha, int n_threads,
) except -1:
    """What both forward passes do; each has some of the arrays."""
    cdef Winograd q
    cdef Norm norm
    winograd_geometry(&q, X.shape, W.shape, Y.shape, padding, m, pool_size)
    q.code = activation_code(activation, True)
    q.alpha = alpha
    input_norm(&norm, X, affine, input_activation, input_alpha)
    if b is not None:
        same_length(q.n_filters, b.shape[0], "b")
    if addend is not None:
        same_sizes(Y.shape, addend.shape, 4, "addend")
    if moments is not None:
        same_shape((q.n_strips, 1 + 2 * q.n_filters), shape_of(moments.shape, 2), "moments")
    if index is not None:
        if not q.pools:
            raise ValueError("an index needs windows larger than 1 x 1")
        same_sizes(Y.shape, index.shape, 4, "index")
        check_places(q.pool.n_in)
    if q.n_images == 0:
        return 0
    q.X, q.S, q.index_in = &X[0, 0, 0, 0], NULL, NULL
    q.norm = NULL if affine is None else &norm
    q.through = NULL
    q.moments = NULL if moments is None else &moments[0, 0]
    q.W = &W[0, 0, 0, 0]
    q.w_tap, q.w_row, q.w_column = q.n_channels * q.n_filters, q.n_filters, 1
    q.b = NULL if b is None else &b[0]
    q.Y = &Y[0, 0, 0, 0]
    q.addend = NULL if addend is None else &addend[0, 0, 0, 0]
    q.index = NULL if index is None else &index[0, 0, 0, 0]
    winograd_pass(&q, n_threads)
    return 0


def winograd_forward(
    const real[:, :, :, ::1] X,       # IN  (n, height, width, channels)
    const real[:, ::1] affine,        # IN  (3, channels) of batchnorm_statistics, or None
    const real[:, :, :, ::1] W,       # IN  (3, 3, channels, filters)
    const real[::1] b,                # IN  (filters,) or None
    real[:, :, :, ::1] Y,             # OUT (n, *out, filters)
    double[:, ::1] moments,           # OUT (strips, 1 + 2 filters), or None
    const real[:, :, :, ::1] addend,  # IN  like Y, or None
    padding, Py_ssize_t m, str input_activation, double input_alpha, str activation,
    double alpha, int n_threads,
):
    """Y = f(conv(A, W) + b + addend) with stride 1, by tiles of m x m positions. A is X or, where
    there is an affine map z of it, the input's activation of z(X). The moments of Y are those of
    batchnorm_statistics, for strips: m rows of an image each."""
    n_threads = checked(n_threads, X is None or W is None or Y is None, "X, W, Y")
    winograd_output(
        X, affine, W, b, Y, moments, addend, None, padding, m, (1, 1), input_activation,
        input_alpha, activation, alpha, n_threads)


def winograd_pool_forward(
    const real[:, :, :, ::1] X,     # IN  (n, height, width, channels)
    const real[:, ::1] affine,      # IN  (3, channels) or None
    const real[:, :, :, ::1] W,     # IN  (3, 3, channels, filters)
    const real[::1] b,              # IN  (filters,) or None
    real[:, :, :, ::1] Y,           # OUT (n, *pooled, filters)
    int32_t[:, :, :, ::1] index,    # OUT like Y, or None: the position of the maximum
    padding, Py_ssize_t m, pool_size, str input_activation, double input_alpha, str activation,
    double alpha, int n_threads,
):
    """Y = the maximum over windows of f(conv(A, W) + b), with stride 1, by tiles of m x m
    positions; A as in winograd_forward."""
    n_threads = checked(n_threads, X is None or W is None or Y is None, "X, W, Y")
    winograd_output(
        X, affine, W, b, Y, None, None, index, padding, m, pool_size, input_activation,
        input_alpha, activation, alpha, n_threads)


# --- backward --------------------------------------------------------------------------

cdef void add_products(
    const Winograd* q, Py_ssize_t first, Py_ssize_t n_vec, Py_ssize_t n_tiles,
    const real* V, const real* D, bint add, real* dU
) noexcept nogil:
    """dU (+)= V' D at each point, for n_vec vectors of filters, from `first` on."""
    cdef Py_ssize_t point, panel, v, W
    for point in range(q.n * q.n):
        for panel in range(panels_for(n_vec)):
            v = panel_start(n_vec, panel)
            W = panel_start(n_vec, panel + 1) - v
            matrix_rows(
                W, V + point * q.v_point, 1, q.channel_lanes, q.n_channels, n_tiles,
                D + point * q.m_point + v * LANES, n_vec * LANES, ZEROS, add,
                dU + point * sum_point(q) + (first + v) * LANES, q.filter_lanes)


cdef void cut_gradient(Winograd* q) noexcept nogil:
    """The pieces and groups of the weight gradient, and a block of them: V and D take about twice
    as much as the sums, so that neither is read too often."""
    cdef Py_ssize_t most = smaller(panels_for(q.filter_lanes // LANES), GRADIENT_TASKS)
    cdef Py_ssize_t sums = q.n * q.n * q.n_channels * q.filter_lanes * sizeof(real)
    q.n_groups = smaller(most, ceil_div(sums, GROUP_BYTES))
    q.n_pieces = MAX_PIECES
    while q.n_pieces * sums > PIECE_BYTES and q.n_pieces * q.n_groups > GRADIENT_TASKS:
        q.n_pieces //= 2
    q.n_pieces = smaller(q.n_pieces, q.n_strips * q.tiles[1] // PIECE_TILES)
    q.n_pieces = larger(1, smaller(q.n_pieces, q.n_strips))
    q.n_groups = smaller(most, larger(q.n_groups, MIN_PIECES // q.n_pieces))
    winograd_block(q, group_vectors(q) * LANES, larger(GRADIENT_BYTES, 2 * sums // q.n_groups), 1)
    q.block_strips = smaller(q.block_strips, ceil_div(q.n_strips, q.n_pieces))
    place_points(q, group_vectors(q) * LANES)


cdef inline Py_ssize_t group_vectors(const Winograd* q) noexcept nogil:
    """Vectors of the largest group of filters."""
    return ceil_div(q.filter_lanes // LANES, q.n_groups)


cdef inline Py_ssize_t sum_point(const Winograd* q) noexcept nogil:
    """Distance of two points in dU, a cache line more than it takes as in V."""
    return q.n_channels * q.filter_lanes + CACHE_LINE // sizeof(real)


cdef inline Py_ssize_t gradient_scratch(const Winograd* q, const Winograd* dz) noexcept nogil:
    return (larger(strip_size(q), strip_size(dz)) + q.n * q.n * (q.v_point + q.m_point)
            + MAX_VECTORS * LANES)


cdef void weight_gradient_task(
    const Winograd* q, const Winograd* dz, Py_ssize_t task, real* dU, real* db, real* scratch
) noexcept nogil:
    """dU, and db unless it is NULL, of one group of filters, summed over one piece."""
    cdef Py_ssize_t piece = task // q.n_groups, group = task % q.n_groups
    cdef Py_ssize_t n_all = q.filter_lanes // LANES, strip, n, i
    cdef Py_ssize_t first = part(n_all, group, q.n_groups)
    cdef Py_ssize_t n_vec = part(n_all, group + 1, q.n_groups) - first
    cdef Py_ssize_t start = part(q.n_strips, piece, q.n_pieces)
    cdef Py_ssize_t end = part(q.n_strips, piece + 1, q.n_pieces)
    cdef real* V = scratch + larger(strip_size(q), strip_size(dz))
    cdef real* D = V + q.n * q.n * q.v_point
    if db is not NULL:
        db = db + piece * q.filter_lanes + first * LANES
        memset(db, 0, n_vec * LANES * sizeof(real))
    dU = dU + piece * q.n * q.n * sum_point(q)
    strip = start
    while strip < end:
        n = smaller(q.block_strips, end - strip)
        for i in range(n):
            strip_to_points(q, strip + i, i * q.tiles[1], V, scratch)
            gradient_to_points(q, dz, strip + i, i * q.tiles[1], first, n_vec, D, db, scratch)
        add_products(q, first, n_vec, n * q.tiles[1], V, D, strip > start, dU)
        strip += n


cdef void put_weight_gradient(
    const Winograd* q, Py_ssize_t channel, const real* dU, real* dW
) noexcept nogil:
    """dW = G' dU G for one channel."""
    cdef real w[9 * MAX_LANES]
    cdef Py_ssize_t v, t, width, i
    for v in range(q.filter_lanes // LANES):
        width = smaller(LANES, q.n_filters - v * LANES)
        fold_points(q.m, dU + channel * q.filter_lanes + v * LANES, q.n * sum_point(q),
                    sum_point(q), w, 3 * LANES, LANES)
        for t in range(9):
            for i in range(width):
                dW[(t * q.n_channels + channel) * q.n_filters + v * LANES + i] = w[t * LANES + i]


cdef int winograd_weight_gradient(
    Winograd* q, const Winograd* back, real* dW, real* db, int n_threads
) except -1:
    """dW and db, each unless NULL. `back` is the pass whose input is dz."""
    cdef Py_ssize_t n_points = q.n * q.n, scratch_size, n_dU, n_db, i, piece, task
    cdef Shares shares
    cdef int thread
    cdef Winograd dz = back[0]
    cdef real* work
    cdef real* dU
    cdef real* sums
    n_threads = threads_for_products(
        q.n_strips * q.tiles[1] * n_points * q.n_channels * q.n_filters, n_threads)
    cut_gradient(q)
    dz.tiles, dz.strip_width = q.tiles, q.strip_width
    scratch_size = whole_vectors(gradient_scratch(q, &dz))
    n_dU = n_points * sum_point(q)
    n_db = q.n_pieces * q.filter_lanes
    work = <real*> allocate(
        (n_threads * scratch_size + q.n_pieces * n_dU + n_db) * sizeof(real))
    dU = work + n_threads * scratch_size
    sums = dU + q.n_pieces * n_dU
    with nogil:
        share_out(&shares, q.n_pieces * q.n_groups, n_threads)
        for thread in prange(n_threads, num_threads=n_threads, schedule="static"):
            task = next_task(&shares, thread)
            while task >= 0:
                weight_gradient_task(q, &dz, task, dU, NULL if db is NULL else sums,
                                     work + thread * scratch_size)
                task = next_task(&shares, thread)
        if db is not NULL:
            add_pieces(sums, q.n_pieces, 1, 1, q.n_filters, q.filter_lanes, db, 1)
        if dW is not NULL:
            for i in prange(n_points, num_threads=n_threads):
                for piece in range(1, q.n_pieces):
                    add_chunk_to(dU + i * sum_point(q), dU + piece * n_dU + i * sum_point(q),
                                 q.n_channels * q.filter_lanes)
            for i in prange(q.n_channels, num_threads=n_threads):
                put_weight_gradient(q, i, dU, dW)
        free(work)
    return 0


def winograd_pool_backward(
    const real[:, :, :, ::1] X,     # IN  (n, height, width, channels)
    const real[:, ::1] affine,      # IN  (3, channels) or None
    const real[:, :, :, ::1] W,     # IN  (3, 3, channels, filters)
    const real[:, :, :, ::1] Y,     # IN  (n, *pooled, filters), activated
    const int32_t[:, :, :, ::1] index,  # IN  like Y; None where there is no pool
    const real[:, :, :, ::1] dY,    # IN  like Y
    const real[:, :, :, ::1] addend,  # IN  like X, or None: another part of dX
    const real[:, :, :, ::1] normed,  # IN  like X, or None: what a norm made the input of
    const real[::1] centre,         # IN  (channels,) of that norm, or None
    real[:, :, :, ::1] dX,          # OUT like X, or None
    double[:, ::1] sums,            # OUT (strips of dX, 2 channels) or None
    real[:, :, :, ::1] dW,          # OUT like W, or None
    real[::1] db,                   # OUT (filters,) or None
    padding, Py_ssize_t m, pool_size, str input_activation, double input_alpha, str activation,
    double alpha, int n_threads,
):
    """The gradients of winograd_pool_forward, each computed where its array is given; addend is
    added to dX. That is taken to the gradient at z, where the input is f(z): X itself or, where
    there is an affine map, made of it. The sums are those of batchnorm_backward for the norm that
    made z, or a part of it, of `normed`: of dX and of dX (normed - centre), for strips."""
    n_threads = checked(
        n_threads, X is None or W is None or Y is None or dY is None, "X, W, Y, dY")
    cdef Winograd q, back
    cdef Norm norm
    winograd_geometry(&q, X.shape, W.shape, Y.shape, padding, m, pool_size)
    same_sizes(Y.shape, dY.shape, 4, "dY")
    if q.pools != (index is not None):
        raise ValueError("an index is needed for windows larger than 1 x 1, and for them alone")
    if q.pools:
        same_sizes(Y.shape, index.shape, 4, "index")
    if dX is not None:
        same_sizes(X.shape, dX.shape, 4, "dX")
    if addend is not None:
        same_sizes(X.shape, addend.shape, 4, "addend")
    if dW is not None:
        same_sizes(W.shape, dW.shape, 4, "dW")
    if db is not None:
        same_length(q.n_filters, db.shape[0], "db")
    back = input_gradient_of(&q)
    back.derivative = activation_code(activation, True)
    input_norm(&norm, X, affine, input_activation, input_alpha)
    if not (sums is None) == (normed is None) == (centre is None):
        raise ValueError("normed, its centre and the sums are needed together")
    if sums is not None:
        if dX is None:
            raise ValueError("sums need dX")
        same_sizes(X.shape, normed.shape, 4, "normed")
        same_length(q.n_channels, centre.shape[0], "centre")
        same_shape((back.n_strips, 2 * q.n_channels), shape_of(sums.shape, 2), "sums")
    if q.n_images == 0:
        if dW is not None:
            dW[:] = 0
        if db is not None:
            db[:] = 0
        return
    back.derivative_alpha = alpha
    back.X = &dY[0, 0, 0, 0]
    back.S = NULL if back.derivative == IDENTITY else &Y[0, 0, 0, 0]
    back.index_in = &index[0, 0, 0, 0] if q.pools else NULL
    if q.pools:
        check_index(&q.pool, back.index_in, n_threads)
    back.norm = back.through = NULL
    back.moments = NULL
    if dW is not None or db is not None:
        q.X, q.S, q.index_in = &X[0, 0, 0, 0], NULL, NULL
        q.norm = NULL if affine is None else &norm
        winograd_weight_gradient(
            &q, &back, NULL if dW is None else &dW[0, 0, 0, 0],
            NULL if db is None else &db[0], n_threads)
    if dX is not None:
        # The filters are turned around: tap 0 is the last one of W.
        back.W = &W[2, 2, 0, 0]
        back.w_tap, back.w_row, back.w_column = -q.n_channels * q.n_filters, 1, q.n_filters
        back.b = NULL
        back.addend = NULL if addend is None else &addend[0, 0, 0, 0]
        back.code, back.alpha = IDENTITY, 0
        if sums is not None or norm.code != IDENTITY:
            back.through = &norm
        back.sums = NULL
        if sums is not None:
            back.sums = &sums[0, 0]
            norm.normed, norm.normed_centre = &normed[0, 0, 0, 0], &centre[0]
        back.Y = &dX[0, 0, 0, 0]
        winograd_pass(&back, n_threads)


def winograd_backward(X, affine, W, Y, dY, addend, normed, centre, dX, sums, dW, db, padding, m,
                      input_activation, input_alpha, activation, alpha, n_threads):
    """The gradients of winograd_forward, as in winograd_pool_backward."""
    winograd_pool_backward(
        X, affine, W, Y, None, dY, addend, normed, centre, dX, sums, dW, db, padding, m, (1, 1),
        input_activation, input_alpha, activation, alpha, n_threads)
