# The abilities of this CPU: built for the oldest CPU, so that it can be imported anywhere.

cdef extern from *:
    """
    #if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    static int cpu_has_avx2(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
            && __builtin_cpu_supports("bmi2");
    }
    static int cpu_has_avx512(void) {
        __builtin_cpu_init();
        return cpu_has_avx2() && __builtin_cpu_supports("avx512f")
            && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd")
            && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
    #else
    static int cpu_has_avx2(void) { return 0; }
    static int cpu_has_avx512(void) { return 0; }
    #endif
    #ifdef _OPENMP
    #include <omp.h>
    static int max_threads(void) { return omp_get_max_threads(); }
    static int has_openmp(void) { return 1; }
    #else
    static int max_threads(void) { return 1; }
    static int has_openmp(void) { return 0; }
    #endif
    """
    int cpu_has_avx2()
    int cpu_has_avx512()
    int _max_threads "max_threads"()
    int _has_openmp "has_openmp"()


def supports(str variant):
    """True if this CPU can run the kernels of a variant."""
    if variant == "avx512":
        return bool(cpu_has_avx512())
    if variant == "avx2":
        return bool(cpu_has_avx2())
    return variant in ("baseline", "reference")


def max_threads():
    """Threads that OpenMP would use now: it knows OMP_NUM_THREADS."""
    return _max_threads()


def has_openmp():
    return bool(_has_openmp())
