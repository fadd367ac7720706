# Design:
# * A GCC/clang vector type behaves like a number in C, so Cython's `a * b + c` becomes one
#   FMA on LANES numbers. To Cython, `vec` is a plain floating type.
# * setup.py defines SIMD_BYTES (register width), WIDE_REGISTERS (32 registers, not 16) and
#   SINGLE (float32, not float64); everything below follows from these three.
# * One translation serves both dtypes: `real` is a float to Cython, whatever it is in C. Arithmetic
#   with doubles is that of doubles in both. A number from Python must arrive as a double: Cython
#   would read a `real` as a float.
# * Bounds of a tile: MR rows of at most NR numbers, NV vectors. A tile of V vectors has MR_V rows:
#   MR_V * V accumulators, V loaded vectors and one broadcast number must fit the registers, or the
#   tile spills and falls to a tenth of its speed.
# * KC is the number of k of one tile call: that part of a panel of b stays in L1.
# * `tile_loop` must be inlined into callers that pass MR and V as constants: only then are
#   its accumulators registers. `inline` alone is a hint that GCC declines.

from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

cdef extern from *:
    """
    #ifdef _WIN32  /* which has C11 but for this */
    #include <malloc.h>
    #define aligned_alloc(alignment, n_bytes) _aligned_malloc(n_bytes, alignment)
    #define free_aligned(memory) _aligned_free(memory)
    #else
    #include <stdlib.h>
    #define free_aligned(memory) free(memory)
    #endif
    """
    void* aligned_alloc(size_t alignment, size_t n_bytes) nogil
    void free "free_aligned"(void* memory) nogil

cdef enum:
    MAX_LANES = 16   # of any vector


cdef extern from *:
    """
    #ifdef SINGLE
    typedef float skcn_real;
    typedef int32_t skcn_bits;
    #define LOG_TERMS 8
    #define MANTISSA_BITS 23
    #define EXPONENT_BIAS 127
    #define ROUND_MAGIC 12582912.0f
    #define LN2_HIGH 0.693359375f
    #define LN2_LOW -2.12194440e-4f
    #define EXP_LOWEST -87.0f
    #define SMALLEST 0x1p-122f  /* 16 times the smallest normal number */
    #define square_root sqrtf
    #define absolute fabsf
    #define with_sign copysignf
    #else
    typedef double skcn_real;
    typedef int64_t skcn_bits;
    #define LOG_TERMS 17
    #define MANTISSA_BITS 52
    #define EXPONENT_BIAS 1023
    #define ROUND_MAGIC 6755399441055744.0
    #define LN2_HIGH 6.93145751953125e-1
    #define LN2_LOW 1.42860682030941723212e-6
    #define EXP_LOWEST -708.0
    #define SMALLEST 0x1p-1018
    #define square_root sqrt
    #define absolute fabs
    #define with_sign copysign
    #endif

    typedef skcn_real vec
        __attribute__((vector_size(SIMD_BYTES), aligned(sizeof(skcn_real)), may_alias));
    typedef skcn_real half_vec
        __attribute__((vector_size(SIMD_BYTES / 2), aligned(sizeof(skcn_real)), may_alias));
    typedef skcn_bits bits_vec
        __attribute__((vector_size(SIMD_BYTES), aligned(sizeof(skcn_bits)), may_alias));
    #define LANES ((Py_ssize_t) (SIMD_BYTES / sizeof(skcn_real)))
    #define CACHE_LINE 64  /* bytes */

    #ifdef __clang__
    #define UNROLL _Pragma("clang loop unroll(full)")
    #else
    #define UNROLL _Pragma("GCC unroll 32")
    #endif

    #define MAX_MR 14
    #ifdef WIDE_REGISTERS
    #define NV 4
    #define KC 160
    #define MR_1 9
    #define MR_2 14
    #define MR_3 9
    #define MR_4 7
    #else
    #define NV 2
    #define KC 192
    #define MR_1 8
    #define MR_2 6
    #define MR_3 1
    #define MR_4 1
    #endif

    #define NR (NV * LANES)

    static const skcn_real ZEROS[NR] = {0};
    """
    ctypedef float real "skcn_real"
    ctypedef real vec
    ctypedef int64_t bits "skcn_bits"
    ctypedef int64_t bits_vec
    const Py_ssize_t LANES
    const Py_ssize_t CACHE_LINE
    const real* ZEROS
    const Py_ssize_t KC, NR
    const int NV, MR_1, MR_2, MR_3, MR_4
    const int MANTISSA_BITS, EXPONENT_BIAS
    const real ROUND_MAGIC, LN2_HIGH, LN2_LOW, EXP_LOWEST, SMALLEST
    real square_root(real x) nogil
    real absolute(real x) nogil
    real with_sign(real x, real sign) nogil


