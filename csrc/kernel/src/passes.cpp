// See passes.hpp. Compiled once for each instruction set, with SIDEREAL_ISA its namespace.
#include "passes.hpp"

#include "pass_cells.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace sidereal::SIDEREAL_ISA {
namespace {

constexpr float narrow_max = 16777214.0F;  // k and k+1 are exact floats

// floor(x / size) without a division, which takes longer than all the rest: the quotient by the
// reciprocal is off by a quarter at most while it is below `most`. Adding `shift` rounds it to the
// nearest whole number, the floor or one more, and the exact sign of the remainder says which.
// The sum's bits, less those of `shift`, are that number; if they differ above `most`, there is
// none or it is too far away. The reciprocal must be a normal number.
template <class Real>
struct Nearest;
template <>
struct Nearest<float> {
    using Bits = std::uint32_t;
    static constexpr float most = 0x1p21F, shift = 0x1.8p23F;
    static float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
};
template <>
struct Nearest<double> {
    using Bits = std::uint64_t;
    static constexpr double most = 0x1p30, shift = 0x1.8p52;
    static double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }
};

#if defined(__SSE2__)
#if defined(__AVX512F__)
constexpr std::size_t register_bytes = 64;
#elif defined(__AVX__)
constexpr std::size_t register_bytes = 32;
#else
constexpr std::size_t register_bytes = 16;
#endif

// Writes one line of the caches, past them; both are aligned to it.
inline void stream_line(std::int32_t* to, const std::int32_t* from) {
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), _mm512_load_si512(from));
#elif defined(__AVX2__)
    for (std::size_t j = 0; j < 16; j += 8)
        _mm256_stream_si256(reinterpret_cast<__m256i*>(to + j),
                            _mm256_load_si256(reinterpret_cast<const __m256i*>(from + j)));
#else
    for (std::size_t j = 0; j < 16; j += 4)
        _mm_stream_si128(reinterpret_cast<__m128i*>(to + j),
                         _mm_load_si128(reinterpret_cast<const __m128i*>(from + j)));
#endif
}
#endif

// The floor of each quotient; false if any has none or is too far away, and `out` is not to be used
// then. `past_caches`: lines of `out` are written whole, without being read or kept, and input is
// asked for early: together twice as fast as memcpy.
template <class Arithmetic, class Real>
bool sectors_near(const Real* v, std::size_t n, Arithmetic size, std::int32_t* out,
                  [[maybe_unused]] bool past_caches) {
    using N = Nearest<Arithmetic>;
    using Bits = typename N::Bits;
    constexpr Arithmetic shift = N::shift + N::most;  // so that whole numbers in range are positive
    constexpr Bits shift_bits = __builtin_bit_cast(Bits, shift);
    constexpr Bits zero = __builtin_bit_cast(Bits, N::shift);
    constexpr std::size_t line = 16;
    const Arithmetic inverse = 1 / size;
    Bits differing[line] = {};
    const auto one = [&](Real value, Bits& differs) {
        const Arithmetic x = static_cast<Arithmetic>(value);
        const Arithmetic sum = N::fused(x, inverse, shift);
        const Bits bits = __builtin_bit_cast(Bits, sum);
        differs |= bits ^ zero;
        const Bits above = N::fused(shift - sum, size, x) < 0 ? 1 : 0;
        return static_cast<std::int32_t>(bits - shift_bits - above);
    };
    std::size_t i = 0;
#if defined(__SSE2__)
    if (past_caches) {
        constexpr std::size_t ahead = 2048 / sizeof(Real);
        for (; i < n && reinterpret_cast<std::uintptr_t>(out + i) % 64 != 0; ++i)
            out[i] = one(v[i], differing[0]);
        // In registers: as an array it would be read and written in memory between the stores, each
        // line waiting for the one before, half as long again.
        constexpr std::size_t lanes = register_bytes / sizeof(Bits);
        typedef Bits Lanes __attribute__((vector_size(register_bytes)));
        Lanes all = {};
        for (; i + line <= n; i += line) {
            alignas(64) std::int32_t values[line];
            alignas(64) Bits differs[line] = {};
            for (std::size_t j = 0; j < line; ++j) values[j] = one(v[i + j], differs[j]);
            for (std::size_t j = 0; j < line; j += lanes) {
                Lanes some;
                __builtin_memcpy(&some, differs + j, sizeof some);
                all |= some;
            }
            for (std::size_t j = 0; j < line; j += 64 / sizeof(Real))
                __builtin_prefetch(v + i + j + ahead, 0, 0);
            stream_line(out + i, values);
        }
        for (std::size_t j = 0; j < lanes; ++j) differing[j] |= all[j];
    }
#endif
    for (; i + line <= n; i += line)
        for (std::size_t j = 0; j < line; ++j) out[i + j] = one(v[i + j], differing[j]);
    for (; i < n; ++i) out[i] = one(v[i], differing[0]);
    Bits any = 0;
    for (const Bits d : differing) any |= d;
    return any < static_cast<Bits>(2 * N::most);
}

