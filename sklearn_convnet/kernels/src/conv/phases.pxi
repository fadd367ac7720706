# The input gradient of a strided convolution, phase by phase.
#
#   dX(i, c) = sum_u sum_f W(r + s u, c, f) dz(m - u, f)        i + p = s m + r,  0 <= r < s
#
# Design:
# * Pixels that lie a stride apart see the same taps: each phase r is a convolution of dz with
#   stride 1, by every s-th tap, turned round. All phases together have the multiply-adds of the
#   forward pass, and nothing is added to memory: a tile is written to its pixels.
# * Where channels do not fill the vectors, the phases of a row can be joined: s neighbouring pixels
#   are the columns of one tile, and taps that some of them lack are zeros. Of a position at an edge
#   only pixels within the map are copied.
# * dz is padded once for all phases, as far as any of them looks; where none looks beyond it, it is
#   read where it lies. All phases of a chunk of rows are done while these are in cache.

cdef enum:
    MAX_PHASES = 64
    PHASE_BYTES = 1 << 19     # of dz and dX in a chunk, beside the filters


cdef struct PhaseAxis:
    Py_ssize_t first, n       # positions m
    Py_ssize_t n_taps         # u, of the pixel that has most


cdef struct Place:
    Py_ssize_t start          # of a position's pixels in dX
    int left, right           # those of its columns that lie in the map


cdef struct Phase:
    Conv conv                 # from dz in its padding to the pixels
    Py_ssize_t r[3]
    PhaseAxis axis[3]
    Py_ssize_t row            # of dz in its padding, where the first window begins
    Py_ssize_t offset         # and the number
    Place* place              # (block_images * n_windows)


cdef struct Phases:
    const Conv* given
    Conv dz                   # in its padding; its windows are those of the largest phase
    Py_ssize_t joined         # neighbouring pixels in the columns of a tile: one or a stride
    Py_ssize_t n, n_chunks
    Phase* phase
    real* packed              # the filters of all
    real* shifts              # of dX, in panels


cdef PhaseAxis phase_axis(
    const Conv* q, int axis, Py_ssize_t r, Py_ssize_t joined
) noexcept nogil:
    """The positions that have pixels in the map, of phase r and, if joined, those behind it."""
    cdef Py_ssize_t end = q.size[axis] + q.before[axis] - r
    cdef PhaseAxis a
    a.first = ceil_div(larger(0, q.before[axis] - r - joined + 1), q.stride[axis])
    a.n = larger(0, ceil_div(larger(0, end), q.stride[axis]) - a.first)
    a.n_taps = ceil_div(larger(0, q.kernel[axis] - r), q.stride[axis])
    return a


