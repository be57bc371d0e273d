// What the loops over coordinates share.
// For passes.cpp alone, and as it compiled for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sidereal::SIDEREAL_ISA {
namespace {

constexpr std::int32_t none = INT32_MIN;
constexpr double coordinate_max = 2147483647.0;

// As sidereal::coordinate.
inline double coordinate(double x, double size) {
    const double q = __builtin_floor(x / size);
    return __builtin_fma(-q, size, x) < 0.0 ? q - 1.0 : q;
}

// Whether a fused multiply-add is one instruction.
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
constexpr bool has_fma = true;
#else
constexpr bool has_fma = false;
#endif

}  // namespace
}  // namespace sidereal::SIDEREAL_ISA
