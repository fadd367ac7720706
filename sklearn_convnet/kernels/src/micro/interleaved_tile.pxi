# The micro-kernel of interleaved images: P x G sums, its MR and NR, each of them a vector with one
# number of each of LANES images.
#
#   c[p][g] (+)= init[g] + sum_k b[k][g] a[p][k]
#
# Design:
# * P positions of G filters: for each tap, P vectors of the input and G numbers of the filters do
#   G P multiply-adds. The weight gradient is the same: for each window, G vectors of dz and P taps.
# * Taps that meet nothing but padding at all positions of a tile are left out.

cdef extern from *:
    """
    #ifdef WIDE_REGISTERS
    #define INTERLEAVED_NR 8
    #define INTERLEAVED_MR_1 8
    #define INTERLEAVED_MR_2 8
    #define INTERLEAVED_MR_3 8
    #define INTERLEAVED_MR_4 6
    #define INTERLEAVED_MR_5 5
    #define INTERLEAVED_MR_6 4
    #define INTERLEAVED_MR_7 3
    #define INTERLEAVED_MR_8 3
    #else
    #define INTERLEAVED_NR 6
    #define INTERLEAVED_MR_1 14
    #define INTERLEAVED_MR_2 6
    #ifdef __FMA__
    #define INTERLEAVED_MR_3 4
    #define INTERLEAVED_MR_4 3
    #else  /* a product needs a register before it is added */
    #define INTERLEAVED_MR_3 3
    #define INTERLEAVED_MR_4 2
    #endif
    #define INTERLEAVED_MR_5 2
    #define INTERLEAVED_MR_6 2
    #endif
    #define INTERLEAVED_MAX_MR 14

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

    /* The k that any of P windows needs, from one in a row and column on; in both directions, those
       of a later one begin and end earlier. */
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
        const skcn_real *row[INTERLEAVED_MAX_MR];
        vec acc[INTERLEAVED_NR * INTERLEAVED_MAX_MR], kept[INTERLEAVED_MAX_MR];
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

    #define INTERLEAVED_CASE(G) \\
        case G: \\
            for (; i < n_rows; i += INTERLEAVED_MR_##G, column += INTERLEAVED_MR_##G) { \\
                range_of_k k = all; \\
                if (is_forward) { \\
                    for (; column >= of->n_columns; column -= of->n_columns) \\
                        row++; \\
                    k = needed(of, row, column, INTERLEAVED_MR_##G, all.line); \\
                } \\
                interleaved_tile(G, INTERLEAVED_MR_##G, is_forward, a, row_offset + i, k, k_step, \\
                                 b + (k.line - all.line) * b_line, b_row, b_line, init, \\
                                 c + i * c_row, c_row); \\
            } \\
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
    const int INTERLEAVED_NR, INTERLEAVED_MAX_MR
    void interleaved_maps(
        Py_ssize_t G, const real* x, const Py_ssize_t* window, const TapsNeeded* of,
        const Py_ssize_t* line, Py_ssize_t n_k, const real* w, const real* init, real* z,
        Py_ssize_t z_row) noexcept nogil
    void interleaved_gradient(
        Py_ssize_t G, const real* x, const Py_ssize_t* tap, Py_ssize_t n_taps,
        const Py_ssize_t* line, Py_ssize_t n_lines, Py_ssize_t n_k, Py_ssize_t k_step,
        const real* dz, Py_ssize_t dz_row, real* dW, Py_ssize_t dW_row) noexcept nogil
