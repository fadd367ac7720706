# Convolutions of several images at once: a vector holds one number of each of LANES images. So
# filters, channels and widths that fill no vector cost nothing, and padding is not multiplied.
# Batched linear algebra calls this layout interleaved, or compact.
#
# Design:
# * A strip is a few rows of output positions, or a part of a long row, of LANES images. What it
#   sees of them is interleaved, in padding, in the scratch of a thread; its output is put in order
#   again. Both are transpositions, of LANES rows that lie an image apart.
# * The tile: G filters at P positions. For each tap, P vectors of the input and G numbers do G P
#   multiply-adds. The weight gradient is the same: for each window, G vectors of dz and P taps.
#     c[p][g] (+)= init[g] + sum_k b[k][g] a[p][k]
# * Taps that meet nothing but padding at all positions of a tile are left out.
# * A max pool behind it is taken between vectors, before the output is put in order.
# * The order of sums is that of conv.pxi, and so are the bits of finite numbers: images that are
#   left over are done there.
# * In the weight gradient, each lane is a sum, and the lanes are added at the end.
# * Transpositions take as long as several multiply-adds of each number, so short sums of many
#   filters are faster without (`interleaves`).

cdef enum:
    LANE_BYTES = 1 << 14      # of a strip's input and output: those of all lanes stay in L2
    STRIP_BYTES = 3 << 14     # the same of all lanes for the weight gradient: they stay in L1
    SUMS_BYTES = 1 << 20      # of a weight gradient in all lanes, at most
    RUN = 128                 # numbers that are put in an image together
    SETTING_UP = 8            # multiply-adds that take as long as to begin a position in conv.pxi


