# Activations f and their derivatives f'.
#
# Design:
# * f' is written in terms of the output y = f(z) wherever that is possible, so that z need
#   not be kept: only those that are not monotone need their input, GELU, SiLU and hard swish.
# * exp, log1p and what is made of them are polynomials in a loop over whole blocks, of BLOCK
#   elements, which the compiler turns into vectors. The rest of an array that is no whole block is
#   copied into one: the same instructions for every element, so the same bits wherever it lies.
# * In these loops all constants are `real`: with a C double among floats, all is done in double.

from libc.math cimport INFINITY, ceil, fabs, log, pow, sqrt

cdef enum:
    IDENTITY, RELU, LEAKY_RELU, TANH, LOGISTIC, ELU, SOFTPLUS, RELU6, HARD_LOGISTIC, SOFTSIGN
    GELU, SILU, HARD_SWISH  # from GELU on: those whose derivative needs the input

ACTIVATIONS = (
    "identity", "relu", "leaky_relu", "tanh", "logistic", "elu", "softplus", "relu6",
    "hard_logistic", "softsign", "gelu", "silu", "hard_swish",
)


cdef int activation_code(str name, bint of_output) except -1:
    """The code of an activation; those whose derivative needs the input are refused here
    where only the output is kept."""
    cdef int code = 0
    for known in ACTIVATIONS:
        if known == name:
            if of_output and code >= GELU:
                break
            return code
        code += 1
    raise ValueError(f"unknown activation {name!r}")


# exp(x) for x <= 0 is 2^m e^r with x = m ln2 + r, |r| <= ln2 / 2, and 2^y is 2^m 2^r with
# y = m + r, |r| <= 1/2. Polynomials interpolate (e^r - 1) / r and 2^r at Chebyshev's nodes, with
# relative errors of 1.2e-8 and 2.6e-9 in float32, 2.1e-17 and 4.3e-18 in float64.

cdef extern from *:
    """
    #ifdef SINGLE
    static const skcn_real EXPM1[] = {
            1, 0.500000001, 0.166665046, 0.0416664642, 0.00836922029, 0.00139337307,
    };
    static const skcn_real EXP2[] = {
            1, 0.693147207, 0.240226509, 0.0555032689, 0.00961805639, 0.00134005623,
            0.000154615608,
    };
    #else
    static const skcn_real EXPM1[] = {
            1, 0.50000000000000057, 0.16666666666666671, 0.041666666666572391,
            0.0083333333333260831, 0.0013888888932751, 0.00019841269875002279,
            2.4801504014426905e-5, 2.7557255170000887e-6, 2.7626495546432196e-7,
            2.5105312729622102e-8,
    };
    static const skcn_real EXP2[] = {
            1, 0.69314718055994531, 0.2402265069591016, 0.055504108664821628,
            0.0096181291075869256, 0.0013333558146406294, 0.00015403530464147726,
            1.5252733841782437e-5, 1.3215432318391192e-6, 1.0178056971791799e-7,
            7.0742329297787462e-9, 4.4558384999982016e-10,
    };
    #endif

    /* Declares `sum`. A macro, so that its loop is as long as the array: unrolled, GCC makes it
       vectors. */
    #define LAST_OF(coefficients) ((int) (sizeof(coefficients) / sizeof(skcn_real)) - 1)
    #define SERIES(coefficients, x, sum) \\
        skcn_real sum = coefficients[LAST_OF(coefficients)]; \\
        UNROLL for (int i = LAST_OF(coefficients) - 1; i >= 0; i--) \\
            sum = sum * (x) + coefficients[i];

    static inline skcn_real expm1_series(skcn_real r)
    {
        SERIES(EXPM1, r, sum)
        return sum * r;
    }

    static inline skcn_real exp2_series(skcn_real r)
    {
        SERIES(EXP2, r, sum)
        return sum;
    }
    """
    real expm1_series(real r) noexcept nogil
    real exp2_series(real r) noexcept nogil


