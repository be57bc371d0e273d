// What the suites share: adversarial values, and an exact truth without fma.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "sidereal/grid.hpp"

namespace sidereal::testing {

using Random = std::mt19937_64;

inline constexpr double sizes[] = {1000.0, 1.0, 0.1, 1.0 / 3.0, 4096.0, 1e-3, 1e6};

// A value within three ulp of a border of some sector, small, wide or at the end of the range.
inline double border(Random& random, double size) {
    const int magnitude = static_cast<int>(random() % 32);
    double k = std::ldexp(1.0, magnitude) + static_cast<double>(random() % 7) - 3.0;
    if (random() % 2) k = -k;
    double x = k * size;
    for (int steps = static_cast<int>(random() % 7) - 3; steps != 0; steps += steps < 0 ? 1 : -1)
        x = std::nextafter(x, steps < 0 ? -INFINITY : INFINITY);
    return x;
}

// Whether k*size <= x < (k+1)*size, decided by adding up exact partial products.
inline bool truly_holds(double k, double x, double size) {
    // size = high + low with at most 26 bits each: k*high and k*low are exact for 27-bit parts of
    // k.
    const auto sign_of_rest = [&](double whole) {
        double parts[5] = {x, 0, 0, 0, 0};
        const double k_high = std::floor(whole / 65536.0) * 65536.0, k_low = whole - k_high;
        int exponent;
        const double mantissa = std::frexp(size, &exponent);
        const double high = std::ldexp(std::floor(std::ldexp(mantissa, 26)), exponent - 26);
        const double low = size - high;
        parts[1] = -(k_high * high), parts[2] = -(k_high * low);
        parts[3] = -(k_low * high), parts[4] = -(k_low * low);
        // Exact sum by error-free transformations until nothing changes (Shewchuk 1997).
        for (int round = 0; round < 8; ++round)
            for (int i = 4; i > 0; --i) {
                const double a = parts[i - 1], b = parts[i], sum = a + b, t = sum - a;
                parts[i - 1] = sum;
                parts[i] = (a - (sum - t)) + (b - t);
            }
        for (const double part : parts)
            if (part != 0.0) return part < 0.0 ? -1 : 1;
        return 0;
    };
    return sign_of_rest(k) >= 0 && sign_of_rest(k + 1.0) < 0;
}

}  // namespace sidereal::testing
