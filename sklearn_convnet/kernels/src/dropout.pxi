# Dropout. Whether element i survives is a hash of (seed, i), so the mask need not be kept,
# is the same for any number of threads, and the gradient can be checked numerically.
#
# The hash is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014), whose 64 bits serve two
# elements: of each BLOCK of 64, the first half has the upper bits, the second the lower ones.

cdef inline uint64_t hash_of(uint64_t seed, uint64_t i) noexcept nogil:
    cdef uint64_t h = seed + (i + 1) * <uint64_t> 0x9E3779B97F4A7C15ULL
    h = (h ^ (h >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9ULL
    h = (h ^ (h >> 27)) * <uint64_t> 0x94D049BB133111EBULL
    return h ^ (h >> 31)


cdef void dropout_block(
    const real* x, real* y, Py_ssize_t n, real factor, int32_t limit, uint64_t seed, uint64_t first
) noexcept nogil:
    """At most BLOCK elements; limit is what 24 bits must reach for an element to stay."""
    cdef real kept[BLOCK]
    cdef uint64_t h
    cdef int i
    for i in range(BLOCK // 2):
        h = hash_of(seed, first + <uint64_t> i)
        kept[i] = factor if <int32_t> (h >> 40) >= limit else 0
        kept[BLOCK // 2 + i] = factor if <int32_t> ((h >> 8) & 0xFFFFFF) >= limit else 0
    for i in range(<int> n):
        y[i] = x[i] * kept[i]


def dropout(
    const real[::1] X,  # IN
    real[::1] Y,        # OUT
    double rate, uint64_t seed, int n_threads,
):
    """Y = X mask / (1 - rate); also the gradient, with dY for X and the same seed."""
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Py_ssize_t n = X.shape[0], t, start
    cdef real factor
    cdef int32_t limit
    same_length(n, Y.shape[0], "Y")
    if not 0 <= rate < 1:
        raise ValueError(f"rate must be in [0, 1), got {rate}")
    factor = <real> (1 / (1 - rate))
    limit = <int32_t> ceil(rate * (1 << 24))
    for t in prange(ceil_div(n, BLOCK), nogil=True, num_threads=threads_for(n, n_threads)):
        start = t * BLOCK
        dropout_block(&X[start], &Y[start], smaller(BLOCK, n - start), factor, limit, seed,
                      <uint64_t> (t * (BLOCK // 2)))