cdef inline real power_of_two(real shifted) noexcept nogil:
    """2^m of m + ROUND_MAGIC, whose lowest bits are m; 0 for m = -EXPONENT_BIAS."""
    cdef bits exponent
    cdef real scale
    memcpy(&exponent, &shifted, sizeof(real))
    exponent = (exponent + EXPONENT_BIAS) << MANTISSA_BITS  # the bits above m are shifted out
    memcpy(&scale, &exponent, sizeof(real))
    return scale


cdef inline real exp_parts(real x, real* scale) noexcept nogil:
    """e^r - 1, and 2^m as `scale`. NaN stays. Their product may be below the normal numbers where
    exp(x) is not: what adds to it does so in one expression, which is fused."""
    cdef real clamped = EXP_LOWEST if x < EXP_LOWEST else x
    cdef real shifted = clamped * <real> 1.4426950408889634 + ROUND_MAGIC
    cdef real m = shifted - ROUND_MAGIC
    scale[0] = power_of_two(shifted)
    return expm1_series((clamped - m * LN2_HIGH) - m * LN2_LOW)


cdef inline real exp_negative(real x) noexcept nogil:
    """exp(x) for x <= 0; 0 where it would leave the normal numbers. NaN stays."""
    cdef real scale
    cdef real rest = exp_parts(x, &scale)
    cdef real y = scale * rest + scale
    return 0 if x < EXP_LOWEST else y


cdef inline real expm1_negative(real x) noexcept nogil:
    """exp(x) - 1 for x <= 0, exact also near 0. NaN stays."""
    cdef real scale
    cdef real rest = exp_parts(x, &scale)
    return scale * rest + (scale - <real> 1)


# log(1 + u) = 2 artanh(u / (2 + u)) = 2 sum_i s^(2i+1) / (2i+1), s <= 1/3 for 0 <= u <= 1. Of any
# x = 2^m (1 + u) with sqrt(1/2) <= 1 + u < sqrt(2), the logarithm is m ln2 more.

cdef extern from *:
    """
    #ifdef SINGLE
    typedef uint32_t skcn_pattern;
    #define ROOT_OF_HALF ((skcn_pattern) 0x3f3504f3)
    #else
    typedef uint64_t skcn_pattern;
    #define ROOT_OF_HALF ((skcn_pattern) 0x3fe6a09e667f3bcd)
    #endif

    /* A loop that GCC would not unroll, and so not turn into vectors. */
    static inline skcn_real artanh_series(skcn_real square)
    {
        skcn_real series = 0;
        UNROLL for (int i = LOG_TERMS; i >= 0; i--)
            series = series * square + (skcn_real) 2 / (2 * i + 1);
        return series;
    }

    /* Of a normal number. Its bits, and those of ROUND_MAGIC + m, are patterns of whole numbers. */
    static inline skcn_real log_positive(skcn_real x)
    {
        skcn_pattern pattern, magic, m;
        skcn_real near_one, shifted = ROUND_MAGIC;
        memcpy(&pattern, &x, sizeof(x));
        memcpy(&magic, &shifted, sizeof(x));
        m = (pattern - ROOT_OF_HALF + ((skcn_pattern) EXPONENT_BIAS << MANTISSA_BITS))
            >> MANTISSA_BITS;
        pattern -= (m - EXPONENT_BIAS) << MANTISSA_BITS;
        magic += m - EXPONENT_BIAS;
        memcpy(&near_one, &pattern, sizeof(x));
        memcpy(&shifted, &magic, sizeof(x));
        shifted -= ROUND_MAGIC;
        skcn_real s = (near_one - 1) / (near_one + 1);
        return shifted * LN2_HIGH + (shifted * LN2_LOW + artanh_series(s * s) * s);
    }
    """
    real artanh_series(real square) noexcept nogil
    real log_positive(real x) noexcept nogil


cdef inline real log1p_unit(real u) noexcept nogil:
    cdef real s = u / (<real> 2 + u)
    return artanh_series(s * s) * s


cdef inline real logistic(real x) noexcept nogil:
    cdef real e = exp_negative(-absolute(x))
    cdef real numerator = e if x < 0 else 1
    return numerator / (<real> 1 + e)


