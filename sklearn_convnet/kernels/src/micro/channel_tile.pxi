# The micro-kernels of depth-wise convolutions: vectors run over channels on both sides, so that
# they multiply vector by vector, with a load for each multiply-add.
#
#   c[r] (+)= init + sum_k a[r][a_offset[k]] * b[b_offset[k]]
#
# A tile by pointers adds to its rows; positions that are equally far apart need none, and have
# tiles of many rows: what they load of b serves all of them, and no sum waits for itself. Their k
# are taps, equally far apart along each axis, and their sums may end in a clamp. Where three taps
# of a row are as far apart as positions, as those of 3 x 3 filters are, what is loaded of a serves
# three rows: in the order of the taps, too, so that bits are the same.

cdef extern from *:
    """
    #define CHANNEL_MR 6  /* rows of a tile by pointers */
    #define SLIDING_MR 8  /* rows of a tile whose taps slide, at most: 3 of b are in registers */

    static void channel_tile(
        const skcn_real **a,         /* IN  CHANNEL_MR pointers to vectors */
        const Py_ssize_t *a_offset,  /* IN  (n_k) */
        const skcn_real *b,          /* IN  vectors */
        const Py_ssize_t *b_offset,  /* IN  (n_k) */
        Py_ssize_t n_k,
        skcn_real **c)               /* INOUT CHANNEL_MR pointers to vectors */
    {
        vec acc[CHANNEL_MR];
        UNROLL for (int r = 0; r < CHANNEL_MR; r++)
            acc[r] = (vec) {0};
        for (Py_ssize_t k = 0; k < n_k; k++) {
            vec b_vec = *(const vec *) (b + b_offset[k]);
            UNROLL for (int r = 0; r < CHANNEL_MR; r++)
                acc[r] += *(const vec *) (a[r] + a_offset[k]) * b_vec;
        }
        UNROLL for (int r = 0; r < CHANNEL_MR; r++)
            *(vec *) c[r] += acc[r];
    }

    /* x, but low where it is less, and high where it is more. NaN stays. */
    static inline __attribute__((always_inline)) vec within(vec x, vec low, vec high)
    {
        bits_vec less = (bits_vec) (x < low), more = (bits_vec) (x > high);
        x = (vec) (((bits_vec) low & less) | ((bits_vec) x & ~less));
        return (vec) (((bits_vec) high & more) | ((bits_vec) x & ~more));
    }

    /* Taps along depth, height and width: how many, and how far one is from the next in a and b. */
    typedef struct {
        Py_ssize_t n[3], a[3], b[3];
    } taps;

    /* Numbers that are needed soon, of which each tile asks for a share. */
    typedef struct {
        const skcn_real *x;     /* will be read */
        const skcn_real *y;     /* will be written */
        Py_ssize_t n_x, n_y;
        Py_ssize_t share_x, share_y;
    } channels_ahead;

    static inline Py_ssize_t share_of(Py_ssize_t n, Py_ssize_t n_tiles)
    {
        Py_ssize_t line = CACHE_LINE / (Py_ssize_t) sizeof(skcn_real);
        return (n + n_tiles * line - 1) / (n_tiles * line) * line;
    }

    /* A function of its own, so that the tiles of its caller have the registers. */
    static __attribute__((noinline)) void fetch_shares(channels_ahead *ahead)
    {
        Py_ssize_t n_x = ahead->n_x < ahead->share_x ? ahead->n_x : ahead->share_x;
        Py_ssize_t n_y = ahead->n_y < ahead->share_y ? ahead->n_y : ahead->share_y;
        fetch(ahead->x, n_x);
        fetch_to_write(ahead->y, n_y);
        ahead->x += n_x;
        ahead->n_x -= n_x;
        ahead->y += n_y;
        ahead->n_y -= n_y;
    }

    static inline __attribute__((always_inline)) void spaced_tile(
        const int MR, const int slides,
        const skcn_real *a, Py_ssize_t a_row, const skcn_real *b, const taps *t,
        const skcn_real *init, const skcn_real *bounds, skcn_real *c, Py_ssize_t c_row)
    {
        vec acc[MAX_MR];
        UNROLL for (int r = 0; r < MR; r++)
            acc[r] = init ? *(const vec *) init : (vec) {0};
        for (Py_ssize_t d = 0; d < t->n[0]; d++)
            for (Py_ssize_t h = 0; h < t->n[1]; h++) {
                const skcn_real *x = a + d * t->a[0] + h * t->a[1];
                const skcn_real *w = b + d * t->b[0] + h * t->b[1];
                if (slides) {
                    vec w_vec[3];
                    UNROLL for (int k = 0; k < 3; k++)
                        w_vec[k] = *(const vec *) (w + k * t->b[2]);
                    UNROLL for (int i = 0; i < MR + 2; i++) {
                        vec x_vec = *(const vec *) (x + i * a_row);
                        UNROLL for (int k = 0; k < 3; k++)
                            if (i >= k && i - k < MR)
                                acc[i - k] += x_vec * w_vec[k];
                    }
                    continue;
                }
                for (Py_ssize_t k = 0; k < t->n[2]; k++, x += t->a[2], w += t->b[2]) {
                    vec w_vec = *(const vec *) w;
                    UNROLL for (int r = 0; r < MR; r++)
                        acc[r] += *(const vec *) (x + r * a_row) * w_vec;
                }
            }
        if (bounds) {
            vec low = bounds[0] + (vec) {0}, high = bounds[1] + (vec) {0};
            UNROLL for (int r = 0; r < MR; r++)
                acc[r] = within(acc[r], low, high);
        }
        UNROLL for (int r = 0; r < MR; r++)
            *(vec *) (c + r * c_row) = acc[r];
    }

    static inline __attribute__((always_inline)) void tiles_of_row(
        const int slides, Py_ssize_t n, Py_ssize_t n_channels,
        const skcn_real *a, Py_ssize_t a_row, const skcn_real *b, const taps *t,
        const skcn_real *init, const skcn_real *bounds, skcn_real *c, Py_ssize_t c_row,
        channels_ahead *next)
    {
    #define TILES(MR) \\
        for (Py_ssize_t i = 0; i < n_channels; i += LANES) { \\
            Py_ssize_t v = i + LANES > n_channels ? n_channels - LANES : i; \\
            if (next) \\
                fetch_shares(next); \\
            spaced_tile(MR, slides, a + r * a_row + v, a_row, b + v, t, init ? init + v : NULL, \\
                        bounds, c + r * c_row + v, c_row); \\
        } \\
        break
        const Py_ssize_t most = slides ? SLIDING_MR : MAX_MR;
        Py_ssize_t r = 0, size, n_tiles;
        if (next) {
            n_tiles = ((n + most - 1) / most) * ((n_channels + LANES - 1) / LANES);
            next->share_x = share_of(next->n_x, n_tiles);
            next->share_y = share_of(next->n_y, n_tiles);
        }
        for (; r < n; r += size) {
            size = n - r > 8 ? most : n - r > 7 ? 8 : n - r > 4 ? 7 : n - r > 1 ? 4 : 1;
            while (size > n)
                size = size > 8 ? 8 : size > 7 ? 7 : size > 4 ? 4 : 1;
            r = r + size > n ? n - size : r;
            switch (size) {
            case MAX_MR: TILES(slides ? 1 : MAX_MR);  /* none slide */
            case 8: TILES(8);
            case 7: TILES(7);
            case 4: TILES(4);
            default: TILES(1);
            }
        }
    #undef TILES
    }

    /* A row of n positions, a_row apart in a and c_row apart in c, in tiles of five sizes, and all
       of its channels, at least a vector of them. The last tile begins early if it would not be
       full, and so does the last vector: they do some numbers once more. Meanwhile they ask for
       what is needed next. */
    static void channel_row(
        Py_ssize_t n, Py_ssize_t n_channels,
        const skcn_real *a, Py_ssize_t a_row, const skcn_real *b, const taps *t,
        const skcn_real *init,    /* IN  (n_channels), or NULL */
        const skcn_real *bounds,  /* IN  the least and the largest of c, or NULL */
        skcn_real *c, Py_ssize_t c_row,
        channels_ahead *next)     /* INOUT, or NULL */
    {
        if (t->n[2] == 3 && t->a[2] == a_row)
            tiles_of_row(1, n, n_channels, a, a_row, b, t, init, bounds, c, c_row, next);
        else
            tiles_of_row(0, n, n_channels, a, a_row, b, t, init, bounds, c, c_row, next);
    }
    """
    enum:
        CHANNEL_MR
    ctypedef struct Taps "taps":
        Py_ssize_t n[3]
        Py_ssize_t a[3]
        Py_ssize_t b[3]
    ctypedef struct ChannelsAhead "channels_ahead":
        const real* x
        const real* y
        Py_ssize_t n_x
        Py_ssize_t n_y
    void channel_tile(
        const real** a, const Py_ssize_t* a_offset, const real* b, const Py_ssize_t* b_offset,
        Py_ssize_t n_k, real** c) noexcept nogil
    void channel_row(
        Py_ssize_t n, Py_ssize_t n_channels, const real* a, Py_ssize_t a_row, const real* b,
        const Taps* taps, const real* init, const real* bounds, real* c, Py_ssize_t c_row,
        ChannelsAhead* next) noexcept nogil