cdef double phase_products(const Conv* q, Py_ssize_t joined) noexcept nogil:
    """Time of the tiles for the pixels of an image."""
    cdef Py_ssize_t n_vec = vectors_for(joined * q.group_channels), apart, i, n
    cdef double products = q.n_filters * n_vec * tile_wait(ceil_div(n_vec, panels_for(n_vec)))
    cdef PhaseAxis a
    cdef int axis
    for axis in range(3):
        apart = joined if axis == 2 else 1
        n = 0
        for i in range(q.stride[axis] // apart):
            a = phase_axis(q, axis, i * apart, apart)
            n += a.n * a.n_taps
        products *= n
    return products


cdef Py_ssize_t best_joined(const Conv* q) noexcept nogil:
    """How many neighbouring pixels are best done together, one or a stride."""
    if q.n_groups > 1 or q.n_channels >= NR:
        return 1
    return q.stride[2] if phase_products(q, q.stride[2]) < phase_products(q, 1) else 1


cdef inline Py_ssize_t n_phases(const Conv* q, Py_ssize_t joined) noexcept nogil:
    return q.stride[0] * q.stride[1] * (q.stride[2] // joined)


cdef Phase phase_at(const Conv* q, Py_ssize_t number, Py_ssize_t joined) noexcept nogil:
    """A phase by its number, with its positions and taps."""
    cdef Py_ssize_t n_columns = q.stride[2] // joined
    cdef Phase p
    cdef int axis
    p.r[0] = number // n_columns // q.stride[1]
    p.r[1] = number // n_columns % q.stride[1]
    p.r[2] = number % n_columns
    for axis in range(3):
        p.axis[axis] = phase_axis(q, axis, p.r[axis], joined if axis == 2 else 1)
    return p


cdef Conv gradient_in_padding(const Conv* q, Py_ssize_t joined) noexcept nogil:
    """dz in a padding that suffices for all phases, and the convolution to the largest of them."""
    cdef Conv dz = q[0]
    cdef Py_ssize_t apart, end, i
    cdef PhaseAxis a
    cdef int axis
    for axis in range(3):
        apart = joined if axis == 2 else 1
        end = q.out[axis]
        dz.size[axis] = q.out[axis]
        dz.stride[axis] = dz.dilation[axis] = 1
        dz.before[axis] = dz.kernel[axis] = dz.out[axis] = 0
        for i in range(q.stride[axis] // apart):
            a = phase_axis(q, axis, i * apart, apart)
            if a.n > 0 and a.n_taps > 0:
                dz.before[axis] = larger(dz.before[axis], a.n_taps - 1 - a.first)
                end = larger(end, a.first + a.n)
            dz.kernel[axis] = larger(dz.kernel[axis], a.n_taps)
            dz.out[axis] = larger(dz.out[axis], a.n)
        dz.padded[axis] = dz.before[axis] + end
    dz.n_channels, dz.n_filters = q.n_filters, joined * q.n_channels
    dz.group_channels, dz.group_filters = q.group_filters, joined * q.group_channels
    conv_sizes(&dz)
    dz.X, dz.dX = q.dY, NULL
    dz.output = NULL if q.code == IDENTITY else q.Y_in
    dz.code_in, dz.alpha_in = q.code, q.alpha
    dz.code, dz.alpha = IDENTITY, 0
    return dz


cdef void set_phase(const Phases* all, Phase* p) noexcept nogil:
    """The convolution of a phase."""
    cdef const Conv* dz = &all.dz
    cdef Conv* q = &p.conv
    cdef Py_ssize_t from_corner[3]
    cdef int axis
    q[0] = dz[0]
    for axis in range(3):
        q.kernel[axis] = p.axis[axis].n_taps
        q.out[axis] = p.axis[axis].n
        from_corner[axis] = dz.before[axis] + p.axis[axis].first - (p.axis[axis].n_taps - 1)
    conv_sizes(q)
    q.block_images, q.n_blocks = dz.block_images, dz.n_blocks
    q.is_running = q.n_taps <= RUNNING_TAPS
    p.row = from_corner[0] * dz.padded[1] + from_corner[1]
    p.offset = (p.row * dz.padded[2] + from_corner[2]) * dz.n_channels


cdef void set_places(const Conv* q, Py_ssize_t joined, Phase* p) noexcept nogil:
    """Where in a block of dX the pixels of each position begin."""
    cdef Place* place = p.place
    cdef Py_ssize_t corner[3]
    cdef Py_ssize_t i, d, h, w, row, column
    cdef int axis
    for axis in range(3):
        corner[axis] = q.stride[axis] * p.axis[axis].first + p.r[axis] - q.before[axis]
    for i in range(p.conv.block_images):
        for d in range(p.conv.out[0]):
            for h in range(p.conv.out[1]):
                row = (corner[0] + d * q.stride[0]) * q.size[1] + corner[1] + h * q.stride[1]
                for w in range(p.conv.out[2]):
                    column = corner[2] + w * q.stride[2]
                    place.start = (i * q.image_size
                                   + (row * q.size[2] + column) * q.n_channels)
                    place.left = <int> (larger(0, -column) * q.group_channels)
                    place.right = <int> (
                        smaller(joined, q.size[2] - column) * q.group_channels)
                    place += 1


cdef void pack_phase(
    const Conv* q, const Phase* p, Py_ssize_t joined, Py_ssize_t group, Py_ssize_t panel,
    real* packed
) noexcept nogil:
    """A panel of the filters of a phase: transposed, their taps turned round."""
    cdef Py_ssize_t n_vec = p.conv.filter_lanes // LANES, v = panel_start(n_vec, panel) * LANES
    cdef Py_ssize_t n_lanes = panel_start(n_vec, panel + 1) * LANES - v
    cdef Py_ssize_t i, x, t, left, right, row, column
    cdef Py_ssize_t tap[3]
    if joined > 1 or v + n_lanes > q.group_channels:  # otherwise no number is left out
        memset(packed, 0, p.conv.n_taps * n_lanes * sizeof(real))
    for i in range(p.conv.kernel[0] * p.conv.kernel[1] * p.conv.kernel[2]):
        row, column = i // p.conv.kernel[2], i % p.conv.kernel[2]
        tap[0] = p.r[0] + q.stride[0] * (p.conv.kernel[0] - 1 - row // p.conv.kernel[1])
        tap[1] = p.r[1] + q.stride[1] * (p.conv.kernel[1] - 1 - row % p.conv.kernel[1])
        for x in range(joined):
            tap[2] = p.r[2] + x + q.stride[2] * (p.conv.kernel[2] - 1 - column)
            left = larger(v, x * q.group_channels)
            right = smaller(v + n_lanes, (x + 1) * q.group_channels)
            if tap[2] < q.kernel[2] and left < right:
                t = (tap[0] * q.kernel[1] + tap[1]) * q.kernel[2] + tap[2]
                transpose(
                    q.W + (t * q.group_channels + left - x * q.group_channels) * q.n_filters
                    + group * q.group_filters, q.n_filters, right - left, q.group_filters,
                    packed + i * q.group_filters * n_lanes + left - v, n_lanes)


cdef void pack_phases(Phases* all, int n_threads) noexcept nogil:
    """The filters of all phases, in panels of every group."""
    cdef Py_ssize_t n_vec = all.dz.filter_lanes // LANES, n_panels = panels_for(n_vec)
    cdef Py_ssize_t n_tasks = all.given.n_groups * n_panels, t
    cdef Phase* p
    for t in prange(all.n * n_tasks, num_threads=n_threads):
        p = &all.phase[t // n_tasks]
        pack_phase(
            all.given, p, all.joined, t % n_tasks // n_panels, t % n_panels,
            p.conv.packed + p.conv.n_taps * (
                t % n_tasks // n_panels * all.dz.filter_lanes
                + panel_start(n_vec, t % n_panels) * LANES))


cdef void pack_shifts(Phases* all) noexcept nogil:
    """The shift of dX for the columns of all panels."""
    cdef const Conv* q = all.given
    cdef Py_ssize_t width = q.group_channels, group, x
    memset(all.shifts, 0, q.n_groups * all.dz.filter_lanes * sizeof(real))
    if q.shift is not NULL:
        for group in range(q.n_groups):
            for x in range(all.joined):
                copy_row(q.shift + group * width, all.shifts + group * all.dz.filter_lanes
                         + x * width, width)


cdef inline bint is_whole(const Place* place, Py_ssize_t left, Py_ssize_t right) noexcept nogil:
    """True if all columns of a panel are there, and can be written where they belong."""
    return place.left <= left and right <= place.right


cdef void phase_panel(
    const Phase* p, const real* shifts, const real* x, Py_ssize_t first, Py_ssize_t n_rows,
    Py_ssize_t group, Py_ssize_t panel, real* dx, real* scratch
) noexcept nogil:
    """One panel of a phase at positions first ... first + n_rows of a block that begins at dx."""
    cdef const Conv* q = &p.conv
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES, v = panel_start(n_vec, panel)
    cdef Py_ssize_t V = panel_start(n_vec, panel + 1) - v, n_lanes = V * LANES
    cdef Py_ssize_t left = v * LANES, right = left + n_lanes, begin, end
    cdef Py_ssize_t n_steps = larger(1, ceil_div(q.n_taps, KC)), step, k, k_end
    cdef Py_ssize_t MR = mr_of(V), t, row, r
    cdef const Place* place = p.place + first
    cdef const real* b = q.packed + (group * q.filter_lanes + left) * q.n_taps
    cdef const real* init = shifts + group * q.filter_lanes + left
    cdef const real* a[MAX_MR]
    cdef real* c[MAX_MR]
    x = x + p.offset + group * q.group_channels
    dx = dx + group * q.group_filters + left
    for step in range(n_steps):
        k = part(q.n_taps, step, n_steps)
        k_end = part(q.n_taps, step + 1, n_steps)
        for t in range(ceil_div(n_rows, MR)):
            row = t * MR
            for r in range(smaller(MR, n_rows - row)):
                a[r] = x + q.window[first + row + r]
                c[r] = scratch + (row + r) * n_lanes
                if is_whole(&place[row + r], left, right):
                    c[r] = dx + place[row + r].start
            for r in range(n_rows - row, MR):
                a[r] = a[0]
                c[r] = scratch + MC * n_lanes
            tile_of_windows(q, panel, V, x, first + row, a, k, k_end - k, b + k * n_lanes, init,
                            step, c)
    for row in range(n_rows):
        if not is_whole(&place[row], left, right):
            begin = larger(place[row].left, left) - left
            end = smaller(place[row].right, right) - left
            if begin < end:
                copy_row(scratch + row * n_lanes + begin, dx + place[row].start + begin,
                         end - begin)


cdef inline Py_ssize_t row_of_window(const Phase* p, Py_ssize_t row) noexcept nogil:
    """How far the windows of a row lie behind the first of a phase, in rows of dz."""
    return row // p.conv.out[1] * p.conv.padded[1] + row % p.conv.out[1]


cdef const real* rows_of_dz(
    const Phases* all, Py_ssize_t block, Py_ssize_t chunk, real* scratch
) noexcept nogil:
    """dz of a block in its padding, at least where the phases of a chunk look."""
    cdef const Conv* q = &all.dz
    cdef Py_ssize_t image = block_start(q, block)
    cdef Py_ssize_t n_rows = q.padded[0] * q.padded[1], row_start = n_rows, row_end = 0, i, row
    cdef const Phase* p
    if not copies_input(q):
        return q.X + image * q.image_size
    for i in range(all.n):
        p = &all.phase[i]
        row = part(p.conv.out[0] * p.conv.out[1], chunk, all.n_chunks)
        row_start = smaller(row_start, p.row + row_of_window(p, row))
        row = part(p.conv.out[0] * p.conv.out[1], chunk + 1, all.n_chunks) - 1
        row_end = larger(row_end, p.row + row_of_window(p, larger(0, row))
                         + (p.conv.kernel[0] - 1) * q.padded[1] + p.conv.kernel[1])
    for i in range(block_start(q, block + 1) - image):
        pad_image(q, q.X + (image + i) * q.image_size, scratch + i * q.padded_size,
                  larger(0, row_start), smaller(n_rows, row_end))
    return scratch


cdef void phases_task(const void* work, Py_ssize_t task, real* scratch) noexcept nogil:
    """All phases of a chunk of a block of images."""
    cdef const Phases* all = <const Phases*> work
    cdef Py_ssize_t block = task // all.n_chunks, chunk = task % all.n_chunks
    cdef Py_ssize_t image = block_start(&all.dz, block), i, t, rows, first, last, n_rows
    cdef Py_ssize_t n_images = block_start(&all.dz, block + 1) - image
    cdef Py_ssize_t n_panels = panels_for(all.dz.filter_lanes // LANES)
    cdef const real* x = rows_of_dz(all, block, chunk, scratch + panel_scratch(&all.dz))
    cdef real* dx = all.given.dX + image * all.given.image_size
    cdef const Phase* p
    for i in range(all.n):
        p = &all.phase[i]
        rows = n_images * p.conv.out[0] * p.conv.out[1]
        first = part(rows, chunk, all.n_chunks) * p.conv.out[2]
        last = part(rows, chunk + 1, all.n_chunks) * p.conv.out[2]
        while first < last:
            n_rows = smaller(MC, last - first)
            for t in range(all.dz.n_groups * n_panels):
                phase_panel(p, all.shifts, x, first, n_rows, t // n_panels, t % n_panels, dx,
                            scratch)
            first += n_rows


cdef void cut_phases(Phases* all, int n_threads) noexcept nogil:
    """Blocks of images, and chunks of an image that is large, or if there are few."""
    cdef Conv* q = &all.dz
    cut_blocks(q, n_threads)
    all.n_chunks = 1
    if q.block_images == 1:
        all.n_chunks = smaller(q.out[0] * q.out[1], larger(
            chunks_of(q.n_blocks, n_threads),
            ceil_div((q.padded_size + all.given.image_size) * sizeof(real), PHASE_BYTES)))


cdef int set_phases(Phases* all) except -1:
    """The phases that have pixels, their tables, and where their filters are to be packed."""
    cdef const Conv* q = all.given
    cdef Py_ssize_t n_all = all.n, n_packed = 0, i
    cdef Phase* p
    all.n = 0
    for i in range(n_all):
        p = &all.phase[all.n]
        p[0] = phase_at(q, i, all.joined)
        if p.axis[0].n == 0 or p.axis[1].n == 0 or p.axis[2].n == 0:
            continue
        set_phase(all, p)
        p.place = NULL
        conv_tables(&p.conv)
        all.n += 1
        p.place = <Place*> allocate(p.conv.block_images * p.conv.n_windows * sizeof(Place))
        set_places(q, all.joined, p)
        n_packed += q.n_groups * all.dz.filter_lanes * p.conv.n_taps
    all.packed = <real*> allocate(
        (n_packed + q.n_groups * all.dz.filter_lanes) * sizeof(real))
    all.shifts = all.packed + n_packed
    n_packed = 0
    for i in range(all.n):
        all.phase[i].conv.packed = all.packed + n_packed
        n_packed += q.n_groups * all.dz.filter_lanes * all.phase[i].conv.n_taps
    return 0


cdef int phased_input_gradient(const Conv* q, int n_threads) except -1:
    """dX phase by phase."""
    cdef Phases all
    cdef Py_ssize_t i, scratch_size
    all.given = q
    all.joined = best_joined(q)
    all.n = n_phases(q, all.joined)
    all.dz = gradient_in_padding(q, all.joined)
    all.packed = NULL
    cut_phases(&all, n_threads)
    scratch_size = panel_scratch(&all.dz)
    if copies_input(&all.dz):
        scratch_size += whole_vectors(all.dz.block_images * all.dz.padded_size)
    all.phase = <Phase*> allocate(all.n * sizeof(Phase))
    try:
        set_phases(&all)
        with nogil:
            pack_phases(&all, n_threads)
            pack_shifts(&all)
            run_tasks(phases_task, &all, all.dz.n_blocks * all.n_chunks, n_threads, scratch_size)
    finally:
        for i in range(all.n):
            free(all.phase[i].place)
            free(all.phase[i].conv.window)
        free(all.phase)
        free(all.packed)
    return 0