cdef inline real tanh_(real x) noexcept nogil:
    cdef real e = expm1_negative(<real> -2 * absolute(x))
    return with_sign(e / (<real> 2 + e), x)


cdef inline real softplus(real x) noexcept nogil:
    cdef real y = log1p_unit(exp_negative(-absolute(x)))
    return y if x < 0 else x + y


# With a = |x|, the tail 1 - Phi(a) of the normal distribution is exp(-a^2 / 2) t p(t), where
# t = 1 / (1 + TAIL_SCALE a). p interpolates exp(a^2 / 2) (1 - Phi(a)) / t at Chebyshev's nodes, as
# far as exp does not underflow; its relative error is 3.9e-8 in float32, and 3e-16 in float64.

cdef extern from *:
    """
    #ifdef SINGLE
    #define TAIL_SCALE 0.35f
    #define TAIL_END 13.2687f  /* from here on the tail is 0 */
    static const skcn_real TAIL[] = {
            0.139619029, 0.139905722, 0.119500183, 0.106867618, -0.0264001068, 0.164028463,
            -0.260000504, 0.146052616, -0.0295730369,
    };
    #else
    #define TAIL_SCALE 0.2
    #define TAIL_END 37.6588
    static const skcn_real TAIL[] = {
            0.079788456041731217, 0.079788458410483205, 0.076596853087359116,
            0.070214941053463824, 0.061009409540346849, 0.049896560913423302,
            0.036887769828837031, 0.029083757635950571, 0.0016893283615013789,
            0.048235636020251528, -0.099488527174813889, 0.1937178656887593,
            -0.29668510467718728, 0.33983221270780246, -0.29034747572942851,
            0.16575647813020786, -0.046277976406871199, -0.0078196049131401288,
            0.011454222331776414, -0.0037945474600352682, 0.00046128660958223967,
    };
    #endif

    static inline skcn_real tail_series(skcn_real t)
    {
        SERIES(TAIL, t, sum)
        return sum * t;
    }
    """
    const real TAIL_SCALE, TAIL_END
    real tail_series(real t) noexcept nogil


cdef inline real within_tail(real x) noexcept nogil:
    """|x|, at most TAIL_END. NaN stays."""
    cdef real a = absolute(x)
    return TAIL_END if a > TAIL_END else a


cdef inline real bell(real a) noexcept nogil:
    """exp(-a^2 / 2), 0 at TAIL_END."""
    cdef real square = a * a
    cdef real shifted = square * <real> -0.72134752044448170 + ROUND_MAGIC
    cdef real m = shifted - ROUND_MAGIC
    return power_of_two(shifted) * exp2_series(square * <real> -0.72134752044448170 - m)


cdef inline real tail_of_bell(real a) noexcept nogil:
    """(1 - Phi(a)) / exp(-a^2 / 2)"""
    return tail_series(1 / (<real> 1 + a * TAIL_SCALE))


cdef inline real gelu(real x) noexcept nogil:
    """x Phi(x) = max(x, 0) - |x| (1 - Phi(|x|)), good to 5 + x^2 / 2 epsilons."""
    cdef real a = within_tail(x), above = 0 if x < 0 else x
    return above - a * (bell(a) * tail_of_bell(a))


cdef inline real gelu_derivative(real x) noexcept nogil:
    """Phi(x) + x phi(x), at -|x|; 1 less that above 0"""
    cdef real a = within_tail(x)
    cdef real slope = bell(a) * (tail_of_bell(a) - a * <real> 0.3989422804014327)
    return slope if x < 0 else <real> 1 - slope


# Where a factor is 0 and the other infinite, as at -infinity, the product is the limit: the other
# is replaced by a number beyond which nothing changes.

cdef inline real within_exp(real x) noexcept nogil:
    """x, or the nearest number whose exponential does not underflow."""
    cdef real above = x if x > EXP_LOWEST else EXP_LOWEST
    return above if above < -EXP_LOWEST else -EXP_LOWEST


cdef inline real silu(real x) noexcept nogil:
    return (x if x > EXP_LOWEST else EXP_LOWEST) * logistic(x)


