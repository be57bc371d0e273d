// Positions as cells of sectors, and back: quantise.hpp.
// For passes.cpp alone, and as it compiled for each instruction set.
#pragma once

#include "pass_basics.hpp"

namespace sidereal::SIDEREAL_ISA {
namespace {

constexpr double cells_per_sector = 1073741824.0;

// As Passes::quantise says; `near`: without a division, for sizes whose reciprocal is a normal
// number. A quotient that counts is below 2^32: rounded to the nearest whole number it is the floor
// or one more, and the exact sign of the remainder says which.
template <bool near>
bool quantise_as(const double* x, const std::int32_t* k, std::size_t n, double size,
                 std::int32_t* out) {
    const double cell_size = size / cells_per_sector;
    const double inverse = 1.0 / size, cell_inverse = 1.0 / cell_size;
    int bad = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const double sector = static_cast<double>(k[i]);
        const double offset = __builtin_fma(-sector, size, x[i]);
        double sectors, cell;  // from sector k to that of x; from k's lower border
        if constexpr (near) {
            sectors = __builtin_rint(offset * inverse);
            sectors -= __builtin_fma(-(sector + sectors), size, x[i]) < 0.0 ? 1.0 : 0.0;
            cell = __builtin_rint(offset * cell_inverse);
            cell -= __builtin_fma(-cell, cell_size, offset) < 0.0 ? 1.0 : 0.0;
        } else {
            sectors = coordinate(x[i], size) - sector;
            cell = coordinate(offset, cell_size);
        }
        const bool good = (__builtin_fabs(sector + sectors) <= coordinate_max) & (sectors >= -2.0) &
                          (sectors <= 1.0) & (k[i] != none);
        const double first = sectors * cells_per_sector;
        const double last = first + (cells_per_sector - 1.0);
        const double inside = cell < first ? first : cell > last ? last : cell;
        out[i] = static_cast<std::int32_t>(good ? inside : 0.0);
        bad |= !good;
    }
    return bad == 0;
}

bool quantise(const double* x, const std::int32_t* k, std::size_t n, double size,
              std::int32_t* out) {
    const bool near = has_fma && size >= 0x1p-900 && size <= 0x1p900;
    return (near ? quantise_as<true> : quantise_as<false>)(x, k, n, size, out);
}

bool positions(const std::int32_t* k, const std::int32_t* q, std::size_t n, double size,
               double* out) {
    const double cell_size = size / cells_per_sector;
    int bad = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const double sector = static_cast<double>(k[i]) + static_cast<double>(q[i] >> 30);
        const double x =
            __builtin_fma(static_cast<double>(q[i]), cell_size, static_cast<double>(k[i]) * size);
        out[i] = x;
        // In that sector, by the exact signs of two remainders.
        const bool there = (__builtin_fma(-sector, size, x) >= 0.0) &
                           (__builtin_fma(-(sector + 1.0), size, x) < 0.0);
        bad |= !((__builtin_fabs(sector) <= coordinate_max) & there);
    }
    return bad == 0;
}

}  // namespace
}  // namespace sidereal::SIDEREAL_ISA
