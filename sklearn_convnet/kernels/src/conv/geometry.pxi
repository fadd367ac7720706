# The geometry of a convolution, and its tables.
#
#   z(o, f)  = b(f) + sum_t sum_c W(t, c, f) X(o s + t d - p, c)
#
# for output positions o, filter taps t, stride s, dilation d and padding p, in one to three
# dimensions.
#
# Design:
# * Two tables depend on the geometry alone: `window`, where in the input the window of each output
#   position begins, and `tap`, where in a window each of the filter's taps and channels lies.
# * Images with few positions are worked on several at a time (`block_images`), so that a tile
#   is full and the filters in cache are used often enough.
# * Sums over the batch are cut into `n_pieces`, a number that depends on shapes alone; each
#   is summed in order, and they are added in order. So threads do not change a bit.

cdef enum:
    RUNNING_TAPS = 1024       # of a running sum: in float32, longer ones would lose digits


cdef struct Conv:
    # Geometry, one entry an axis: depth, height, width.
    Py_ssize_t size[3]        # of the input
    Py_ssize_t kernel[3]
    Py_ssize_t out[3]
    Py_ssize_t stride[3]
    Py_ssize_t dilation[3]
    Py_ssize_t before[3]      # padding
    Py_ssize_t padded[3]      # size with padding
    bint has_padding
    Py_ssize_t n_images, n_channels, n_filters, n_groups
    Py_ssize_t group_channels, group_filters, filter_lanes
    Py_ssize_t n_panels       # of the filters of a group
    Py_ssize_t panel_rows     # windows between two uses of the same part of a panel, at most
    Py_ssize_t n_windows      # of one image
    Py_ssize_t n_taps         # kernel positions times channels of a group
    Py_ssize_t image_size     # numbers in one image
    Py_ssize_t padded_size    # and with padding
    Py_ssize_t out_size
    bint is_running           # whether sums of the forward are running sums: not of blocks of taps
    Py_ssize_t width          # neighbouring positions taken together, see widen.pxi
    Py_ssize_t block_images   # images worked on together, at most
    Py_ssize_t n_blocks       # of nearly equal numbers of images
    # Runs: stretches of taps that are neighbours in memory, for the input gradient.
    Py_ssize_t n_runs, run_width
    Py_ssize_t* window        # (block_images * n_windows)
    Py_ssize_t* tap           # (n_taps)
    Py_ssize_t* run           # (n_runs)
    Py_ssize_t* count         # 0, 1, 2 ... (n_filters)
    Py_ssize_t* order         # of the windows when they are added to, see scatter_order
    # Arrays of the call.
    const real* X
    const real* W
    const real* scale         # times the filters, or NULL
    const real* b
    const real* dY
    real* Y
    const real* addend        # added to Y before the activation, or NULL
    const real* Y_in
    const real* shift         # (n_channels) of dX, or NULL
    real* dX
    bint scatters             # dX: otherwise windows are pixels, and nothing is added up
    int code
    real alpha
    const real* output        # if X is a gradient: where its f' follows from; or NULL
    int code_in
    real alpha_in
    bint packs_in_task        # filters, a panel at a time: there is no packed copy of all
    real* packed              # filters in panels
    real* packed_b
    real* packed_T            # filters in panels for the input gradient
    real* dW_pieces           # (n_pieces, n_groups, n_taps, filter_lanes), or NULL
    real* db_pieces           # (n_pieces, n_groups * filter_lanes), or NULL
    Py_ssize_t n_pieces
    # Forward tasks: (block, chunk of its windows, part of the panels).
    Py_ssize_t n_chunks, n_panel_parts