cdef inline real silu_derivative(real x) noexcept nogil:
    """s (1 + x (1 - s)) with s = logistic(x)"""
    cdef real s = logistic(x)
    return s * (<real> 1 + within_exp(x) * (<real> 1 - s))


cdef inline real clamped_to_6(real x) noexcept nogil:
    cdef real above = 0 if x < 0 else x
    return <real> 6 if above > 6 else above


cdef inline real hard_logistic(real x) noexcept nogil:
    return clamped_to_6(x + <real> 3) * <real> (1 / 6.)


cdef inline real hard_swish(real x) noexcept nogil:
    return (x if x > -3 else <real> -3) * hard_logistic(x)


cdef inline real hard_swish_derivative(real x) noexcept nogil:
    """(2 x + 3) / 6 between -3 and 3; the one-sided derivative from outside at both."""
    cdef real above = 0 if x <= -3 else x * <real> (1 / 3.) + <real> 0.5
    return <real> 1 if x >= 3 else above


cdef inline real softsign(real x) noexcept nogil:
    cdef real magnitude = absolute(x), limit = -1 if x < 0 else 1
    cdef real y = x / (<real> 1 + magnitude)
    return limit if magnitude == <real> INFINITY else y


cdef void exp_blocks(real* x, Py_ssize_t n_blocks) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n_blocks * BLOCK):
        x[i] = exp_negative(x[i])


cdef void logistic_blocks(real* x, Py_ssize_t n_blocks) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n_blocks * BLOCK):
        x[i] = logistic(x[i])


cdef void activation_blocks(int code, real alpha, real* x, Py_ssize_t n_blocks) noexcept nogil:
    """y = f(x), in place, for whole blocks. NaN passes through all of them."""
    cdef Py_ssize_t i
    cdef real e
    if code == RELU:
        for i in range(n_blocks * BLOCK):
            x[i] = 0 if x[i] < 0 else x[i]
    elif code == LEAKY_RELU:
        for i in range(n_blocks * BLOCK):
            x[i] = alpha * x[i] if x[i] < 0 else x[i]
    elif code == TANH:
        for i in range(n_blocks * BLOCK):
            x[i] = tanh_(x[i])
    elif code == LOGISTIC:
        logistic_blocks(x, n_blocks)
    elif code == ELU:
        for i in range(n_blocks * BLOCK):
            e = alpha * expm1_negative(x[i] if x[i] < 0 else 0)
            x[i] = x[i] if x[i] > 0 else (e if x[i] == x[i] else x[i])
    elif code == SOFTPLUS:
        for i in range(n_blocks * BLOCK):
            x[i] = softplus(x[i])
    elif code == RELU6:
        for i in range(n_blocks * BLOCK):
            x[i] = clamped_to_6(x[i])
    elif code == HARD_LOGISTIC:
        for i in range(n_blocks * BLOCK):
            x[i] = hard_logistic(x[i])
    elif code == SOFTSIGN:
        for i in range(n_blocks * BLOCK):
            x[i] = softsign(x[i])
    elif code == GELU:
        for i in range(n_blocks * BLOCK):
            x[i] = gelu(x[i])
    elif code == SILU:
        for i in range(n_blocks * BLOCK):
            x[i] = silu(x[i])
    elif code == HARD_SWISH:
        for i in range(n_blocks * BLOCK):
            x[i] = hard_swish(x[i])