bool sectors_narrow(const float* v, std::size_t n, double size, std::int32_t* out,
                    bool past_caches) {
    return has_fma && sectors_near(v, n, static_cast<float>(size), out, past_caches);
}

template <class Real>
bool sectors(const Real* v, std::size_t n, double size, std::int32_t* out, bool past_caches) {
    if (has_fma && size >= 0x1p-1000 && size <= 0x1p1000 &&
        sectors_near(v, n, size, out, past_caches))
        return true;
    std::int32_t bad = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const double q = coordinate(static_cast<double>(v[i]), size);
        const bool good = __builtin_fabs(q) <= coordinate_max;
        out[i] = static_cast<std::int32_t>(good ? q : static_cast<double>(none));
        bad |= !good;
    }
    return bad == 0;
}

// Stores flag(i) for 0 <= i < n as bits. Where there is AVX2, mask(i) says the same of `lanes`
// coordinates at a time: packing bytes into bits took twice as long as all the rest.
template <std::size_t lanes, class Flag, class Mask>
void to_bits(std::size_t n, std::uint64_t* bits, Flag flag, [[maybe_unused]] Mask mask) {
    for (std::size_t begin = 0; begin < n; begin += 64) {
        std::uint64_t word = 0;
        if (n - begin < 64) {
            for (std::size_t i = begin; i < n; ++i)
                word |= static_cast<std::uint64_t>(flag(i)) << (i - begin);
        } else {
#if defined(__AVX2__)
            for (std::size_t i = 0; i < 64; i += lanes)
                word |= static_cast<std::uint64_t>(static_cast<unsigned>(mask(begin + i))) << i;
#else
            std::uint8_t flags[64];
            for (std::size_t i = 0; i < 64; ++i) flags[i] = flag(begin + i);
            for (std::size_t i = 0; i < 64; i += 8) {
                std::uint64_t eight;  // bytes of 0 or 1: the product gathers them in its top byte
                __builtin_memcpy(&eight, flags + i, sizeof eight);
                word |= (eight * 0x0102040810204080u >> 56) << i;
            }
#endif
        }
        bits[begin / 64] = word;
    }
}

#if defined(__AVX2__)
inline __m256d load(const double* v) {
    return _mm256_loadu_pd(v);
}
inline __m256d load(const float* v) {
    return _mm256_cvtps_pd(_mm_loadu_ps(v));
}
#if defined(__AVX512F__)
inline __m512d load8(const double* v) {
    return _mm512_loadu_pd(v);
}
inline __m512d load8(const float* v) {
    return _mm512_maskz_cvtps_pd(0xFF, _mm256_loadu_ps(v));  // the plain one warns
}
#endif
inline __m256d load(const std::int32_t* k) {
    return _mm256_cvtepi32_pd(_mm_loadu_si128(reinterpret_cast<const __m128i*>(k)));
}
#endif

void moved_narrow(const float* v, const std::int32_t* k, std::size_t n, double size,
                  std::uint64_t* bits) {
    const float s = static_cast<float>(size);
    // A remainder that rounds up to the size is looked at again.
    const auto flag = [=](std::size_t i) {
        const float low = static_cast<float>(k[i]), rest = __builtin_fmaf(-low, s, v[i]);
        return !((rest >= 0.0F) & (rest < s) & (__builtin_fabsf(low) <= narrow_max));
    };
    const auto mask = [=]([[maybe_unused]] std::size_t i) {
#if defined(__AVX2__)
        const __m256 x = _mm256_loadu_ps(v + i), s8 = _mm256_set1_ps(s);
        const __m256 low =
            _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(k + i)));
        const __m256 rest = _mm256_fnmadd_ps(low, s8, x);
        const __m256 size_of_k = _mm256_andnot_ps(_mm256_set1_ps(-0.0F), low);
        // The sign of `rest` alone would do but for zeros: rows too many are looked at again.
        return _mm256_movemask_ps(
            _mm256_or_ps(_mm256_or_ps(rest, _mm256_cmp_ps(rest, s8, _CMP_NLT_UQ)),
                         _mm256_cmp_ps(size_of_k, _mm256_set1_ps(narrow_max), _CMP_GT_OQ)));