cdef extern from *:
    """
    #ifdef WIDE_REGISTERS
    #define PANEL_FILTERS 8
    #define ROWS_1 8
    #define ROWS_2 8
    #define ROWS_3 8
    #define ROWS_4 6
    #define ROWS_5 5
    #define ROWS_6 4
    #define ROWS_7 3
    #define ROWS_8 3
    #else
    #define PANEL_FILTERS 6
    #define ROWS_1 14
    #define ROWS_2 6
    #ifdef __FMA__
    #define ROWS_3 4
    #define ROWS_4 3
    #else  /* a product needs a register before it is added */
    #define ROWS_3 3
    #define ROWS_4 2
    #endif
    #define ROWS_5 2
    #define ROWS_6 2
    #endif
    #define MAX_TOGETHER 14

    /* What a multiply-add of a vector takes, beside one in the widest tile of tile.pxi. */
    #if defined __x86_64__ && !defined __FMA__
    #define MAPS_WAIT 0.75
    #define GRADIENT_WAIT 0.85
    #else
    #define MAPS_WAIT 1.05
    #define GRADIENT_WAIT 1.2
    #endif

    /* Loaded once, where the compiler would rather load it for each use. */
    #ifdef __AVX512F__
    #define IN_REGISTER(v) __asm__ ("" : "+v" (v))
    #elif defined __FMA__
    #define IN_REGISTER(v) __asm__ ("" : "+x" (v))
    #elif defined __aarch64__
    #define IN_REGISTER(v) __asm__ ("" : "+w" (v))
    #else
    #define IN_REGISTER(v)
    #endif

    static inline vec interleaved_at(const skcn_real *b, int g, int is_forward)
    {
        if (is_forward)
            return b[g] - (vec) {0};
        return *(const vec *) (b + g * LANES);
    }

    /* The k of a window lie in lines, side by side. It needs some of the lines, and some numbers of
       each: the others would meet nothing but padding. */
    typedef struct {
        Py_ssize_t n_rows, n_columns;           /* windows of a strip */
        int32_t *first_line, *end_line;         /* (n_rows) */
        int32_t *first, *end;                   /* (n_columns), in a line */
    } taps_needed;

    typedef struct {
        const Py_ssize_t *line;                 /* where each line begins */
        Py_ssize_t n_lines, first, n_k;         /* of each line, from number `first` on */
    } range_of_k;

    /* What any of P windows needs, from one in a row and column on; in both directions, what a
       later one needs begins and ends earlier. */
    static inline range_of_k needed(
        const taps_needed *of, Py_ssize_t row, Py_ssize_t column, int P, const Py_ssize_t *line)
    {
        Py_ssize_t last = column + P - 1, last_row = row, begin = 0, end = of->end[0];
        if (last < of->n_columns) {
            begin = of->first[last];
            end = of->end[column];
        } else {
            begin = of->first[of->n_columns - 1];
            last_row += last / of->n_columns;
            if (last_row >= of->n_rows)
                last_row = of->n_rows - 1;
        }
        Py_ssize_t first_line = of->first_line[last_row];
        return (range_of_k) {
            line + first_line, of->end_line[row] - first_line, begin, end - begin};
    }

    /* P rows. Whichever are fewer, vectors of a or of b, stay in registers for a k. */
    static inline __attribute__((always_inline)) void interleaved_tile(
        const int G, const int P, const int is_forward,
        const skcn_real *a, const Py_ssize_t *row_offset, range_of_k k, Py_ssize_t k_step,
        const skcn_real *b, Py_ssize_t b_row, Py_ssize_t b_line, const skcn_real *init,
        skcn_real *c, Py_ssize_t c_row)
    {
        const skcn_real *row[MAX_TOGETHER];
        vec acc[PANEL_FILTERS * MAX_TOGETHER], kept[MAX_TOGETHER];
        UNROLL for (int p = 0; p < P; p++) {
            row[p] = a + row_offset[p];
            UNROLL for (int g = 0; g < G; g++)
                acc[p * G + g] = (is_forward ? init[g] : 0) - (vec) {0};
        }
        for (Py_ssize_t i = 0; i < k.n_lines; i++) {
            const skcn_real *b_k = b + i * b_line + k.first * b_row;
            Py_ssize_t offset = k.line[i] + k.first * k_step, end = offset + k.n_k * k_step;
            for (; offset < end; offset += k_step, b_k += b_row) {
                if (P <= G) {
                    UNROLL for (int p = 0; p < P; p++)
                        kept[p] = *(const vec *) (row[p] + offset);
                    UNROLL for (int g = 0; g < G; g++) {
                        vec b_g = interleaved_at(b_k, g, is_forward);
                        IN_REGISTER(b_g);
                        UNROLL for (int p = 0; p < P; p++)
                            acc[p * G + g] += b_g * kept[p];
                    }
                } else {
                    UNROLL for (int g = 0; g < G; g++)
                        kept[g] = interleaved_at(b_k, g, is_forward);
                    UNROLL for (int p = 0; p < P; p++) {
                        vec a_p = *(const vec *) (row[p] + offset);
                        if (G > 1)
                            IN_REGISTER(a_p);
                        UNROLL for (int g = 0; g < G; g++)
                            acc[p * G + g] += kept[g] * a_p;
                    }
                }
            }
        }
        UNROLL for (int p = 0; p < P; p++, c += c_row)
            UNROLL for (int g = 0; g < G; g++) {
                vec *to = (vec *) (c + g * LANES);
                if (!is_forward)
                    acc[p * G + g] += *to;
                *to = acc[p * G + g];
            }
    }

    #define INTERLEAVED_CASE(G)                                                                   \\
        case G:                                                                                   \\
            for (; i < n_rows; i += ROWS_##G, column += ROWS_##G) {                               \\
                range_of_k k = all;                                                               \\
                if (is_forward) {                                                                 \\
                    for (; column >= of->n_columns; column -= of->n_columns)                      \\
                        row++;                                                                    \\
                    k = needed(of, row, column, ROWS_##G, all.line);                              \\
                }                                                                                 \\
                interleaved_tile(G, ROWS_##G, is_forward, a, row_offset + i, k, k_step,           \\
                                 b + (k.line - all.line) * b_line, b_row, b_line, init,           \\
                                 c + i * c_row, c_row);                                           \\
            }                                                                                     \\
            break;

    static inline __attribute__((always_inline)) void interleaved_rows(
        const int is_forward, Py_ssize_t G,
        const skcn_real *a, const Py_ssize_t *row_offset, Py_ssize_t n_rows,
        range_of_k all, Py_ssize_t k_step, const taps_needed *of,
        const skcn_real *b, Py_ssize_t b_row, const skcn_real *init, skcn_real *c,
        Py_ssize_t c_row)
    {
        Py_ssize_t i = 0, row = 0, column = 0, b_line = all.n_k * b_row;
        switch (G) {
        INTERLEAVED_CASE(1)
        INTERLEAVED_CASE(2)
        INTERLEAVED_CASE(3)
        INTERLEAVED_CASE(4)
        INTERLEAVED_CASE(5)
        INTERLEAVED_CASE(6)
    #ifdef WIDE_REGISTERS
        INTERLEAVED_CASE(7)
        INTERLEAVED_CASE(8)
    #endif
        }
    }

    /* The maps of G filters: rows are windows, k are taps in lines of n_k. */
    static void interleaved_maps(
        Py_ssize_t G, const skcn_real *x, const Py_ssize_t *window, const taps_needed *of,
        const Py_ssize_t *line, Py_ssize_t n_k, const skcn_real *w, const skcn_real *init,
        skcn_real *z, Py_ssize_t z_row)
    {
        range_of_k all = {line, 0, 0, n_k};
        interleaved_rows(1, G, x, window, of->n_rows * of->n_columns, all, LANES, of, w, G, init,
                         z, z_row);
    }

    /* Adds to the gradients of G filters: rows are taps, k are windows, n_k in each row of a strip,
       k_step apart. */
    static void interleaved_gradient(
        Py_ssize_t G, const skcn_real *x, const Py_ssize_t *tap, Py_ssize_t n_taps,
        const Py_ssize_t *line, Py_ssize_t n_lines, Py_ssize_t n_k, Py_ssize_t k_step,
        const skcn_real *dz, Py_ssize_t dz_row, skcn_real *dW, Py_ssize_t dW_row)
    {
        range_of_k all = {line, n_lines, 0, n_k};
        interleaved_rows(0, G, x, tap, n_taps, all, k_step, 0, dz, dz_row, 0, dW, dW_row);
    }
    """
    ctypedef struct TapsNeeded "taps_needed":
        Py_ssize_t n_rows, n_columns
        int32_t* first_line
        int32_t* end_line
        int32_t* first
        int32_t* end
    const int PANEL_FILTERS, MAX_TOGETHER
    const double MAPS_WAIT, GRADIENT_WAIT
    void interleaved_maps(
        Py_ssize_t G, const real* x, const Py_ssize_t* window, const TapsNeeded* of,
        const Py_ssize_t* line, Py_ssize_t n_k, const real* w, const real* init, real* z,
        Py_ssize_t z_row) noexcept nogil
    void interleaved_gradient(
        Py_ssize_t G, const real* x, const Py_ssize_t* tap, Py_ssize_t n_taps,
        const Py_ssize_t* line, Py_ssize_t n_lines, Py_ssize_t n_k, Py_ssize_t k_step,
        const real* dz, Py_ssize_t dz_row, real* dW, Py_ssize_t dW_row) noexcept nogil


