# Convolutions with 3 x 3 or 5 x 5 filters and stride 1, with fewer multiplications (Winograd,
# 1980; Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016).
#
# The input is cut into tiles of n x n positions, n = m + r - 1 for filters of r x r, that overlap
# by r - 1; each makes m x m positions of the output. With matrices B, G and A that depend on m, r,
#
#   V = B' x B      U = G w G'      M = sum over channels of U V, point by point      y = A' M A
#
# so an output takes n^2 / m^2 multiplications a channel and filter: with 3 x 3 taps 4 for m = 2 and
# 2.25 for m = 4, not 9; with 5 x 5 taps 9 and 4, not 25. The input gradient is the same with dz
# for x, and with the filters turned around and transposed; the weight gradient is its adjoint:
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
# * Of maps that lie in memory, a tile's transform asks for its share of what the next strip reads,
#   or writes. All of a strip at once would be more than a core can ask for, and would wait.
# * The weight gradient is cut into pieces of the strips, whose sums are added in order, and into
#   groups of the filters. A thread works on one of each alone: cores that read what others have
#   just written take up to twice as long. V is made anew for each group.
# * What a batch norm before or after needs is done with a strip while that is in cache: the input
#   is normalised and activated as it is copied, moments of the output are summed, and those of
#   the input gradient, which is taken through the activation before. See norm.pxi.
#   Where a norm is behind the output, its input gradient is made as dY is read, for both gradients.
# * A max pool whose windows lie side by side, and within tiles, is done with a strip of the output
#   while that is in scratch; backward, a strip of dz is made from the pooled gradient there.
# * A filter dilated by d sees every d-th position: a tile is m x m of these, and there are d x d
#   tiles that begin one position after the other. A strip has every d-th row, and of these all
#   columns, so that dilation is a distance of positions in transforms and nothing else.
# * The price is rounding: n = 6 loses about two bits, n = 8 four, n = 4 hardly any. The matrices
#   come from polynomials through 0, +-1 and infinity for n = 4, and 0, +-1 / sqrt(2), +-sqrt(2) and
#   infinity for n = 6, whose error is a quarter of that of the usual 0, +-1, +-2 and infinity. For
#   n = 8 they are 0, +-1, +-2, +-1/2 and infinity.

cdef enum:
    BLOCK_BYTES = 1 << 20       # of V and M of a block
    STRIPS_BYTES = 12 << 20     # of V and M of a group of strips, where panels are the tasks
    FILTER_BYTES = 16 << 20     # of U: more is not written to memory
    GRADIENT_BYTES = 1 << 19    # of V and D of a block of the weight gradient, at least
    GROUP_BYTES = 5 << 18       # of the sums of a group of filters
    BOTH_BYTES = 1 << 20        # of the sums, if both gradients are made strip by strip
    GRADIENT_TASKS = 8          # groups at most, and pieces times groups if sums are large
    MIN_TILES = 16              # of a block
    PIECE_TILES = 64            # of a piece of the weight gradient, at least


cdef struct Winograd:
    Py_ssize_t m, r, n          # positions, taps and points of a tile on an axis
    Py_ssize_t dilation[2]
    Py_ssize_t n_images, n_channels, n_filters
    Py_ssize_t channel_lanes, filter_lanes   # rounded up to whole vectors
    Py_ssize_t size[2]          # of the input
    Py_ssize_t out[2]
    Py_ssize_t before[2]        # padding
    Py_ssize_t tiles[2]         # of an image, down and across
    Py_ssize_t strip_width      # positions
    Py_ssize_t n_strips         # of all images
    bint fetches                # rows of the next strip from memory, before they are needed
    Py_ssize_t block_strips     # of a block, at most
    Py_ssize_t n_blocks
    Py_ssize_t n_pieces, n_groups  # of the weight gradient
    Py_ssize_t v_point, m_point  # distance of two points in V and in M
    const real* X
    const real* S               # activated, if X is to be multiplied by f' or is behind a norm
    const int32_t* index_in     # if X is pooled: where in the maps its numbers belong
    int derivative
    real derivative_alpha
    const real* norm_back       # of batchnorm_backward, if X is the gradient behind a norm, or NULL
    const Norm* norm            # normalises and activates X as it is read, or NULL
    const real* W
    Py_ssize_t w_tap, w_row, w_column   # element (tap, channel, filter) of W
    const real* scale           # times the filters, or NULL
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
    # Where panels are the tasks:
    Py_ssize_t n_panels
    Py_ssize_t first_strip, group_strips  # of a group of strips
    real* V                     # of the group
    real* M                     # or D