cdef void derivative_blocks(
    int code, real alpha, const real* s, real* d, Py_ssize_t n_blocks
) noexcept nogil:
    """d *= f', for whole blocks; f' from the output s = f(z), from GELU on from s = z."""
    cdef Py_ssize_t i
    cdef real rest
    if code == RELU:
        for i in range(n_blocks * BLOCK):
            d[i] = d[i] if s[i] > 0 else 0
    elif code == LEAKY_RELU:
        for i in range(n_blocks * BLOCK):
            d[i] = d[i] if s[i] > 0 else alpha * d[i]
    elif code == TANH:
        for i in range(n_blocks * BLOCK):
            d[i] = d[i] * (<real> 1 - s[i] * s[i])
    elif code == LOGISTIC:
        for i in range(n_blocks * BLOCK):
            d[i] = d[i] * (s[i] * (<real> 1 - s[i]))
    elif code == ELU:
        for i in range(n_blocks * BLOCK):
            d[i] = d[i] if s[i] > 0 else d[i] * (s[i] + alpha)
    elif code == SOFTPLUS:
        for i in range(n_blocks * BLOCK):
            d[i] = d[i] * -expm1_negative(-s[i])
    elif code == RELU6:
        for i in range(n_blocks * BLOCK):
            d[i] = d[i] if (s[i] > 0) & (s[i] < 6) else 0
    elif code == HARD_LOGISTIC:
        for i in range(n_blocks * BLOCK):
            d[i] = d[i] * <real> (1 / 6.) if (s[i] > 0) & (s[i] < 1) else 0
    elif code == SOFTSIGN:
        for i in range(n_blocks * BLOCK):
            rest = <real> 1 - absolute(s[i])
            d[i] = d[i] * (rest * rest)
    elif code == GELU:
        for i in range(n_blocks * BLOCK):
            d[i] = d[i] * gelu_derivative(s[i])
    elif code == SILU:
        for i in range(n_blocks * BLOCK):
            d[i] = d[i] * silu_derivative(s[i])
    elif code == HARD_SWISH:
        for i in range(n_blocks * BLOCK):
            d[i] = d[i] * hard_swish_derivative(s[i])


cdef void activate(int code, real alpha, real* x, Py_ssize_t n) noexcept nogil:
    """y = f(x), in place."""
    cdef real rest[BLOCK]
    cdef Py_ssize_t n_rest = n % BLOCK
    if code == IDENTITY:
        return
    activation_blocks(code, alpha, x, n // BLOCK)
    if n_rest:
        memset(rest, 0, BLOCK * sizeof(real))
        memcpy(rest, x + n - n_rest, n_rest * sizeof(real))
        activation_blocks(code, alpha, rest, 1)
        memcpy(x + n - n_rest, rest, n_rest * sizeof(real))


cdef void multiply_derivative(
    int code, real alpha, const real* s, real* d, Py_ssize_t n
) noexcept nogil:
    """d *= f', in place."""
    cdef real s_rest[BLOCK]
    cdef real d_rest[BLOCK]
    cdef Py_ssize_t n_rest = n % BLOCK
    if code == IDENTITY:
        return
    derivative_blocks(code, alpha, s, d, n // BLOCK)
    if n_rest:
        memset(s_rest, 0, BLOCK * sizeof(real))
        memset(d_rest, 0, BLOCK * sizeof(real))
        memcpy(s_rest, s + n - n_rest, n_rest * sizeof(real))
        memcpy(d_rest, d + n - n_rest, n_rest * sizeof(real))
        derivative_blocks(code, alpha, s_rest, d_rest, 1)
        memcpy(d + n - n_rest, d_rest, n_rest * sizeof(real))


# From one array to another: a few blocks are copied, just before they are worked on in place. So
# short a copy takes a third longer with memcpy.

cdef enum:
    FEW_BLOCKS = 4


cdef void activated_copy(
    int code, real alpha, const real* x, real* y, Py_ssize_t n
) noexcept nogil:
    """y = f(x)."""
    cdef Py_ssize_t count
    while n > 0:
        count = smaller(FEW_BLOCKS * BLOCK, n)
        copy_row(x, y, count)
        activate(code, alpha, y, count)
        x += count
        y += count
        n -= count


cdef void times_derivative(
    int code, real alpha, const real* s, const real* dy, real* dx, Py_ssize_t n
) noexcept nogil:
    """dx = dy f'."""
    cdef Py_ssize_t count
    while n > 0:
        count = smaller(FEW_BLOCKS * BLOCK, n)
        copy_row(dy, dx, count)
        multiply_derivative(code, alpha, s, dx, count)
        s += count
        dy += count
        dx += count
        n -= count
