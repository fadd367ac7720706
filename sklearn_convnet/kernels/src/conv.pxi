# Convolution in one to three dimensions, and its gradients (rows in the order in which the
# maps lie in memory: image, depth, height, width, channel).
#
#   z(o, f)  = b(f) + sum_t sum_c W(t, c, f) X(o s + t d - p, c)      Y = f(z)
#   dX(i, c) = sum over (o, t) with o s + t d - p = i of sum_f W(t, c, f) dz(o, f)
#   dW(t, c, f) = sum_o X(o s + t d - p, c) dz(o, f)                  dz = dY f'(z)
#
# for output positions o, filter taps t, stride s, dilation d and padding p.
#
# Design:
# * All three are the tile of tile.pxi, with two tables that depend on the geometry alone:
#   `window`, where in the input the window of each output position begins, and `tap`, where
#   in a window each of the filter's taps and channels lies.
#     forward         rows = windows   k = taps      b = the filters
#     weight gradient rows = taps      k = windows   b = dz
#     input gradient  rows = dz        k = filters   b = the filters, transposed
#   The input gradient adds each tile to the window it came from (neighbouring windows
#   overlap), so no stride, dilation or padding needs a form of its own, and the taps of a
#   row of a window, which are neighbours in memory, fill vectors even where channels are few.
#   With stride 1 it can also be a forward, of dz and the filters turned round.
# * Where images can fill the vectors better than filters, vectors of images are worked on
#   interleaved (interleaved.pxi), by the same sums in the same order; the others here.
# * Padding is a copy of one or a few images into the scratch of a thread, not of the batch.
# * Images with few positions are worked on several at a time (`block_images`), so that a tile
#   is full and the filters in cache are used often enough.
# * dz is never stored as a whole: it is made for ROW_BLOCK positions at a time, and used for
#   both gradients while it is in cache. If the input gradient is a forward, dz is made anew, in
#   the copy that has its padding.
# * Sums over the batch are cut into `n_pieces`, a number that depends on shapes alone; each
#   is summed in order, and they are added in order. So threads do not change a bit.

cdef enum:
    MAX_PIECES = 16
    MIN_PIECES = 4
    PIECE_BYTES = 1 << 22     # all pieces together, beyond MIN_PIECES
    WANTED_TASKS = 16
    RUNNING_TAPS = 1024       # of a running sum: in float32, longer ones would lose digits
    ADDING = 8                # multiply-adds that take as long as to add a vector to memory


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
    const real* b
    const real* dY
    real* Y
    const real* Y_in
    real* dX
    int code
    real alpha
    const real* output        # if X is a gradient: where its f' follows from; or NULL
    int code_in
    real alpha_in
    real* packed              # filters in panels
    real* packed_b
    real* packed_T            # filters in panels for the input gradient
    real* dW_pieces           # (n_pieces, n_groups, n_taps + MAX_ROWS, filter_lanes)
    real* db_pieces           # (n_pieces, n_groups * filter_lanes)
    Py_ssize_t n_pieces
    # Forward tasks: (block, chunk of its windows, part of the panels).
    Py_ssize_t n_chunks, n_panel_parts
    real* scratch             # of the threads, scratch_size numbers each
    Py_ssize_t scratch_size


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
    q.output = NULL
    conv_sizes(q)
    q.is_running = q.n_taps <= RUNNING_TAPS
    return 0


