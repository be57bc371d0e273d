// A rectangle of sectors in which nearly all rows lie: there a cell is found by arithmetic alone.
//
// The rectangle is guessed from some of the rows. The few that lie outside of it (one entity at the
// far corner of the world beside a crowd at the origin) are grouped by themselves and merged, so
// nothing is made for the space between.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "sidereal/grid.hpp"

namespace sidereal {

inline constexpr std::uint32_t outside = 0xFFFFFFFFu;  // the cell of a row outside

struct Window {
    std::int32_t x = 0, y = 0;
    std::uint32_t width = 0, height = 0;

    std::uint32_t cells() const { return width * height; }
    Sector sector(std::uint32_t row, std::uint32_t column) const {
        return {static_cast<std::int32_t>(static_cast<std::uint32_t>(x) + column),
                static_cast<std::int32_t>(static_cast<std::uint32_t>(y) + row)};
    }
};

// A rectangle that holds most rows and has at most as many cells as there are rows, if there is
// one.
std::optional<Window> window(std::span<const Sector> rows);

// More rows than this outside of a window, and it was a bad guess.
inline std::size_t outside_max(std::size_t rows) {
    return rows / 64 + 16;
}

}  // namespace sidereal