cdef int conv_geometry(
    Conv* q, const Py_ssize_t* shape_X, const Py_ssize_t* shape_W, const Py_ssize_t* shape_Y,
    stride, padding, dilation, Py_ssize_t groups,
) except -1:
    """Shapes have five axes; that of Y may be NULL."""
    cdef int axis
    cdef Py_ssize_t after[3]
    cdef Py_ssize_t extent
    q.n_images = shape_X[0]
    q.n_channels = shape_X[4]
    q.n_filters = shape_W[4]
    q.n_groups = groups
    if q.n_channels < 1 or q.n_filters < 1:
        raise ValueError(
            f"a convolution needs channels and filters, got {q.n_channels} and {q.n_filters}")
    if groups < 1 or q.n_channels % groups or q.n_filters % groups:
        raise ValueError(
            f"groups={groups} must divide {q.n_channels} channels and {q.n_filters} filters")
    q.group_channels = q.n_channels // groups
    q.group_filters = q.n_filters // groups
    if shape_W[3] != q.group_channels:
        raise ValueError(
            f"W is for {shape_W[3]} channels in each group, X has {q.group_channels}")
    if shape_Y is not NULL and (shape_Y[0] != q.n_images or shape_Y[4] != q.n_filters):
        raise ValueError(
            f"Y has shape {shape_of(shape_Y, 5)}, expected {q.n_images} images with "
            f"{q.n_filters} maps")
    read_sizes(stride, 3, 1, "stride", q.stride)
    read_sizes(dilation, 3, 1, "dilation", q.dilation)
    read_padding(padding, 3, q.before, after)
    for axis in range(3):
        q.size[axis] = shape_X[1 + axis]
        q.kernel[axis] = shape_W[axis]
        if q.kernel[axis] > MAX_SIZE:
            raise ValueError(f"a filter has at most {MAX_SIZE} taps on an axis, W has "
                             f"{q.kernel[axis]}")
        q.padded[axis] = q.size[axis] + q.before[axis] + after[axis]
        extent = q.dilation[axis] * (q.kernel[axis] - 1) + 1
        if q.kernel[axis] < 1 or extent > q.padded[axis]:
            raise ValueError(
                f"a filter that reaches over {extent} does not fit a padded map of size "
                f"{q.padded[axis]} on axis {axis}")
        q.out[axis] = (q.padded[axis] - extent) // q.stride[axis] + 1
        if shape_Y is not NULL and shape_Y[1 + axis] != q.out[axis]:
            raise ValueError(
                f"Y has size {shape_Y[1 + axis]} on axis {axis}, expected {q.out[axis]}")
    check_numbers(<double> q.padded[0] * q.padded[1] * q.padded[2] * q.n_channels,
                  "an image with its padding")
    check_numbers(<double> q.out[0] * q.out[1] * q.out[2] * q.n_filters, "the output")
    q.width = 1
    q.packs_in_task = False
    q.output = q.scale = q.addend = NULL
    conv_sizes(q)
    q.is_running = q.n_taps <= RUNNING_TAPS
    return 0