#else
        return 0;
#endif
    };
    to_bits<8>(n, bits, flag, mask);
}

template <class Real>
void moved(const Real* v, const std::int32_t* k, std::size_t n, double size, std::uint64_t* bits) {
    const auto flag = [=](std::size_t i) {
        const double rest =
            __builtin_fma(-static_cast<double>(k[i]), size, static_cast<double>(v[i]));
        return !((rest >= 0.0) & (rest < size) & (k[i] != none));
    };
    const auto mask = [=]([[maybe_unused]] std::size_t i) {
#if defined(__AVX2__)
        const __m256d x = load(v + i), low = load(k + i), s4 = _mm256_set1_pd(size);
        const __m256d rest = _mm256_fnmadd_pd(low, s4, x);
        return _mm256_movemask_pd(
            _mm256_or_pd(_mm256_or_pd(rest, _mm256_cmp_pd(rest, s4, _CMP_NLT_UQ)),
                         _mm256_cmp_pd(low, _mm256_set1_pd(none), _CMP_EQ_OQ)));
#else
        return 0;
#endif
    };
    to_bits<4>(n, bits, flag, mask);
}

template <class Real>
void near_border(const Real* v, const std::int32_t* k, std::size_t n, double size, double margin,
                 std::uint64_t* bits) {
    const auto flag = [=](std::size_t i) {
        const double low = k[i], x = static_cast<double>(v[i]);
        const bool inside = (x >= low * size + margin) & (x < (low + 1.0) * size - margin);
        return !inside;
    };
    const auto mask = [=]([[maybe_unused]] std::size_t i) {
#if defined(__AVX2__)
        const __m256d x = load(v + i), low = load(k + i);
        const __m256d s4 = _mm256_set1_pd(size), m4 = _mm256_set1_pd(margin);
        const __m256d high = _mm256_add_pd(low, _mm256_set1_pd(1.0));
        const __m256d first = _mm256_add_pd(_mm256_mul_pd(low, s4), m4);
        const __m256d last = _mm256_sub_pd(_mm256_mul_pd(high, s4), m4);
        return _mm256_movemask_pd(_mm256_or_pd(_mm256_cmp_pd(x, first, _CMP_NGE_UQ),
                                               _mm256_cmp_pd(x, last, _CMP_NLT_UQ)));
#else
        return 0;
#endif
    };
    to_bits<4>(n, bits, flag, mask);
}

bool finite(const double* v, std::size_t n) {
    int bad = 0;
    for (std::size_t i = 0; i < n; ++i) bad |= !(__builtin_fabs(v[i]) <= __DBL_MAX__);
    return bad == 0;
}

bool cells(const std::int32_t* sectors, std::size_t rows, std::int32_t x, std::int32_t y,
           std::uint32_t width, std::uint32_t height, std::uint32_t* out) {
    bool all = true;
    const auto plain = [&](std::size_t from, std::size_t to) {
        int beyond = 0;
        for (std::size_t i = from; i < to; ++i) {
            const std::uint32_t dx =
                static_cast<std::uint32_t>(sectors[i * 2]) - static_cast<std::uint32_t>(x);
            const std::uint32_t dy =
                static_cast<std::uint32_t>(sectors[i * 2 + 1]) - static_cast<std::uint32_t>(y);
            const bool inside = (dx < width) & (dy < height);
            out[i] = inside ? dy * width + dx : 0xFFFFFFFFu;
            beyond |= !inside;
        }
        all &= beyond == 0;
    };
    std::size_t i = 0;
#if defined(__AVX2__)
    // A row is one 64-bit lane, y above x: half the time of what the compiler makes of the loop.
    const auto pair = [](std::uint32_t low, std::uint32_t high) {
        return _mm256_set1_epi64x(
            static_cast<long long>(static_cast<std::uint64_t>(high) << 32 | low));
    };
    const __m256i first = pair(static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(y));
    const __m256i last = pair(width - 1, height - 1), w = pair(width, 0);
    const auto cell = [w](__m256i d) {
        return _mm256_add_epi64(d, _mm256_mul_epu32(_mm256_srli_epi64(d, 32), w));
    };
    for (; i + 8 <= rows; i += 8) {
        const auto* from = reinterpret_cast<const __m256i*>(sectors + i * 2);
        const __m256i a = _mm256_sub_epi32(_mm256_loadu_si256(from), first);
        const __m256i b = _mm256_sub_epi32(_mm256_loadu_si256(from + 1), first);
        const __m256i inside = _mm256_and_si256(_mm256_cmpeq_epi32(_mm256_min_epu32(a, last), a),
                                                _mm256_cmpeq_epi32(_mm256_min_epu32(b, last), b));
        if (_mm256_movemask_epi8(inside) != -1) {
            plain(i, i + 8);
            continue;
        }
        const __m256 low = _mm256_shuffle_ps(_mm256_castsi256_ps(cell(a)),
                                             _mm256_castsi256_ps(cell(b)), _MM_SHUFFLE(2, 0, 2, 0));
        _mm256_storeu_si256(
            reinterpret_cast<__m256i*>(out + i),
            _mm256_permute4x64_epi64(_mm256_castps_si256(low), _MM_SHUFFLE(3, 1, 2, 0)));
    }
#endif
    plain(i, rows);
    return all;
}

