// Offsets within a sector as 32-bit integers.
//
// q counts cells of size/2^30 from the sector's lower border: borders of sectors are borders of
// cells, so neither rounding ever moves a position across one. 32 bits reach from two sectors
// below to two above.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "sidereal/grid.hpp"

namespace sidereal {

inline constexpr int cell_bits = 30;
inline constexpr double cells_per_sector = 1073741824.0;

// The side of a cell; exact unless the size is so small that it would be denormal.
inline double cell_size(double size) {
    return size / cells_per_sector;
}

// Throws std::invalid_argument unless size/2^30 is exact.
void require_cells(double size);

// The cell of x, counted from sector k; false where it is further than 32 bits reach, or invalid.
inline bool cell_of(std::int32_t k, double x, double size, std::int32_t& q) {
    const double here = coordinate(x, size);
    const double sectors = here - k;
    if (!in_range(here) || !(sectors >= -2.0 && sectors <= 1.0)) return false;
    // The offset is rounded, so the cell may come out in a sector beside: keep it in its own.
    const double offset = std::fma(-static_cast<double>(k), size, x);
    const double cell = coordinate(offset, cell_size(size));
    const double first = sectors * cells_per_sector;
    const double last = first + (cells_per_sector - 1.0);
    q = static_cast<std::int32_t>(cell < first ? first : cell > last ? last : cell);
    return true;
}

// The position of a cell, in the sector that the cell lies in; false where there is no such
// sector or no such position.
inline bool position_of(std::int32_t k, std::int32_t q, double size, double& x) {
    const double sector = static_cast<double>(k) + (q >> cell_bits);
    if (!in_range(sector)) return false;
    x = std::fma(static_cast<double>(q), cell_size(size), static_cast<double>(k) * size);
    for (int nudges = 0; nudges < 8; ++nudges) {
        const double here = coordinate(x, size);
        if (here == sector) return true;
        constexpr double infinity = std::numeric_limits<double>::infinity();
        x = std::nextafter(x, here < sector ? infinity : -infinity);
    }
    return false;
}

}  // namespace sidereal