cdef void conv_sizes(Conv* q) noexcept nogil:
    """Sizes that follow from those of the axes, channels and filters."""
    cdef int axis
    q.has_padding = False
    q.n_windows = 1
    q.image_size = q.padded_size = q.n_channels
    q.n_taps = q.group_channels
    for axis in range(3):
        q.has_padding = q.has_padding or q.padded[axis] != q.size[axis]
        q.n_windows *= q.out[axis]
        q.image_size *= q.size[axis]
        q.padded_size *= q.padded[axis]
        q.n_taps *= q.kernel[axis]
    q.out_size = q.n_windows * q.n_filters
    q.filter_lanes = vectors_for(q.group_filters) * LANES
    q.n_panels = panels_for(q.filter_lanes // LANES)
    q.panel_rows = MC
    # Small images fit one block of rows; the rows of a larger one are cut within it, so
    # that the order of sums does not depend on its place in the batch.
    q.block_images = larger(1, smaller(MC // q.n_windows, q.n_images))
    q.n_blocks = ceil_div(q.n_images, q.block_images)
    if q.dilation[2] == 1 and q.n_groups == 1:
        q.n_runs = q.kernel[0] * q.kernel[1]
        q.run_width = q.kernel[2] * q.n_channels
    else:
        q.n_runs = q.kernel[0] * q.kernel[1] * q.kernel[2]
        q.run_width = q.group_channels


cdef void scatter_order(Conv* q, Py_ssize_t n_windows, Py_ssize_t segment) noexcept nogil:
    """Fills `order`, segment by segment. Store forwarding fails where a vector that is read
    overlaps, at other bounds, one that was only just written, and the processor has to wait. So
    windows that follow one another are as far apart as the panels of a run are wide."""
    cdef Py_ssize_t n_vec = vectors_for(q.run_width), width = q.out[2]
    cdef Py_ssize_t n_lanes = ceil_div(n_vec, panels_for(n_vec)) * LANES
    cdef Py_ssize_t apart = ceil_div(n_lanes, q.stride[2] * q.n_channels), at = 0
    cdef Py_ssize_t first = 0, last, row, i, j
    while first < n_windows:
        last = smaller(first + segment, n_windows)
        for i in range(smaller(apart, width)):
            row = first // width * width
            while row < last:
                j = row + i
                while j < smaller(row + width, last):
                    if j >= first:
                        q.order[at] = j
                        at += 1
                    j += apart
                row += width
        first = last


cdef Py_ssize_t* conv_tables(Conv* q, Py_ssize_t segment=0) except NULL:
    """Fills window, tap, run and count; returns the memory they share. Fills order too, for
    segments of so many windows, unless that is 0."""
    cdef Py_ssize_t n_window = q.block_images * q.n_windows
    cdef Py_ssize_t* memory = <Py_ssize_t*> allocate(
        (2 * n_window + q.n_taps + q.n_runs + q.n_filters) * sizeof(Py_ssize_t))
    cdef Py_ssize_t row = q.padded[2] * q.n_channels, plane = q.padded[1] * row
    cdef Py_ssize_t i, d, h, w, c, at = 0, run_at = 0, start
    # Names of their own, since the compiler takes it that the table might hold those of q.
    cdef Py_ssize_t* window = memory
    cdef Py_ssize_t width = q.out[2], step = q.stride[2] * q.n_channels
    q.window = memory
    q.tap = q.window + n_window
    q.run = q.tap + q.n_taps
    q.count = q.run + q.n_runs
    q.order = q.count + q.n_filters
    if segment:
        scatter_order(q, n_window, segment)
    for i in range(q.block_images):
        for d in range(q.out[0]):
            for h in range(q.out[1]):
                start = i * q.padded_size + d * q.stride[0] * plane + h * q.stride[1] * row
                for w in range(width):
                    window[w] = start + w * step
                window += width
    for d in range(q.kernel[0]):
        for h in range(q.kernel[1]):
            for w in range(q.kernel[2]):
                start = (d * q.dilation[0] * plane + h * q.dilation[1] * row
                         + w * q.dilation[2] * q.n_channels)
                if at % q.run_width == 0:
                    q.run[run_at] = start
                    run_at += 1
                for c in range(q.group_channels):
                    q.tap[at] = start + c
                    at += 1
    for i in range(q.n_filters):
        q.count[i] = i
    return memory


cdef inline void cut_blocks(Conv* q, Py_ssize_t multiple) noexcept nogil:
    """As many blocks as can be shared out evenly."""
    q.n_blocks = smaller(q.n_images, ceil_div(q.n_blocks, multiple) * multiple)


cdef inline Py_ssize_t chunks_of(Py_ssize_t n_blocks, int n_threads) noexcept nogil:
    """How many parts a block is cut into: as few as give threads equal shares, since what parts
    have in common, such as padding, is done for each of them."""
    return 1 if n_blocks % n_threads == 0 or n_blocks >= WANTED_TASKS else n_threads


cdef inline Py_ssize_t block_start(const Conv* q, Py_ssize_t block) noexcept nogil:
    """The first image of a block."""
    return part(q.n_images, block, q.n_blocks)


cdef inline Py_ssize_t n_products(const Conv* q) noexcept nogil:
    return q.n_images * q.n_windows * q.n_taps * q.n_filters


cdef void cut_pieces(Conv* q, Py_ssize_t dW_size, Py_ssize_t products) noexcept nogil:
    """The sums over the batch and the blocks of each, by shapes alone; threads share them evenly
    as long as MIN_PIECES is a multiple of their number. What is not worth a second thread is one
    sum."""
    cdef Py_ssize_t most = PIECE_BYTES // (larger(dW_size, 1) * sizeof(real))
    if threads_for_products(products, MIN_PIECES) == 1:
        q.n_pieces = 1
        return
    most = larger(MIN_PIECES, smaller(MAX_PIECES, most) // MIN_PIECES * MIN_PIECES)
    cut_blocks(q, MIN_PIECES)
    q.n_pieces = smaller(q.n_blocks, most)
