# Dropout. Whether element i survives is a hash of (seed, i), so the mask need not be kept,
# is the same for any number of threads, and the gradient can be checked numerically.
#
# The hash is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).

cdef inline uint64_t hash_of(uint64_t seed, uint64_t i) noexcept nogil:
    cdef uint64_t h = seed + (i + 1) * <uint64_t> 0x9E3779B97F4A7C15ULL
    h = (h ^ (h >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9ULL
    h = (h ^ (h >> 27)) * <uint64_t> 0x94D049BB133111EBULL
    return h ^ (h >> 31)


def dropout(
    const real[::1] X,  # IN
    real[::1] Y,        # OUT
    double rate, uint64_t seed, int n_threads,
):
    """Y = X mask / (1 - rate); also the gradient, with dY for X and the same seed."""
    cdef Py_ssize_t n = X.shape[0], i
    cdef real factor
    cdef uint64_t limit
    same_length(n, Y.shape[0], "Y")
    if not 0 <= rate < 1:
        raise ValueError(f"rate must be in [0, 1), got {rate}")
    factor = <real> (1 / (1 - rate))
    limit = <uint64_t> (rate * (1 << 24))
    if limit < rate * (1 << 24):
        limit += 1
    for i in prange(n, nogil=True, num_threads=threads_for(n, n_threads)):
        Y[i] = X[i] * (factor if (hash_of(seed, i) >> 40) >= limit else 0)