cdef void conv_sizes(Conv* q) noexcept nogil:
    """What follows from the sizes of the axes, channels and filters."""
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
    # Small images fit one block of rows; the rows of a larger one are cut within it, so
    # that the order of sums does not depend on its place in the batch.
    q.block_images = larger(1, smaller(ROW_BLOCK // q.n_windows, q.n_images))
    q.n_blocks = ceil_div(q.n_images, q.block_images)
    if q.dilation[2] == 1 and q.n_groups == 1:
        q.n_runs = q.kernel[0] * q.kernel[1]
        q.run_width = q.kernel[2] * q.n_channels
    else:
        q.n_runs = q.kernel[0] * q.kernel[1] * q.kernel[2]
        q.run_width = q.group_channels


cdef void scatter_order(Conv* q, Py_ssize_t n_windows, Py_ssize_t segment) noexcept nogil:
    """Fills `order`, segment by segment. A processor that adds to numbers which it has only
    just written, and at other bounds, has to wait. So windows that follow one another are
    as far apart as the panels of a run are wide."""
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
                for w in range(q.out[2]):
                    q.window[at] = (
                        i * q.padded_size + d * q.stride[0] * plane
                        + h * q.stride[1] * row + w * q.stride[2] * q.n_channels)
                    at += 1
    at = 0
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


# --- padding ---------------------------------------------------------------------------

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


# --- forward ---------------------------------------------------------------------------

cdef void pack_filters(Conv* q, int n_threads) noexcept nogil:
    """Filters and biases into panels of every group."""
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, n_panels = panels_for(n_vec)
    cdef Py_ssize_t t, g, p, v, width, n_lanes
    for t in prange(q.n_groups * n_panels, num_threads=n_threads):
        g = t // n_panels
        p = t % n_panels
        v = panel_start(n_vec, p)
        n_lanes = (panel_start(n_vec, p + 1) - v) * LANES
        width = smaller(n_lanes, q.group_filters - v * LANES)
        pack_panel(
            q.W + g * q.group_filters + v * LANES, q.n_filters, 1, q.n_taps, width, n_lanes,
            q.packed + (g * q.filter_lanes + v * LANES) * q.n_taps)
        if q.b is NULL:
            memset(q.packed_b + g * q.filter_lanes + v * LANES, 0, n_lanes * sizeof(real))
        else:
            pack_panel(q.b + g * q.group_filters + v * LANES, 0, 1, 1, width, n_lanes,
                       q.packed_b + g * q.filter_lanes + v * LANES)


cdef inline Py_ssize_t panel_scratch() noexcept nogil:
    """A block of rows of a panel, and a spare one."""
    return (ROW_BLOCK + 1) * MAX_VECTORS * LANES


cdef void conv_panel(
    const Conv* q, const real* x, Py_ssize_t first, Py_ssize_t n_rows,
    Py_ssize_t group, Py_ssize_t panel, real* y, real* scratch,
) noexcept nogil:
    """One panel of maps at windows first ... first + n_rows of a block; y is the block's
    output at the first window. Scratch: `panel_scratch`."""
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, v = panel_start(n_vec, panel)
    cdef Py_ssize_t V = panel_start(n_vec, panel + 1) - v, n_lanes = V * LANES
    cdef Py_ssize_t column = group * q.group_filters + v * LANES
    cdef Py_ssize_t width = smaller(n_lanes, q.group_filters - v * LANES)
    cdef const real* b = q.packed + (group * q.filter_lanes + v * LANES) * q.n_taps
    cdef const real* init = q.packed_b + group * q.filter_lanes + v * LANES
    cdef Py_ssize_t n_steps = ceil_div(q.n_taps, REDUCTION_BLOCK), step, k, k_end
    cdef Py_ssize_t n_direct = 0, R = tile_rows(V), t, row, r
    cdef const real* a[MAX_ROWS]
    cdef real* c[MAX_ROWS]
    x = x + group * q.group_channels
    y = y + column
    # Rows that go straight to the output: all of them if they are whole vectors; else those
    # whose surplus the rows after them overwrite.
    if width == n_lanes:
        n_direct = n_rows
    elif width == q.n_filters and n_steps == 1:
        n_direct = larger(0, n_rows - ceil_div(n_lanes - width, width))
    for step in range(n_steps):
        k = part(q.n_taps, step, n_steps)
        k_end = part(q.n_taps, step + 1, n_steps)
        for t in range(ceil_div(n_rows, R)):
            row = t * R
            for r in range(smaller(R, n_rows - row)):
                a[r] = x + q.window[first + row + r]
                c[r] = scratch + (row + r) * n_lanes
                if row + r < n_direct:
                    c[r] = y + (row + r) * q.n_filters
            for r in range(n_rows - row, R):
                a[r] = a[0]
                c[r] = scratch + ROW_BLOCK * n_lanes
            tile(V, a, q.tap + k, k_end - k, b + k * n_lanes, n_lanes,
                 init if step == 0 else ZEROS,
                 FROM_INIT if step == 0 else FROM_C if q.is_running else ADD_C, c)
    copy_columns(scratch + n_direct * n_lanes, n_lanes, y + n_direct * q.n_filters,
                 q.n_filters, n_rows - n_direct, width)


cdef void conv_forward_task(const Conv* q, Py_ssize_t task, real* scratch) noexcept nogil:
    cdef Py_ssize_t panel_part = task % q.n_panel_parts
    cdef Py_ssize_t chunk = (task // q.n_panel_parts) % q.n_chunks
    cdef Py_ssize_t block = task // (q.n_panel_parts * q.n_chunks)
    cdef Py_ssize_t image = block_start(q, block)
    cdef Py_ssize_t n_windows = q.n_windows * (block_start(q, block + 1) - image)
    cdef Py_ssize_t n_row_blocks = ceil_div(n_windows, ROW_BLOCK)
    cdef Py_ssize_t first = smaller(part(n_row_blocks, chunk, q.n_chunks) * ROW_BLOCK, n_windows)
    cdef Py_ssize_t last = smaller(
        part(n_row_blocks, chunk + 1, q.n_chunks) * ROW_BLOCK, n_windows)
    cdef Py_ssize_t n_panels = panels_for(q.filter_lanes // LANES)
    cdef Py_ssize_t n_all = q.n_groups * n_panels
    cdef Py_ssize_t start = part(n_all, panel_part, q.n_panel_parts)
    cdef Py_ssize_t end = part(n_all, panel_part + 1, q.n_panel_parts)
    cdef Py_ssize_t i, row, n_rows, t, r, left, right
    cdef real* y
    cdef const real* x
    if first >= last:
        return
    x = padded_block(q, block, first, last, scratch + panel_scratch())
    # The columns of this part, for the activation.
    left = (start // n_panels) * q.group_filters
    left += panel_start(q.filter_lanes // LANES, start % n_panels) * LANES
    right = (end // n_panels) * q.group_filters
    right += panel_start(q.filter_lanes // LANES, end % n_panels) * LANES
    for i in range(ceil_div(last - first, ROW_BLOCK)):
        row = first + i * ROW_BLOCK
        n_rows = smaller(ROW_BLOCK, last - row)
        y = q.Y + image * q.out_size + row * q.n_filters
        for t in range(start, end):
            conv_panel(q, x, row, n_rows, t // n_panels, t % n_panels, y, scratch)
        if right - left == q.n_filters:
            activate(q.code, q.alpha, y, n_rows * q.n_filters)
        else:
            for r in range(n_rows):
                activate(q.code, q.alpha, y + r * q.n_filters + left, right - left)


cdef real* forward_work(const Conv* given, Conv* q, int n_threads) except NULL:
    """The filters, perhaps made wide, and biases in panels, and behind them the scratch of the
    threads; the caller frees them together."""
    cdef Py_ssize_t n_packed = q.n_groups * q.filter_lanes
    cdef real* memory = <real*> allocate(
        (n_packed * (q.n_taps + 1) + wide_filters(q) + n_threads * q.scratch_size)
        * sizeof(real))
    q.packed = memory
    q.packed_b = q.packed + n_packed * q.n_taps
    q.scratch = q.packed_b + n_packed
    with nogil:
        if q.width > 1:
            q.W = q.scratch
            q.b = NULL if given.b is NULL else q.W + q.n_taps * q.n_filters
            widen_filters(given, q, q.scratch, q.scratch + q.n_taps * q.n_filters)
            q.scratch += wide_filters(q)
        pack_filters(q, n_threads)
    return memory


def conv_forward(
    const real[:, :, :, :, ::1] X,  # IN  (n, depth, height, width, channels)
    const real[:, :, :, :, ::1] W,  # IN  (*kernel, channels / groups, filters)
    const real[::1] b,              # IN  (filters,) or None
    real[:, :, :, :, ::1] Y,        # OUT (n, *out, filters)
    stride, padding, dilation, Py_ssize_t groups,
    str activation, double alpha, int n_threads,
):
    """Y = f(conv(X, W) + b)."""
    n_threads = checked(n_threads, X is None or W is None or Y is None, "X, W, Y")
    cdef Conv given
    conv_geometry(&given, X.shape, W.shape, Y.shape, stride, padding, dilation, groups)
    if b is not None:
        same_length(given.n_filters, b.shape[0], "b")
    given.code = activation_code(activation, True)
    given.alpha = alpha
    if given.n_images == 0:
        return
    given.X = &X[0, 0, 0, 0, 0]
    given.W = &W[0, 0, 0, 0, 0]
    given.b = NULL if b is None else &b[0]
    given.Y = &Y[0, 0, 0, 0, 0]
    convolve(&given, n_threads)


cdef int convolve(Conv* given, int n_threads) except -1:
    """Images that fill vectors interleaved, if that is faster, and the others as they are."""
    interleaved_images(given, NULL, NULL, n_threads)
    if given.n_images > 0:
        convolve_images(given, threads_for_products(n_products(given), n_threads))
    return 0


cdef int convolve_images(const Conv* given, int n_threads) except -1:
    cdef Conv q = widened(given, best_width(given))
    cdef Py_ssize_t* tables
    cdef real* memory
    cdef Py_ssize_t n_tasks, task, n_chunks
    cdef Shares shares
    cdef int thread
    cut_blocks(&q, n_threads)
    n_chunks = ceil_div(q.block_images * q.n_windows, ROW_BLOCK)
    q.n_chunks = smaller(n_chunks, chunks_of(q.n_blocks, n_threads))
    q.n_panel_parts = 1
    if q.n_blocks * q.n_chunks < n_threads:
        q.n_panel_parts = q.n_groups * panels_for(q.filter_lanes // LANES)
    n_tasks = q.n_blocks * q.n_chunks * q.n_panel_parts
    q.scratch_size = panel_scratch()
    if copies_input(&q):
        q.scratch_size += whole_vectors(q.block_images * q.padded_size)
    tables = conv_tables(&q)
    try:
        memory = forward_work(given, &q, n_threads)
        share_out(&shares, n_tasks, n_threads)
        for thread in prange(n_threads, nogil=True, num_threads=n_threads, schedule="static"):
            task = next_task(&shares, thread)
            while task >= 0:
                conv_forward_task(&q, task, q.scratch + thread * q.scratch_size)
                task = next_task(&shares, thread)
        free(memory)
    finally:
        free(tables)
    return 0


# --- backward --------------------------------------------------------------------------

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


cdef double scatter_cost(const Conv* q) noexcept nogil:
    """Time of a window in `add_input_gradient`: each tile is added to memory."""
    cdef Py_ssize_t n_vec = vectors_for(q.run_width)
    cdef Py_ssize_t width = ceil_div(n_vec, panels_for(n_vec))
    return q.n_groups * q.n_runs * n_vec * (tile_wait(width) * q.group_filters + ADDING)


cdef double convolution_cost(const Conv* q) noexcept nogil:
    """Time of an output position, in the same unit: a multiply-add of a vector."""
    cdef Py_ssize_t n_vec = vectors_for(q.group_filters)
    cdef Py_ssize_t n_taps = q.kernel[0] * q.kernel[1] * q.group_channels
    if q.n_groups == 1:
        return n_taps * cost_of_width(q, best_width(q))
    return n_taps * q.n_groups * tile_wait(n_vec) * n_vec * q.kernel[2]


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


cdef void pack_transposed(Conv* q, int n_threads) noexcept nogil:
    """For each (group, run): panels over the run's taps, rows over the filters."""
    cdef Py_ssize_t n_vec = vectors_for(q.run_width), n_panels = panels_for(n_vec)
    cdef Py_ssize_t t, g, u, p, v, width, n_lanes
    for t in prange(q.n_groups * q.n_runs * n_panels, num_threads=n_threads):
        g = t // (q.n_runs * n_panels)
        u = (t // n_panels) % q.n_runs
        p = t % n_panels
        v = panel_start(n_vec, p)
        n_lanes = (panel_start(n_vec, p + 1) - v) * LANES
        width = smaller(n_lanes, q.run_width - v * LANES)
        pack_panel(
            q.W + (u * q.run_width + v * LANES) * q.n_filters + g * q.group_filters,
            1, q.n_filters, q.group_filters, width, n_lanes,
            q.packed_T + ((g * q.n_runs + u) * n_vec + v) * LANES * q.group_filters)


cdef inline Py_ssize_t dz_row(const Conv* q) noexcept nogil:
    """Distance of two rows of dz. Groups are padded to whole vectors; the rows of one group
    lie side by side, and a vector over the end of a row has lanes that nobody uses."""
    return q.n_filters if q.n_groups == 1 else q.n_groups * q.filter_lanes


cdef void add_rows(
    const real* rows, Py_ssize_t row, Py_ssize_t n_rows, Py_ssize_t n_lanes, real* total
) noexcept nogil:
    """total += the sum of the rows, n_lanes of them; four sums at a time, then theirs."""
    cdef vec acc[4]
    cdef Py_ssize_t v, r
    cdef const real* column
    for v in range(n_lanes // LANES):
        column = rows + v * LANES
        for r in range(4):
            acc[r] = (<const vec*> ZEROS)[0]
        for r in range(n_rows // 4):
            acc[0] = acc[0] + (<const vec*> column)[0]
            acc[1] = acc[1] + (<const vec*> (column + row))[0]
            acc[2] = acc[2] + (<const vec*> (column + 2 * row))[0]
            acc[3] = acc[3] + (<const vec*> (column + 3 * row))[0]
            column = column + 4 * row
        for r in range(n_rows % 4):
            acc[0] = acc[0] + (<const vec*> (column + r * row))[0]
        acc[0] = (acc[0] + acc[1]) + (acc[2] + acc[3])
        acc[0] = acc[0] + (<vec*> (total + v * LANES))[0]
        (<vec*> (total + v * LANES))[0] = acc[0]


cdef void make_dz(
    const Conv* q, Py_ssize_t first, Py_ssize_t n_rows, real* dz, real* db, real* scratch
) noexcept nogil:
    """dz = dY f'(z) for n_rows output positions; db gets its sum over them added."""
    cdef Py_ssize_t n = n_rows * q.n_filters, row = dz_row(q), g
    cdef real* compact = dz if q.n_groups == 1 else scratch
    memcpy(compact, q.dY + first * q.n_filters, n * sizeof(real))
    multiply_derivative(q.code, q.alpha, q.Y_in + first * q.n_filters, compact, n)
    if q.n_groups == 1:
        memset(dz + n, 0, MAX_VECTORS * LANES * sizeof(real))
    else:
        memset(dz, 0, n_rows * row * sizeof(real))
        for g in range(q.n_groups):
            copy_columns(compact + g * q.group_filters, q.n_filters,
                         dz + g * q.filter_lanes, row, n_rows, q.group_filters)
    if db is not NULL:
        add_rows(dz, row, n_rows, q.n_groups * q.filter_lanes, db)


cdef void add_weight_gradient(
    const Conv* q, const real* x, Py_ssize_t first, Py_ssize_t n_rows, const real* dz,
    real* dW, real* spare, real* scratch
) noexcept nogil:
    """dW += X at the taps, times dz, summed over n_rows windows. All tiles of a panel read its
    columns of dz: of several panels they are copied, since rows that lie a power of two apart
    share few sets of the L1 cache."""
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, panel, v, V, R, t, row, r, g
    cdef Py_ssize_t row_lanes = dz_row(q), b_row
    cdef const real* a[MAX_ROWS]
    cdef real* c[MAX_ROWS]
    cdef const real* b
    for g in range(q.n_groups):
        for panel in range(panels_for(n_vec)):
            v = panel_start(n_vec, panel)
            V = panel_start(n_vec, panel + 1) - v
            R = tile_rows(V)
            b = dz + g * q.filter_lanes + v * LANES
            b_row = row_lanes
            if n_vec > V:
                copy_columns(b, row_lanes, scratch, V * LANES, n_rows, V * LANES)
                b = scratch
                b_row = V * LANES
            for t in range(ceil_div(q.n_taps, R)):
                row = t * R
                for r in range(R):
                    a[r] = x + g * q.group_channels + q.tap[smaller(row + r, q.n_taps - 1)]
                    c[r] = dW + (g * q.n_taps + row + r) * q.filter_lanes + v * LANES
                    if row + r >= q.n_taps:
                        c[r] = spare
                tile(V, a, q.window + first, n_rows, b, b_row, ZEROS, ADD_C, c)


cdef void add_input_gradient(
    const Conv* q, Py_ssize_t first, Py_ssize_t n_rows, const real* dz, Py_ssize_t row_lanes,
    real* dx, real* spare
) noexcept nogil:
    """dX += the filters times dz, scattered over n_rows windows."""
    cdef Py_ssize_t n_vec = vectors_for(q.run_width), panel, v, V, R, t, row, r, g, u, at
    cdef Py_ssize_t n_steps = ceil_div(q.group_filters, REDUCTION_BLOCK), step, k, k_end
    cdef const real* b
    cdef const real* a[MAX_ROWS]
    cdef real* c[MAX_ROWS]
    for g in range(q.n_groups):
        for u in range(q.n_runs):
            for panel in range(panels_for(n_vec)):
                v = panel_start(n_vec, panel)
                V = panel_start(n_vec, panel + 1) - v
                R = tile_rows(V)
                b = q.packed_T + ((g * q.n_runs + u) * n_vec + v) * LANES * q.group_filters
                for step in range(n_steps):
                    k = part(q.group_filters, step, n_steps)
                    k_end = part(q.group_filters, step + 1, n_steps)
                    for t in range(ceil_div(n_rows, R)):
                        row = t * R
                        for r in range(smaller(R, n_rows - row)):
                            at = q.order[first + row + r]
                            a[r] = dz + (at - first) * row_lanes + g * q.filter_lanes
                            c[r] = (dx + q.window[at] + q.run[u]
                                    + g * q.group_channels + v * LANES)
                        for r in range(n_rows - row, R):
                            a[r] = a[0]
                            c[r] = spare
                        tile(V, a, q.count + k, k_end - k, b + k * V * LANES, V * LANES,
                             ZEROS, ADD_C, c)


cdef inline bint is_pointwise(const Conv* q) noexcept nogil:
    """Whether each window is a pixel, of whole vectors, so that nothing need be added up."""
    cdef int axis
    for axis in range(3):
        if q.kernel[axis] > 1 or q.stride[axis] > 1:
            return False
    return q.n_groups == 1 and not q.has_padding and q.n_channels % LANES == 0


cdef void pointwise_input_gradient(
    const Conv* q, Py_ssize_t n_rows, const real* dz, Py_ssize_t row_lanes, real* dx
) noexcept nogil:
    """dX of n_rows pixels, from the first of them on."""
    cdef Py_ssize_t n_vec = q.n_channels // LANES, panel, v, V, step, k, k_end
    cdef Py_ssize_t n_steps = ceil_div(q.n_filters, REDUCTION_BLOCK)
    for panel in range(panels_for(n_vec)):
        v = panel_start(n_vec, panel)
        V = panel_start(n_vec, panel + 1) - v
        for step in range(n_steps):
            k = part(q.n_filters, step, n_steps)
            k_end = part(q.n_filters, step + 1, n_steps)
            matrix_rows(V, dz + k, row_lanes, 1, n_rows, k_end - k,
                        q.packed_T + (v * q.n_filters + k * V) * LANES, V * LANES,
                        ZEROS, step > 0, dx + v * LANES, q.n_channels)


cdef void conv_backward_block(
    const Conv* q, const Conv* given, Py_ssize_t block, real* dW, real* db, real* scratch
) noexcept nogil:
    """The gradients of a block of images: of the filters taken wide, of the input as given."""
    cdef Py_ssize_t image = block_start(q, block), i
    cdef Py_ssize_t n_images = block_start(q, block + 1) - image
    cdef Py_ssize_t n_windows = n_images * q.n_windows, row, n_rows
    cdef Py_ssize_t slack = MAX_VECTORS * LANES
    cdef real* spare = scratch
    cdef real* compact = spare + slack
    cdef real* dz = compact + ROW_BLOCK * q.n_groups * q.filter_lanes
    cdef real* dx = dz + ROW_BLOCK * q.n_groups * q.filter_lanes + slack
    cdef real* padded = dx
    cdef const real* x = NULL
    cdef bint scatters = q.dX is not NULL and not is_pointwise(given)
    if scatters:
        padded = dx + q.block_images * q.padded_size + slack
        memset(dx, 0, n_images * q.padded_size * sizeof(real))
    if dW is not NULL:
        x = padded_block(q, block, 0, n_windows, padded)
    for i in range(ceil_div(n_windows, ROW_BLOCK)):
        row = i * ROW_BLOCK
        n_rows = smaller(ROW_BLOCK, n_windows - row)
        make_dz(q, image * q.n_windows + row, n_rows, dz, db, compact)
        if dW is not NULL:
            add_weight_gradient(q, x, row, n_rows, dz, dW, spare, compact)
        if scatters:
            add_input_gradient(given, row * q.width, n_rows * q.width, dz,
                               dz_row(q) // q.width, dx, spare)
        elif q.dX is not NULL:
            pointwise_input_gradient(
                given, n_rows * q.width, dz, dz_row(q) // q.width,
                q.dX + image * q.image_size + row * q.width * given.n_channels)
    if scatters:
        for i in range(n_images):
            crop_image(q, dx + i * q.padded_size, q.dX + (image + i) * q.image_size)


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


cdef void conv_backward_piece(
    const Conv* q, const Conv* given, Py_ssize_t piece, bint need_dW, bint need_db,
    real* scratch
) noexcept nogil:
    cdef Py_ssize_t dW_size = q.n_groups * q.n_taps * q.filter_lanes
    cdef Py_ssize_t db_size = q.n_groups * q.filter_lanes, block
    cdef real* dW = NULL
    cdef real* db = NULL
    if need_dW:
        dW = q.dW_pieces + piece * dW_size
        memset(dW, 0, dW_size * sizeof(real))
    if need_db:
        db = q.db_pieces + piece * db_size
        memset(db, 0, db_size * sizeof(real))
    for block in range(part(q.n_blocks, piece, q.n_pieces),
                       part(q.n_blocks, piece + 1, q.n_pieces)):
        conv_backward_block(q, given, block, dW, db, scratch)


cdef void add_pieces(
    const real* pieces, Py_ssize_t n_pieces, Py_ssize_t n_rows, Py_ssize_t n_groups,
    Py_ssize_t group_width, Py_ssize_t group_lanes, real* target, int n_threads
) noexcept nogil:
    """Adds (n_pieces, n_groups, n_rows, group_lanes) up in order, without the surplus lanes,
    into (n_rows, n_groups * group_width)."""
    cdef Py_ssize_t row, g, j, piece
    cdef const real* source
    cdef real* to
    for row in prange(n_rows, num_threads=n_threads):
        for g in range(n_groups):
            to = target + (row * n_groups + g) * group_width
            for j in range(group_width):
                to[j] = 0
            for piece in range(n_pieces):
                source = pieces + ((piece * n_groups + g) * n_rows + row) * group_lanes
                for j in range(group_width):
                    to[j] += source[j]


def conv_backward(
    const real[:, :, :, :, ::1] X,   # IN  (n, depth, height, width, channels)
    const real[:, :, :, :, ::1] W,   # IN  (*kernel, channels / groups, filters)
    const real[:, :, :, :, ::1] Y,   # IN  (n, *out, filters), activated
    const real[:, :, :, :, ::1] dY,  # IN  like Y
    real[:, :, :, :, ::1] dX,        # OUT like X, or None
    real[:, :, :, :, ::1] dW,        # OUT like W, or None
    real[::1] db,                    # OUT (filters,) or None
    stride, padding, dilation, Py_ssize_t groups,
    str activation, double alpha, int n_threads,
):
    """The gradients of conv_forward, each computed where its array is given."""
    n_threads = checked(
        n_threads, X is None or W is None or Y is None or dY is None,
        "X, W, Y, dY")
    cdef Conv given, q, back
    cdef bint is_turned = False
    cdef double turned_cost
    cdef Py_ssize_t* tables
    cdef Py_ssize_t* given_tables = NULL
    cdef real* work
    cdef real* memory
    cdef real* wide_dW
    cdef real* wide_db
    cdef bint need_dW = dW is not None, need_db = db is not None
    cdef Py_ssize_t n_packed = 0, dW_size, db_size, piece, slack = MAX_VECTORS * LANES
    cdef Shares shares
    cdef int thread
    conv_geometry(&given, X.shape, W.shape, Y.shape, stride, padding, dilation, groups)
    same_sizes(Y.shape, dY.shape, 5, "dY")
    given.code = activation_code(activation, True)
    given.alpha = alpha
    if dX is not None:
        same_sizes(X.shape, dX.shape, 5, "dX")
    if need_dW:
        same_sizes(W.shape, dW.shape, 5, "dW")
    if need_db:
        same_length(given.n_filters, db.shape[0], "db")
    if given.n_images == 0:
        if need_dW:
            dW[:] = 0
        if need_db:
            db[:] = 0
        return
    given.X = &X[0, 0, 0, 0, 0]
    given.W = &W[0, 0, 0, 0, 0]
    given.Y_in = &Y[0, 0, 0, 0, 0]
    given.dY = &dY[0, 0, 0, 0, 0]
    given.dX = NULL if dX is None else &dX[0, 0, 0, 0, 0]
    n_threads = threads_for_products(n_products(&given), n_threads)
    if dX is not None and not is_pointwise(&given) and can_turn(&given):
        turned_geometry(&back, &given)
        turned_cost = convolution_cost(&back)
        if interleaves(&back, NULL):
            turned_cost = interleaved_cost(&back, NULL)
        is_turned = turned_cost * back.n_windows < scatter_cost(&given) * given.n_windows
    if is_turned:
        given.dX = NULL
        turned_input_gradient(&back, &given, n_threads)
    if need_dW and interleaves_gradient(&given):
        interleaved_gradients(
            &given, &dW[0, 0, 0, 0, 0], NULL if db is None else &db[0], n_threads)
        need_dW = need_db = False
    if given.dX is NULL and not need_dW and not need_db:
        return
    q = widened(&given, best_width(&given))
    given.block_images = q.block_images
    dW_size = q.n_groups * q.n_taps * q.filter_lanes if need_dW else 0
    db_size = q.n_groups * q.filter_lanes if need_db else 0
    cut_pieces(&q, dW_size, n_products(&given))
    if given.dX is not NULL:
        n_packed = (q.n_groups * given.n_runs * vectors_for(given.run_width) * LANES
                    * given.group_filters)
    q.scratch_size = (2 * slack + 2 * ROW_BLOCK * q.n_groups * q.filter_lanes
                      + 2 * (whole_vectors(q.block_images * q.padded_size) + slack))
    tables = conv_tables(&q)
    try:
        if given.dX is not NULL:
            given_tables = conv_tables(
                &given, given.n_windows if q.block_images > 1 else q.width * ROW_BLOCK)
        try:
            work = memory = <real*> allocate(
                (n_packed + wide_filters(&q) + q.n_pieces * (dW_size + db_size)
                 + n_threads * q.scratch_size) * sizeof(real))
            with nogil:
                given.packed_T, work = work, work + n_packed
                wide_dW, work = work, work + wide_filters(&q)
                wide_db = wide_dW + q.n_taps * q.n_filters
                q.dW_pieces, work = work, work + q.n_pieces * dW_size
                q.db_pieces, work = work, work + q.n_pieces * db_size
                if given.dX is not NULL:
                    pack_transposed(&given, n_threads)
                share_out(&shares, q.n_pieces, n_threads)
                for thread in prange(n_threads, num_threads=n_threads, schedule="static"):
                    piece = next_task(&shares, thread)
                    while piece >= 0:
                        conv_backward_piece(&q, &given, piece, need_dW, need_db,
                                            work + thread * q.scratch_size)
                        piece = next_task(&shares, thread)
                if need_dW:
                    add_pieces(q.dW_pieces, q.n_pieces, q.n_taps, q.n_groups,
                               q.group_filters, q.filter_lanes,
                               wide_dW if q.width > 1 else &dW[0, 0, 0, 0, 0], n_threads)
                    if q.width > 1:
                        fold_filters(&given, &q, wide_dW, &dW[0, 0, 0, 0, 0])
                if need_db:
                    add_pieces(q.db_pieces, q.n_pieces, 1, q.n_groups, q.group_filters,
                               q.filter_lanes, wide_db if q.width > 1 else &db[0], 1)
                    if q.width > 1:
                        fold_biases(&given, &q, wide_db, &db[0])
                free(memory)
        finally:
            free(given_tables)
    finally:
        free(tables)