cdef int winograd_geometry(
    Winograd* q, const Py_ssize_t* shape_X, const Py_ssize_t* shape_W,
    const Py_ssize_t* shape_Y, padding, dilation, Py_ssize_t m, pool_size
) except -1:
    """Shapes have four axes."""
    cdef int axis
    cdef Py_ssize_t reach
    cdef Py_ssize_t after[2]
    cdef Py_ssize_t windows[2]
    cdef Py_ssize_t maps[5]
    cdef Py_ssize_t pooled[5]
    if m != 2 and m != 4:
        raise ValueError(f"tiles make 2 or 4 positions on an axis, got {m}")
    if shape_W[0] != shape_W[1] or (shape_W[0] != 3 and shape_W[0] != 5):
        raise ValueError(f"filters must be 3 x 3 or 5 x 5, got {shape_W[0]} x {shape_W[1]}")
    q.m, q.r, q.n = m, shape_W[0], m + shape_W[0] - 1
    q.n_images, q.n_channels, q.n_filters = shape_X[0], shape_X[3], shape_W[3]
    if q.n_channels < 1 or q.n_filters < 1:
        raise ValueError(
            f"a convolution needs channels and filters, got {q.n_channels} and {q.n_filters}")
    if shape_W[2] != q.n_channels:
        raise ValueError(f"W is for {shape_W[2]} channels, X has {q.n_channels}")
    read_sizes(dilation, 2, 1, "dilation", q.dilation)
    read_padding(padding, 2, q.before, after)
    read_sizes(pool_size, 2, 1, "pool_size", windows)
    for axis in range(2):
        q.size[axis] = shape_X[1 + axis]
        reach = q.dilation[axis] * (q.r - 1)
        q.out[axis] = q.size[axis] + q.before[axis] + after[axis] - reach
        if q.before[axis] > reach or after[axis] > reach:
            raise ValueError(f"padding must be at most {reach} on each side, got {padding}")
        if q.size[axis] < 1 or q.out[axis] < 1:
            raise ValueError(
                f"a filter that reaches over {reach + 1} does not fit a padded map of size "
                f"{q.out[axis] + reach} on axis {axis}")
    pool_size = (1, windows[0], windows[1])
    maps[:] = [q.n_images, 1, q.out[0], q.out[1], q.n_filters]
    pooled[:] = [shape_Y[0], 1, shape_Y[1], shape_Y[2], shape_Y[3]]
    pool_geometry(&q.pool, maps, pooled, pool_size, pool_size, ((0, 0), (0, 0), (0, 0)))
    if m % q.pool.window[1] or m % q.pool.window[2]:
        raise ValueError(f"windows of {pool_size[1:]} do not divide tiles of {m} x {m}")
    q.pools = q.pool.window[1] * q.pool.window[2] > 1
    if q.pools and is_dilated(q):
        raise ValueError("filters before a pool must not be dilated")
    winograd_sizes(q)
    return 0


cdef inline bint is_dilated(const Winograd* q) noexcept nogil:
    return q.dilation[0] > 1 or q.dilation[1] > 1


cdef inline Py_ssize_t tile_start(const Winograd* q, int axis, Py_ssize_t tile) noexcept nogil:
    """The first output position of a tile on an axis."""
    cdef Py_ssize_t d = q.dilation[axis]
    if d == 1:
        return tile * q.m
    return tile // d * q.m * d + tile % d


cdef inline Py_ssize_t tile_positions(
    const Winograd* q, int axis, Py_ssize_t start
) noexcept nogil:
    """How many positions of a tile lie in the output."""
    cdef Py_ssize_t left = larger(0, q.out[axis] - start)
    return smaller(q.m, left if q.dilation[axis] == 1 else ceil_div(left, q.dilation[axis]))


cdef void winograd_sizes(Winograd* q) noexcept nogil:
    """Sizes that follow from those of the axes, channels and filters."""
    cdef int axis
    for axis in range(2):
        q.tiles[axis] = ceil_div(q.out[axis], q.m * q.dilation[axis]) * q.dilation[axis]
    q.strip_width = q.tiles[1] * q.m + (q.r - 1) * q.dilation[1]
    q.n_strips = q.n_images * q.tiles[0]
    q.channel_lanes = whole_vectors(q.n_channels)
    q.filter_lanes = whole_vectors(q.n_filters)
    q.fetches = q.n_images * (
        q.size[0] * q.size[1] * q.n_channels + q.out[0] * q.out[1] * q.n_filters
    ) > NEAR_BYTES // <Py_ssize_t> sizeof(real)


cdef Winograd input_gradient_of(const Winograd* q) noexcept nogil:
    """The geometry of the pass from dz to dX; its arrays are still to be given."""
    cdef Winograd back = q[0]
    cdef int axis
    back.n_channels, back.n_filters = q.n_filters, q.n_channels
    back.pools = False
    for axis in range(2):
        back.size[axis], back.out[axis] = q.out[axis], q.size[axis]
        back.before[axis] = (q.r - 1) * q.dilation[axis] - q.before[axis]
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
        # With equal shares of idle rows the larger block is better.
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


# --- panels and groups of strips --------------------------------------------------------

cdef inline bint takes_panels(const Winograd* q) noexcept nogil:
    """Whether filters go by in panels, and the points of a group of strips wait in a cache that
    cores share: they are smaller than U, which is a lot or they are all there are."""
    cdef Py_ssize_t maps = q.n_strips * q.tiles[1] * (q.channel_lanes + q.filter_lanes)
    cdef Py_ssize_t filters = q.n_channels * q.filter_lanes
    cdef Py_ssize_t point_bytes = q.n * q.n * sizeof(real)
    return filters * point_bytes > FILTER_BYTES or (
        maps <= filters and maps * point_bytes <= STRIPS_BYTES)


cdef Py_ssize_t cut_groups(Winograd* q) noexcept nogil:
    """How many groups of strips there are. A block is the largest of them."""
    cdef Py_ssize_t size = q.n * q.n * q.tiles[1] * (q.channel_lanes + q.filter_lanes)
    cdef Py_ssize_t n_groups = ceil_div(q.n_strips * size * sizeof(real), STRIPS_BYTES)
    n_groups = smaller(n_groups, q.n_strips)
    q.block_strips = ceil_div(q.n_strips, n_groups)
    return n_groups


cdef inline void take_group(Winograd* q, Py_ssize_t group, Py_ssize_t n_groups) noexcept nogil:
    q.first_strip = part(q.n_strips, group, n_groups)
    q.group_strips = part(q.n_strips, group + 1, n_groups) - q.first_strip
