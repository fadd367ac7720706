# The abilities of this CPU: built for the oldest CPU, so that it can be imported anywhere.

cdef extern from *:
    """
    #if defined(__x86_64__) && defined(_WIN32)
    /* What the compiler has for this is in a library that clang-cl does not link. */
    #include <cpuid.h>
    #define AVX2_STATE 0x06u    /* registers that the system saves, as XGETBV tells */
    #define AVX512_STATE 0xe6u

    static int cpu_has(unsigned of_leaf_7, unsigned state)
    {
        unsigned a, b, c, d, saved, high, needed = bit_OSXSAVE | bit_FMA;
        if (!__get_cpuid(1, &a, &b, &c, &d) || (c & needed) != needed)
            return 0;
        __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
        return (saved & state) == state && __get_cpuid_count(7, 0, &a, &b, &c, &d)
            && (b & of_leaf_7) == of_leaf_7;
    }
    static int cpu_has_avx2(void) { return cpu_has(bit_AVX2 | bit_BMI2, AVX2_STATE); }
    static int cpu_has_avx512(void) {
        return cpu_has_avx2() && cpu_has(
            bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL,
            AVX512_STATE);
    }
    #elif defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
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
