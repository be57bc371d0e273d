// Sectors of a small rectangle: where all rows lie within one that has few cells for each of
// them, a cell is found by arithmetic alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>

#include "sidereal/grid.hpp"

namespace sidereal {

struct Window {
    std::int32_t x, y;
    std::uint32_t width, height;

    std::uint32_t cells() const { return width * height; }
    std::uint32_t cell(Sector s) const {
        return (static_cast<std::uint32_t>(s.y) - static_cast<std::uint32_t>(y)) * width +
               (static_cast<std::uint32_t>(s.x) - static_cast<std::uint32_t>(x));
    }
    Sector sector(std::uint32_t row, std::uint32_t column) const {
        return {static_cast<std::int32_t>(static_cast<std::uint32_t>(x) + column),
                static_cast<std::int32_t>(static_cast<std::uint32_t>(y) + row)};
    }
};

// The rectangle around all rows, if it has at most as many cells as there are rows.
inline std::optional<Window> window(std::span<const Sector> rows) {
    if (rows.empty()) return std::nullopt;
    Sector low = rows[0], high = rows[0];
    for (const Sector s : rows) {
        low = {std::min(low.x, s.x), std::min(low.y, s.y)};
        high = {std::max(high.x, s.x), std::max(high.y, s.y)};
    }
    const std::uint64_t width = static_cast<std::uint64_t>(std::int64_t{high.x} - low.x) + 1;
    const std::uint64_t height = static_cast<std::uint64_t>(std::int64_t{high.y} - low.y) + 1;
    if (width > rows.size() || height > rows.size() / width) return std::nullopt;
    return Window{low.x, low.y, static_cast<std::uint32_t>(width),
                  static_cast<std::uint32_t>(height)};
}

}  // namespace sidereal
