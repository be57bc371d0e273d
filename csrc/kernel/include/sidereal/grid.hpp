// Exact space: which sector a position lies in.
//
// The plane is cut into squares of side `size`, given as a double. Sector (kx, ky) holds the
// points with kx*size <= x < (kx+1)*size in exact arithmetic, and the same for y. Neither
// floor(x/size) nor floor(x*(1/size)) gives that near borders: the quotient is rounded. Rounding
// is monotonic and integers are representable, so floor of the rounded quotient is right or one
// too high, and the sign of a fused multiply-add, which is exact, says which.
//
// Coordinates lie in ±(2^31-1); INT32_MIN means "no sector". Sectors are ordered by y, then x.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace sidereal {

struct Sector {
    std::int32_t x, y;
    friend constexpr bool operator==(Sector, Sector) = default;
};

struct Vec2 {
    double x, y;
};

inline constexpr std::int32_t no_coordinate = std::numeric_limits<std::int32_t>::min();
inline constexpr Sector no_sector{no_coordinate, no_coordinate};
inline constexpr double coordinate_max = 2147483647.0;

// A row that is not there.
inline constexpr std::uint32_t absent = 0xFFFFFFFFu;

// True where a sector has both coordinates.
constexpr bool exists(Sector s) {
    return s.x != no_coordinate && s.y != no_coordinate;
}

// The exact floor(x/size), as a double; outside ±coordinate_max, or NaN, where there is none.
// `size` must be finite and positive.
inline double coordinate(double x, double size) {
    const double q = std::floor(x / size);
    // No underflow can hide the sign: x and q*size are multiples of the least denormal.
    return std::fma(-q, size, x) < 0.0 ? q - 1.0 : q;
}

// True for a coordinate that a sector may have; false for NaN.
inline bool in_range(double k) {
    return k >= -coordinate_max && k <= coordinate_max;
}

// The sector of a point, or no_sector where either axis is NaN, infinite or out of range.
inline Sector sector_of(double x, double y, double size) {
    const double kx = coordinate(x, size);
    const double ky = coordinate(y, size);
    if (!(in_range(kx) && in_range(ky))) return no_sector;
    return {static_cast<std::int32_t>(kx), static_cast<std::int32_t>(ky)};
}

// True where k*size <= x < (k+1)*size exactly; no division. False for NaN.
inline bool holds(std::int32_t k, double x, double size) {
    const double low = static_cast<double>(k);
    return std::fma(-low, size, x) >= 0.0 && std::fma(-(low + 1.0), size, x) < 0.0;
}

// True where the sector exists and the point lies in it.
inline bool holds(Sector s, double x, double y, double size) {
    return exists(s) && holds(s.x, x, size) && holds(s.y, y, size);
}

// A 64-bit key whose order is that of sectors: by y, then x. no_sector has key 0.
constexpr std::uint64_t key_of(Sector s) {
    const auto biased = [](std::int32_t k) { return static_cast<std::uint32_t>(k) ^ 0x80000000u; };
    return std::uint64_t{biased(s.y)} << 32 | biased(s.x);
}

constexpr Sector sector_of_key(std::uint64_t key) {
    const auto plain = [](std::uint64_t k) {
        return static_cast<std::int32_t>(static_cast<std::uint32_t>(k) ^ 0x80000000u);
    };
    return {plain(key & 0xFFFFFFFFu), plain(key >> 32)};
}

// Throws std::invalid_argument unless the size is finite and positive.
void require_size(double size);

// Throws std::invalid_argument unless 0 <= margin <= size/2.
void require_margin(double margin, double size);

}  // namespace sidereal