cdef struct Interleaved:
    const Pool* pool              # of the output, or NULL; its windows lie side by side in a plane
    int32_t* index                # of the maxima, or NULL
    Py_ssize_t unit_rows, unit_columns          # of a window of the pool
    Py_ssize_t rows, columns      # output positions of a strip, at most
    Py_ssize_t row_strips, column_strips
    Py_ssize_t n_strips           # of a block
    Py_ssize_t n_blocks           # of LANES images
    Py_ssize_t planes_in, rows_in, columns_in   # what a strip sees of the padded input
    Py_ssize_t n_panels           # of the filters of a group
    Py_ssize_t n_lines, line_taps               # taps that lie side by side
    Py_ssize_t* tap               # (n_taps), and the last again for a tile
    Py_ssize_t* line              # (n_lines)
    real* W                       # (n_groups, n_panels, n_taps, filters of the panel)
    # Scratch of a thread: the interleaved input and output, a row of either, places, tables.
    Py_ssize_t x_size, z_size, row_size, place_size, scratch_size


cdef struct Filters:
    Py_ssize_t group, first, n    # of a panel


cdef struct Strip:
    Py_ssize_t image, n_images
    Py_ssize_t depth, row, column     # the first output position
    Py_ssize_t n_rows, n_columns


cdef Interleaved interleaved_geometry(
    const Conv* q, const Pool* pool, Py_ssize_t n_blocks, Py_ssize_t strip_bytes,
    Py_ssize_t least_strips
) noexcept nogil:
    """Strips of so many bytes, but at least so many of them in a block, if rows are enough."""
    cdef Interleaved s
    cdef Py_ssize_t position = q.n_filters + q.n_channels * q.stride[1] * q.stride[2]
    cdef Py_ssize_t most = strip_bytes // (position * LANES * sizeof(real))
    cdef Py_ssize_t most_strips
    cdef Py_ssize_t reach[3]
    cdef int axis
    for axis in range(3):
        reach[axis] = q.dilation[axis] * (q.kernel[axis] - 1) + 1
    s.pool, s.index, s.n_blocks = pool, NULL, n_blocks
    s.unit_rows = s.unit_columns = 1
    if pool is not NULL:
        s.unit_rows, s.unit_columns = pool.window[1], pool.window[2]
    s.column_strips = larger(1, q.out[2] // larger(most, MAX_TOGETHER + s.unit_columns))
    if q.out[1] == 1:
        most_strips = q.out[2] // (MAX_TOGETHER + s.unit_columns)
        s.column_strips = larger(s.column_strips, smaller(least_strips, most_strips))
    s.columns = ceil_div(q.out[2] // s.unit_columns, s.column_strips) * s.unit_columns
    s.row_strips = ceil_div(
        q.out[1] // s.unit_rows, larger(1, most // (s.columns * s.unit_rows)))
    s.row_strips = larger(s.row_strips, smaller(least_strips, q.out[1] // s.unit_rows))
    s.rows = ceil_div(q.out[1] // s.unit_rows, s.row_strips) * s.unit_rows
    s.n_strips = q.out[0] * s.row_strips * s.column_strips
    s.planes_in = reach[0]
    s.rows_in = (s.rows - 1) * q.stride[1] + reach[1]
    s.columns_in = (s.columns - 1) * q.stride[2] + reach[2]
    s.n_panels = ceil_div(q.group_filters, PANEL_FILTERS)
    s.line_taps = q.group_channels
    if q.dilation[2] == 1 and q.n_groups == 1:
        s.line_taps *= q.kernel[2]
    s.n_lines = q.n_taps // s.line_taps
    s.x_size = s.planes_in * s.rows_in * s.columns_in * q.n_channels * LANES
    s.z_size = (s.rows * s.columns + MAX_TOGETHER) * q.n_filters * LANES
    s.row_size = larger(RUN + LANES, larger(
        s.columns * q.n_filters, s.columns_in * q.n_channels)) * LANES
    s.place_size = 0
    if pool is not NULL:
        s.place_size = s.rows // s.unit_rows * (s.columns // s.unit_columns) * q.n_filters * LANES
    s.scratch_size = (s.x_size + s.z_size + s.row_size + s.place_size
                      + table_size(s.rows * s.columns + s.rows + s.columns))
    return s


cdef inline Filters filters_of(const Conv* q, const Interleaved* s, Py_ssize_t i) noexcept nogil:
    """Those of panel i of all groups."""
    cdef Py_ssize_t panel = i % s.n_panels
    cdef Filters f
    f.group = i // s.n_panels
    f.first = part(q.group_filters, panel, s.n_panels)
    f.n = part(q.group_filters, panel + 1, s.n_panels) - f.first
    f.first += f.group * q.group_filters
    return f


# --- where it is faster ----------------------------------------------------------------

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


cdef double interleaved_cost(const Conv* q, const Pool* pool) noexcept nogil:
    """Time of an output position in the unit of `convolution_cost`."""
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


cdef bint interleaves(const Conv* q, const Pool* pool) noexcept nogil:
    """By the shapes of one image, so that its bits do not depend on how many there are."""
    if not q.is_running or (pool is not NULL and pool.window[0] > 1):
        return False
    return interleaved_cost(q, pool) < convolution_cost(q) + SETTING_UP


cdef bint interleaves_gradient(const Conv* q) noexcept nogil:
    """Whether that is faster for the weight gradient. Lanes without an image take time too."""
    cdef Interleaved s = interleaved_geometry(q, NULL, 1, STRIP_BYTES, 1)
    cdef Py_ssize_t n_lanes = ceil_div(q.n_images, LANES) * LANES
    cdef double cost = (
        GRADIENT_WAIT * q.n_taps * q.n_filters / LANES
        + 2 * q.n_filters + numbers_seen(q, &s))
    return (interleaved_sums(q) * sizeof(real) <= SUMS_BYTES
            and cost * n_lanes < (convolution_cost(q) + SETTING_UP) * q.n_images)


# --- strips ----------------------------------------------------------------------------

cdef inline Py_ssize_t table_size(Py_ssize_t n) noexcept nogil:
    """Numbers that take as much memory as a table of n offsets and what is behind it."""
    return whole_vectors((n + MAX_TOGETHER) * sizeof(Py_ssize_t) // sizeof(real))


cdef inline void repeat_last(Py_ssize_t* table, Py_ssize_t n) noexcept nogil:
    """For the last tile, all of whose rows are done."""
    cdef Py_ssize_t i
    for i in range(n, n + MAX_TOGETHER):
        table[i] = table[n - 1]


cdef Strip strip_at(const Conv* q, const Interleaved* s, Py_ssize_t i) noexcept nogil:
    cdef Strip strip
    cdef Py_ssize_t rows = q.out[1] // s.unit_rows, columns = q.out[2] // s.unit_columns
    cdef Py_ssize_t column = i % s.column_strips, row = i // s.column_strips % s.row_strips
    strip.image = i // s.n_strips * LANES
    strip.n_images = smaller(LANES, q.n_images - strip.image)
    strip.depth = i // (s.column_strips * s.row_strips) % q.out[0]
    strip.row = part(rows, row, s.row_strips) * s.unit_rows
    strip.n_rows = part(rows, row + 1, s.row_strips) * s.unit_rows - strip.row
    strip.column = part(columns, column, s.column_strips) * s.unit_columns
    strip.n_columns = part(columns, column + 1, s.column_strips) * s.unit_columns - strip.column
    return strip


cdef void interleaved_taps(const Conv* q, const Interleaved* s) noexcept nogil:
    """Where in a window the taps lie, and the lines of them."""
    cdef Py_ssize_t d, h, w, c, at = 0, position
    for d in range(q.kernel[0]):
        for h in range(q.kernel[1]):
            for w in range(q.kernel[2]):
                position = (
                    (d * q.dilation[0] * s.rows_in + h * q.dilation[1]) * s.columns_in
                    + w * q.dilation[2])
                for c in range(q.group_channels):
                    s.tap[at] = (position * q.n_channels + c) * LANES
                    if at % s.line_taps == 0:
                        s.line[at // s.line_taps] = s.tap[at]
                    at += 1
    repeat_last(s.tap, q.n_taps)


cdef inline int32_t first_tap(const Conv* q, int axis, Py_ssize_t o) noexcept nogil:
    """The first tap of window o that does not meet padding, or that behind the last."""
    return <int32_t> smaller(q.kernel[axis], ceil_div(
        larger(0, q.before[axis] - o * q.stride[axis]), q.dilation[axis]))


cdef inline int32_t end_tap(const Conv* q, int axis, Py_ssize_t o) noexcept nogil:
    """Behind the last of them."""
    return <int32_t> smaller(q.kernel[axis], ceil_div(
        larger(0, q.size[axis] + q.before[axis] - o * q.stride[axis]), q.dilation[axis]))


cdef void strip_windows(
    const Conv* q, const Interleaved* s, const Strip* strip, Py_ssize_t* window
) noexcept nogil:
    """Where in the interleaved input the windows of a strip begin."""
    cdef Py_ssize_t pixel = q.n_channels * LANES, h, w
    for h in range(strip.n_rows):
        for w in range(strip.n_columns):
            window[w] = (h * q.stride[1] * s.columns_in + w * q.stride[2]) * pixel
        window += strip.n_columns
    repeat_last(window - strip.n_columns, strip.n_columns)


cdef TapsNeeded strip_taps(
    const Conv* q, const Interleaved* s, const Strip* strip, int32_t* table
) noexcept nogil:
    """Which taps the windows of a strip need: all lines, if they lie in several planes, and whole
    ones, if they are a single tap's channels."""
    cdef bint is_plane = q.kernel[0] == 1, is_row = s.line_taps > q.group_channels
    cdef int32_t channels = <int32_t> q.group_channels, n_lines = <int32_t> s.n_lines
    cdef int32_t row_lines = 1 if is_row else <int32_t> q.kernel[2]
    cdef TapsNeeded of
    cdef Py_ssize_t i
    of.n_rows = strip.n_rows
    of.n_columns = strip.n_columns
    of.first_line, of.end_line = table, table + of.n_rows
    of.first = of.end_line + of.n_rows
    of.end = of.first + of.n_columns
    for i in range(of.n_rows):
        of.first_line[i] = first_tap(q, 1, strip.row + i) * row_lines if is_plane else 0
        of.end_line[i] = end_tap(q, 1, strip.row + i) * row_lines if is_plane else n_lines
    for i in range(of.n_columns):
        of.first[i] = first_tap(q, 2, strip.column + i) * channels if is_row else 0
        of.end[i] = end_tap(q, 2, strip.column + i) * channels if is_row else channels
    return of


cdef void interleave(
    const real* x, const real* y, int code, real alpha, Py_ssize_t image_size,
    Py_ssize_t n_images, Py_ssize_t n, real* row, real* to
) noexcept nogil:
    """n numbers of each image, interleaved; times f', which follows from those of y, unless that
    is NULL. Lanes without an image are left as they are."""
    transpose(x, image_size, n_images, n, to, LANES)
    if y is NULL:
        return
    if n_images < LANES:
        memset(row, 0, n * LANES * sizeof(real))
    transpose(y, image_size, n_images, n, row, LANES)
    multiply_derivative(code, alpha, row, to, n * LANES)


cdef void put_in_order(
    const real* z, Py_ssize_t n, Py_ssize_t n_images, real* y, Py_ssize_t image_size, real* row
) noexcept nogil:
    """n interleaved numbers of each image, back in the images. Where many images lie a power of two
    apart, the lines begun do not fit one set of the cache: some are finished at a time."""
    cdef Py_ssize_t i, run, size
    if LANES <= 8 or image_size * sizeof(real) % 2048:
        transpose(z, LANES, n, n_images, y, image_size)
        return
    for run in range(ceil_div(n, RUN)):
        size = smaller(RUN, n - run * RUN)
        transpose(z + run * RUN * LANES, LANES, size, n_images, row, RUN + LANES)
        for i in range(n_images):
            copy_row(row + i * (RUN + LANES), y + i * image_size + run * RUN, size)


cdef void interleave_input(
    const Conv* q, const Interleaved* s, const Strip* strip, real* row, real* x
) noexcept nogil:
    """What a strip sees of the padded images."""
    cdef Py_ssize_t column = strip.column * q.stride[2] - q.before[2], size = q.n_channels * LANES
    cdef Py_ssize_t left = smaller(larger(0, -column), s.columns_in)
    cdef Py_ssize_t right = larger(left, smaller(s.columns_in, q.size[2] - column))
    cdef Py_ssize_t d, h, plane, height, source
    cdef real* to
    if strip.n_images < LANES:
        memset(x, 0, s.x_size * sizeof(real))
    for d in range(s.planes_in):
        for h in range(s.rows_in):
            to = x + (d * s.rows_in + h) * s.columns_in * size
            plane = strip.depth * q.stride[0] - q.before[0] + d
            height = strip.row * q.stride[1] - q.before[1] + h
            if plane < 0 or plane >= q.size[0] or height < 0 or height >= q.size[1]:
                memset(to, 0, s.columns_in * size * sizeof(real))
                continue
            source = strip.image * q.image_size + q.n_channels * (
                (plane * q.size[1] + height) * q.size[2] + column + left)
            memset(to, 0, left * size * sizeof(real))
            interleave(
                q.X + source, NULL if q.output is NULL else q.output + source, q.code_in,
                q.alpha_in, q.image_size, strip.n_images, (right - left) * q.n_channels, row,
                to + left * size)
            memset(to + right * size, 0, (s.columns_in - right) * size * sizeof(real))


cdef inline Py_ssize_t output_row(
    const Conv* q, const Interleaved* s, const Strip* strip, Py_ssize_t h
) noexcept nogil:
    """Where row h of a strip begins in the output, or its pool."""
    cdef Py_ssize_t rows = q.out[1] // s.unit_rows, columns = q.out[2] // s.unit_columns
    return q.n_filters * columns * (
        (strip.image * q.out[0] + strip.depth) * rows + strip.row // s.unit_rows + h
    ) + strip.column // s.unit_columns * q.n_filters


# --- forward ---------------------------------------------------------------------------

cdef void convolve_strip(
    const Conv* q, const Interleaved* s, const TapsNeeded* of,
    const Py_ssize_t* window, const real* x, real* z
) noexcept nogil:
    """z(position, filter, lane), without the activation."""
    cdef Py_ssize_t i
    cdef Filters f
    for i in range(q.n_groups * s.n_panels):
        f = filters_of(q, s, i)
        interleaved_maps(
            f.n, x + f.group * q.group_channels * LANES, window, of, s.line, s.line_taps,
            s.W + f.first * q.n_taps, q.packed_b + f.first, z + f.first * LANES,
            q.n_filters * LANES)


cdef inline vec maximum(
    const real* x, Py_ssize_t row, Py_ssize_t position, Py_ssize_t n_rows, Py_ssize_t n_columns,
    Py_ssize_t first, Py_ssize_t width, bits_vec* place
) noexcept nogil:
    """Of a window, the place of whose first position is `first` in maps of so many columns."""
    cdef bits_vec zero = <bits_vec> (<const vec*> ZEROS)[0]
    cdef vec best = at(x)
    cdef Py_ssize_t i, j
    place[0] = zero + <bits> first
    for i in range(n_rows):
        for j in range(n_columns):
            if i + j > 0:
                keep_larger(&best, place, at(x + i * row + j * position),
                            zero + <bits> (first + i * width + j))
    return best


cdef inline void take_maxima(
    const Conv* q, const Interleaved* s, const Strip* strip, real* z, bits* places,
    bint want_index
) noexcept nogil:
    """The maxima of the windows of a strip, in place, and where in a map they are."""
    cdef Py_ssize_t position = q.n_filters * LANES, row = strip.n_columns * position
    cdef Py_ssize_t n_columns = strip.n_columns // s.unit_columns, i, f, first, to = 0
    cdef bint is_four = s.unit_rows == 2 and s.unit_columns == 2
    cdef bits_vec place
    cdef const real* x
    for i in range(strip.n_rows // s.unit_rows * n_columns):
        x = z + i // n_columns * s.unit_rows * row + i % n_columns * s.unit_columns * position
        first = ((strip.depth * q.out[1] + strip.row + i // n_columns * s.unit_rows) * q.out[2]
                 + strip.column + i % n_columns * s.unit_columns)
        for f in range(q.n_filters):
            if is_four:  # without loops, since the compiler knows their lengths
                put(z + to, maximum(x, row, position, 2, 2, first, q.out[2], &place))
            else:
                put(z + to, maximum(x, row, position, s.unit_rows, s.unit_columns, first,
                                    q.out[2], &place))
            if want_index:
                (<bits_vec*> (places + to))[0] = place
            x = x + LANES
            to += LANES


cdef void put_places(
    const bits* places, Py_ssize_t n, Py_ssize_t n_images, int32_t* index, Py_ssize_t image_size,
    bits* row
) noexcept nogil:
    """Like put_in_order, n at most a row."""
    cdef Py_ssize_t i, j
    transpose(<const real*> places, LANES, n, n_images, <real*> row, n)
    for i in range(n_images):
        for j in range(n):
            index[i * image_size + j] = <int32_t> row[i * n + j]


cdef void interleaved_task(
    const Conv* q, const Interleaved* s, Py_ssize_t task, real* scratch
) noexcept nogil:
    """A strip of Y."""
    cdef Strip strip = strip_at(q, s, task)
    cdef real* z = scratch + s.x_size
    cdef real* row = z + s.z_size
    cdef real* places = row + s.row_size
    cdef Py_ssize_t* window = <Py_ssize_t*> (places + s.place_size)
    cdef Py_ssize_t n = strip.n_columns // s.unit_columns * q.n_filters, h, to
    cdef Py_ssize_t image_size = (
        q.out[0] * (q.out[1] // s.unit_rows) * (q.out[2] // s.unit_columns) * q.n_filters)
    cdef TapsNeeded of = strip_taps(
        q, s, &strip, <int32_t*> (window + s.rows * s.columns + MAX_TOGETHER))
    strip_windows(q, s, &strip, window)
    interleave_input(q, s, &strip, row, scratch)
    convolve_strip(q, s, &of, window, scratch, z)
    activate(q.code, q.alpha, z, strip.n_rows * strip.n_columns * q.n_filters * LANES)
    if s.index is not NULL:
        take_maxima(q, s, &strip, z, <bits*> places, True)
    elif s.pool is not NULL:
        take_maxima(q, s, &strip, z, NULL, False)
    for h in range(strip.n_rows // s.unit_rows):
        to = output_row(q, s, &strip, h)
        put_in_order(z + h * n * LANES, n, strip.n_images, q.Y + to, image_size, row)
        if s.index is not NULL:
            put_places(<bits*> (places + h * n * LANES), n, strip.n_images, s.index + to,
                       image_size, <bits*> row)


cdef void pack_interleaved(const Conv* q, const Interleaved* s, real* b) noexcept nogil:
    """Filters in panels, and biases."""
    cdef Py_ssize_t i
    cdef Filters f
    for i in range(q.n_groups * s.n_panels):
        f = filters_of(q, s, i)
        pack_panel(q.W + f.first, q.n_filters, 1, q.n_taps, f.n, f.n, s.W + f.first * q.n_taps)
    if q.b is NULL:
        memset(b, 0, q.n_filters * sizeof(real))
    else:
        memcpy(b, q.b, q.n_filters * sizeof(real))


cdef Py_ssize_t interleaved_blocks(const Conv* q) noexcept nogil:
    """How many blocks of LANES images are worth it: whole ones, and one that is nearly full."""
    return (q.n_images + LANES // 8) // LANES


cdef Py_ssize_t interleaved_images(
    Conv* q, const Pool* pool, int32_t* index, int n_threads
) except -1:
    """How many images were done, which are then left out of q: none, if that is not faster. Y is
    that of the pool, with its index, if these are not NULL."""
    cdef Py_ssize_t n_blocks = interleaved_blocks(q), n_done = smaller(n_blocks * LANES, q.n_images)
    cdef Py_ssize_t image_size = q.out_size
    if n_done == 0 or not interleaves(q, pool):
        return 0
    convolve_blocks(q, pool, index, n_blocks, threads_for_products(n_products(q), n_threads))
    if pool is not NULL:
        image_size = pool.out[0] * pool.out[1] * pool.out[2] * q.n_filters
    q.X += n_done * q.image_size
    q.Y += n_done * image_size
    if q.output is not NULL:
        q.output += n_done * q.image_size
    q.n_images -= n_done
    conv_sizes(q)
    return n_done


cdef int convolve_blocks(
    Conv* q, const Pool* pool, int32_t* index, Py_ssize_t n_blocks, int n_threads
) except -1:
    cdef Interleaved s = interleaved_geometry(
        q, pool, n_blocks, LANE_BYTES * LANES, chunks_of(n_blocks, n_threads))
    cdef Shares shares
    cdef int thread
    cdef Py_ssize_t task, n_tasks = s.n_blocks * s.n_strips
    cdef Py_ssize_t n_tables = table_size(q.n_taps + s.n_lines)
    cdef Py_ssize_t n_packed = whole_vectors((q.n_taps + 1) * q.n_filters)
    cdef real* memory = <real*> allocate(
        (n_tables + n_packed + n_threads * s.scratch_size) * sizeof(real))
    cdef real* scratch
    with nogil:
        s.index = index
        s.tap = <Py_ssize_t*> memory
        s.line = s.tap + q.n_taps + MAX_TOGETHER
        s.W = memory + n_tables
        q.packed_b = s.W + q.n_taps * q.n_filters
        scratch = s.W + n_packed
        interleaved_taps(q, &s)
        pack_interleaved(q, &s, q.packed_b)
        share_out(&shares, n_tasks, n_threads)
        for thread in prange(n_threads, num_threads=n_threads, schedule="static"):
            task = next_task(&shares, thread)
            while task >= 0:
                interleaved_task(q, &s, task, scratch + thread * s.scratch_size)
                task = next_task(&shares, thread)
        free(memory)
    return 0


# --- weight gradient -------------------------------------------------------------------

cdef void add_strip_gradient(
    const Conv* q, const Interleaved* s, const Strip* strip, real* dW, real* db, real* scratch
) noexcept nogil:
    """dW(tap, filter, lane) += what the windows of a strip add; db(filter, lane) likewise."""
    cdef Py_ssize_t* line = <Py_ssize_t*> (scratch + s.x_size + s.z_size + s.row_size)
    cdef real* dz = scratch + s.x_size
    cdef Py_ssize_t n_windows = strip.n_rows * strip.n_columns, row = strip.n_columns * q.n_filters
    cdef Py_ssize_t h, source, i
    cdef Filters f
    for h in range(strip.n_rows):
        line[h] = h * q.stride[1] * s.columns_in * q.n_channels * LANES
    interleave_input(q, s, strip, dz + s.z_size, scratch)
    if strip.n_images < LANES:
        memset(dz, 0, s.z_size * sizeof(real))
    for h in range(strip.n_rows):
        source = output_row(q, s, strip, h)
        interleave(
            q.dY + source, NULL if q.code == IDENTITY else q.Y_in + source, q.code, q.alpha,
            q.out_size, strip.n_images, row, dz + s.z_size, dz + h * row * LANES)
    if db is not NULL:
        add_rows(dz, q.n_filters * LANES, n_windows, q.n_filters * LANES, db)
    for i in range(q.n_groups * s.n_panels):
        f = filters_of(q, s, i)
        interleaved_gradient(
            f.n, scratch + f.group * q.group_channels * LANES, s.tap, q.n_taps, line,
            strip.n_rows, strip.n_columns, q.stride[2] * q.n_channels * LANES,
            dz + f.first * LANES, q.n_filters * LANES, dW + f.first * LANES,
            q.n_filters * LANES)


cdef void add_lanes(const real* x, Py_ssize_t n, real* lanes, real* total) noexcept nogil:
    """total(i) = the sum of x(i, lane), in the order of the lanes; `lanes` is work space like x."""
    cdef Py_ssize_t lane, i
    transpose(x, LANES, n, LANES, lanes, n)
    memcpy(total, lanes, n * sizeof(real))
    for lane in range(1, LANES):
        for i in range(n):
            total[i] += lanes[lane * n + i]


cdef inline Py_ssize_t interleaved_sums(const Conv* q) noexcept nogil:
    """Numbers in the sums of a piece: of dW, with what a tile writes beyond it, and db."""
    return (q.n_taps + 1 + MAX_TOGETHER) * q.n_filters * LANES


cdef void interleaved_piece(
    const Conv* q, const Interleaved* s, Py_ssize_t piece, bint need_db, real* scratch
) noexcept nogil:
    cdef Py_ssize_t dW_size = q.n_taps * q.n_filters, n = s.n_blocks * s.n_strips, i
    cdef real* db = scratch
    cdef real* dW = db + q.n_filters * LANES
    cdef real* work = scratch + interleaved_sums(q)
    cdef Strip strip
    memset(scratch, 0, interleaved_sums(q) * sizeof(real))
    for i in range(part(n, piece, q.n_pieces), part(n, piece + 1, q.n_pieces)):
        strip = strip_at(q, s, i)
        add_strip_gradient(q, s, &strip, dW, db if need_db else NULL, work)
    add_lanes(dW, dW_size, work, q.dW_pieces + piece * dW_size)
    if need_db:
        add_lanes(db, q.n_filters, work, q.db_pieces + piece * q.n_filters)


cdef int interleaved_gradients(Conv* q, real* dW, real* db, int n_threads) except -1:
    cdef Interleaved s = interleaved_geometry(
        q, NULL, ceil_div(q.n_images, LANES), STRIP_BYTES, 1)
    cdef Shares shares
    cdef int thread
    cdef Py_ssize_t piece, dW_size = q.n_taps * q.n_filters
    cdef Py_ssize_t n_tables = table_size(q.n_taps + s.n_lines)
    cdef Py_ssize_t n_sums = interleaved_sums(q), n_pieces
    cdef real* memory
    cdef real* scratch
    q.n_pieces = smaller(s.n_blocks * s.n_strips, MAX_PIECES)
    if q.n_pieces > MIN_PIECES:
        q.n_pieces = q.n_pieces // MIN_PIECES * MIN_PIECES
    if threads_for_products(n_products(q), MIN_PIECES) == 1:
        q.n_pieces = 1
    n_pieces = whole_vectors(q.n_pieces * (dW_size + q.n_filters))
    s.scratch_size = n_sums + larger(n_sums, s.scratch_size)
    memory = <real*> allocate(
        (n_tables + n_pieces + n_threads * s.scratch_size) * sizeof(real))
    with nogil:
        s.tap = <Py_ssize_t*> memory
        s.line = s.tap + q.n_taps + MAX_TOGETHER
        q.dW_pieces = memory + n_tables
        q.db_pieces = q.dW_pieces + q.n_pieces * dW_size
        scratch = q.dW_pieces + n_pieces
        interleaved_taps(q, &s)
        share_out(&shares, q.n_pieces, n_threads)
        for thread in prange(n_threads, num_threads=n_threads, schedule="static"):
            piece = next_task(&shares, thread)
            while piece >= 0:
                interleaved_piece(q, &s, piece, db is not NULL, scratch + thread * s.scratch_size)
                piece = next_task(&shares, thread)
        add_pieces(q.dW_pieces, q.n_pieces, 1, 1, dW_size, dW_size, dW, 1)
        if db is not NULL:
            add_pieces(q.db_pieces, q.n_pieces, 1, 1, q.n_filters, q.n_filters, db, 1)
        free(memory)
    return 0