#if defined(__AVX2__) && !(defined(__AVX512F__) && defined(__AVX512VL__))
// For each set of hits among four, the bytes that move those hits to the front.
struct Compress {
    alignas(16) std::uint8_t bytes[16][16];
    constexpr Compress() : bytes{} {
        for (unsigned hits = 0; hits < 16; ++hits) {
            unsigned at = 0;
            for (unsigned lane = 0; lane < 4; ++lane)
                if ((hits >> lane & 1) != 0)
                    for (unsigned byte = 0; byte < 4; ++byte)
                        bytes[hits][at++] = static_cast<std::uint8_t>(lane * 4 + byte);
        }
    }
};
constexpr Compress compress;
#endif

template <class Real>
std::size_t within(const Real* x, const Real* y, const std::uint32_t* index, std::size_t n,
                   double cx, double cy, double r2, std::uint32_t* out) {
    std::size_t found = 0, i = 0;
    // Compressing in a register, then storing all lanes, of which the hits count: there is room
    // for n. Measured faster than a compressing store, and four times the plain loop.
#if defined(__AVX512F__) && defined(__AVX512VL__)
    const __m512d x0 = _mm512_set1_pd(cx), y0 = _mm512_set1_pd(cy), limit = _mm512_set1_pd(r2);
    for (; i + 8 <= n; i += 8) {
        const __m512d dx = _mm512_sub_pd(load8(x + i), x0);
        const __m512d dy = _mm512_sub_pd(load8(y + i), y0);
        const __m512d d2 = _mm512_add_pd(_mm512_mul_pd(dx, dx), _mm512_mul_pd(dy, dy));
        const __mmask8 hit = _mm512_cmp_pd_mask(d2, limit, _CMP_LE_OQ);
        const __m256i rows = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(index + i));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + found),
                            _mm256_maskz_compress_epi32(hit, rows));
        found += static_cast<std::size_t>(__builtin_popcount(hit));
    }
#elif defined(__AVX2__)
    const __m256d x0 = _mm256_set1_pd(cx), y0 = _mm256_set1_pd(cy), limit = _mm256_set1_pd(r2);
    for (; i + 4 <= n; i += 4) {
        const __m256d dx = _mm256_sub_pd(load(x + i), x0);
        const __m256d dy = _mm256_sub_pd(load(y + i), y0);
        const __m256d d2 = _mm256_add_pd(_mm256_mul_pd(dx, dx), _mm256_mul_pd(dy, dy));
        const auto hits =
            static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd(d2, limit, _CMP_LE_OQ)));
        const __m128i rows = _mm_loadu_si128(reinterpret_cast<const __m128i*>(index + i));
        const __m128i first =
            _mm_load_si128(reinterpret_cast<const __m128i*>(compress.bytes[hits]));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + found), _mm_shuffle_epi8(rows, first));
        found += static_cast<std::size_t>(__builtin_popcount(hits));
    }
#endif
    for (; i < n; ++i) {
        const double dx = static_cast<double>(x[i]) - cx, dy = static_cast<double>(y[i]) - cy;
        out[found] = index[i];
        found += dx * dx + dy * dy <= r2;
    }
    return found;
}

}  // namespace

extern const Passes table;
const Passes table{SIDEREAL_ISA_NAME,
                   sectors_narrow,
                   sectors<float>,
                   sectors<double>,
                   moved_narrow,
                   moved<float>,
                   moved<double>,
                   near_border<float>,
                   near_border<double>,
                   finite,
                   quantise,
                   positions,
                   cells,
                   within<float>,
                   within<double>};

}  // namespace sidereal::SIDEREAL_ISA
