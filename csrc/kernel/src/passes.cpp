// See passes.hpp. Compiled once for each instruction set, with SIDEREAL_ISA its namespace.
#include "passes.hpp"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace sidereal::SIDEREAL_ISA {
namespace {

constexpr std::int32_t none = INT32_MIN;
constexpr double coordinate_max = 2147483647.0;
constexpr float narrow_max = 16777214.0F;  // k and k+1 are exact floats

// As sidereal::coordinate, for both widths.
inline float coordinate(float x, float size) {
    const float q = __builtin_floorf(x / size);
    return __builtin_fmaf(-q, size, x) < 0.0F ? q - 1.0F : q;
}
inline double coordinate(double x, double size) {
    const double q = __builtin_floor(x / size);
    return __builtin_fma(-q, size, x) < 0.0 ? q - 1.0 : q;
}

bool sectors_narrow(const float* v, std::size_t n, double size, std::int32_t* out) {
    const float s = static_cast<float>(size);
    int bad = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const float q = coordinate(v[i], s);
        const bool good = __builtin_fabsf(q) <= narrow_max;
        out[i] = static_cast<std::int32_t>(good ? q : 0.0F);
        bad |= !good;
    }
    return bad == 0;
}

template <class Real>
bool sectors(const Real* v, std::size_t n, double size, std::int32_t* out) {
    int bad = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const double q = coordinate(static_cast<double>(v[i]), size);
        const bool good = __builtin_fabs(q) <= coordinate_max;
        out[i] = static_cast<std::int32_t>(good ? q : static_cast<double>(none));
        bad |= !good;
    }
    return bad == 0;
}

void moved_narrow(const float* v, const std::int32_t* k, std::size_t n, double size,
                  std::uint8_t* flags) {
    const float s = static_cast<float>(size);
    for (std::size_t i = 0; i < n; ++i) {
        const float low = static_cast<float>(k[i]);
        const bool inside = (__builtin_fmaf(-low, s, v[i]) >= 0.0F) &
                            (__builtin_fmaf(-(low + 1.0F), s, v[i]) < 0.0F) &
                            (__builtin_fabsf(low) <= narrow_max);
        flags[i] = !inside;
    }
}

template <class Real>
void moved(const Real* v, const std::int32_t* k, std::size_t n, double size, std::uint8_t* flags) {
    for (std::size_t i = 0; i < n; ++i) {
        const double low = k[i], x = static_cast<double>(v[i]);
        const bool inside = (__builtin_fma(-low, size, x) >= 0.0) &
                            (__builtin_fma(-(low + 1.0), size, x) < 0.0) & (k[i] != none);
        flags[i] = !inside;
    }
}

template <class Real>
void near_border(const Real* v, const std::int32_t* k, std::size_t n, double size, double margin,
                 std::uint8_t* flags) {
    for (std::size_t i = 0; i < n; ++i) {
        const double low = k[i], x = static_cast<double>(v[i]);
        const bool inside = (x >= low * size + margin) & (x < (low + 1.0) * size - margin);
        flags[i] = !inside;
    }
}

std::size_t within(const double* x, const double* y, const std::uint32_t* index, std::size_t n,
                   double cx, double cy, double r2, std::uint32_t* out) {
    std::size_t found = 0, i = 0;
#if defined(__AVX512F__) && defined(__AVX512VL__)
    // Compressing in a register, then storing, is measured faster than a compressing store.
    const __m512d x0 = _mm512_set1_pd(cx), y0 = _mm512_set1_pd(cy), limit = _mm512_set1_pd(r2);
    for (; i + 8 <= n; i += 8) {
        const __m512d dx = _mm512_sub_pd(_mm512_loadu_pd(x + i), x0);
        const __m512d dy = _mm512_sub_pd(_mm512_loadu_pd(y + i), y0);
        const __m512d d2 = _mm512_add_pd(_mm512_mul_pd(dx, dx), _mm512_mul_pd(dy, dy));
        const __mmask8 hit = _mm512_cmp_pd_mask(d2, limit, _CMP_LE_OQ);
        const __m256i rows = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(index + i));
        // Writes eight lanes, of which the first `hit` count: there is room for n.
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + found),
                            _mm256_maskz_compress_epi32(hit, rows));
        found += static_cast<std::size_t>(__builtin_popcount(hit));
    }
#endif
    for (; i < n; ++i) {
        const double dx = x[i] - cx, dy = y[i] - cy;
        out[found] = index[i];
        found += dx * dx + dy * dy <= r2;
    }
    return found;
}

}  // namespace

extern const Passes table;
const Passes table{SIDEREAL_ISA_NAME,   sectors_narrow, sectors<float>, sectors<double>,
                   moved_narrow,        moved<float>,   moved<double>,  near_border<float>,
                   near_border<double>, within};

}  // namespace sidereal::SIDEREAL_ISA
