// The bytes of a row of an update: see updates.hpp.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sidereal {

struct UpdateRow {
    std::uint32_t handle;
    std::int32_t qx, qy;
    float vx, vy;
};

inline constexpr std::size_t update_header_bytes = 8;
inline constexpr std::size_t update_group_bytes = 16;
inline constexpr std::size_t update_row_bytes = 20;
static_assert(sizeof(UpdateRow) == update_row_bytes);

}  // namespace sidereal