cdef inline vec at(const real* x) noexcept nogil:
    """The vector that begins at x."""
    return (<const vec*> x)[0]


cdef inline void put(real* y, vec value) noexcept nogil:
    (<vec*> y)[0] = value


cdef extern from *:
    """
    /* best = max(best, x) and its place; of equal ones the one that was there. */
    static inline __attribute__((always_inline)) void keep_larger(
        vec *best, bits_vec *place, vec x, bits_vec here)
    {
        bits_vec better = ~(bits_vec) (x <= *best) & (bits_vec) (*best == *best);
        *best = (vec) (((bits_vec) x & better) | ((bits_vec) *best & ~better));
        *place = (here & better) | (*place & ~better);
    }

    static inline void store_places(int32_t *to, bits_vec place)
    {
        for (Py_ssize_t lane = 0; lane < LANES; lane++)
            to[lane] = (int32_t) place[lane];
    }
    """
    void keep_larger(vec* best, bits_vec* place, vec x, bits_vec here) noexcept nogil
    void store_places(int32_t* to, bits_vec place) noexcept nogil


cdef extern from *:
    """
    /* Asks for n numbers, which will be read soon. GCC drops a call of a function that only asks,
       as it has no effect that counts: the empty statement has one. */
    static inline void fetch(const skcn_real *x, Py_ssize_t n)
    {
        for (Py_ssize_t i = 0; i < n; i += CACHE_LINE / (Py_ssize_t) sizeof(skcn_real))
            __builtin_prefetch(x + i);
        __asm__ volatile("");
    }

    /* Asks for n numbers, which will be written soon. */
    static inline void fetch_to_write(const skcn_real *x, Py_ssize_t n)
    {
        for (Py_ssize_t i = 0; i < n; i += CACHE_LINE / (Py_ssize_t) sizeof(skcn_real))
            __builtin_prefetch(x + i, 1);
        __asm__ volatile("");
    }
    """
    void fetch(const real* x, Py_ssize_t n) noexcept nogil
    void fetch_to_write(const real* x, Py_ssize_t n) noexcept nogil


cdef inline Py_ssize_t smaller(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t larger(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline Py_ssize_t whole_vectors(Py_ssize_t n) noexcept nogil:
    """n numbers, rounded up, so that what lies behind them is at the bound of a vector."""
    return ceil_div(n, LANES) * LANES


cdef inline Py_ssize_t part(Py_ssize_t n, Py_ssize_t i, Py_ssize_t n_parts) noexcept nogil:
    """Where part `i` of `n` things cut into nearly equal parts begins."""
    return n * i // n_parts


cdef void* allocate(Py_ssize_t n_bytes) except NULL nogil:
    """Memory of the call, at the bounds of vectors; the caller frees it."""
    cdef void* memory = NULL
    if 0 <= n_bytes < <Py_ssize_t> 1 << 60:  # otherwise a product of sizes was too large
        memory = aligned_alloc(64, larger(ceil_div(n_bytes, 64), 1) * 64)
    if memory is NULL:
        with gil:
            raise MemoryError(f"could not allocate {n_bytes} bytes of work space")
    return memory
