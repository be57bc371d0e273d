// Ghosts: copies of what lies just across a border, for those who may only look.
//
// `ghosts` says who should see which rows. A payload of copies is little-endian, no padding:
//   header  u8 kind, u8 0, u16 rows, u32 tick
//   row     u64 id, f64 x, f64 y, f32 vx, f32 vy, u32 flags
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sidereal/bytes.hpp"
#include "sidereal/grid.hpp"
#include "sidereal/sector_map.hpp"

namespace sidereal {

struct Sightings {
    std::vector<std::int32_t> target;  // the shard that sees
    std::vector<std::uint32_t> index;  // the row that it sees
};

// Each (shard, row) for which the row lies within `radius` of a sector that the shard owns and is
// not itself that shard's; by shard, then row, each once. Looked at are the sector that the
// position lies in and its eight neighbours, so radius must be at most size. The distance to a
// sector is to its square, bounds rounded to double: dx*dx + dy*dy <= radius*radius. Rows with
// no_shard count; rows without a sector, or with an invalid position, do not.
Sightings ghosts(std::span<const Vec2> position, std::span<const Sector> sectors,
                 std::span<const std::int32_t> shard, double size, double radius,
                 const SectorMap& owners);

struct Copies {
    std::uint32_t tick = 0;
    std::vector<std::uint64_t> ids;
    std::vector<Vec2> position, velocity;
    std::vector<std::uint32_t> flags;
};

// Packs rows in the order given; order and row_offsets are not filled in. Throws
// std::invalid_argument for a position that is not finite or a velocity that a finite float
// cannot hold.
Packed pack_ghosts(std::span<const std::uint64_t> ids, std::span<const Vec2> position,
                   std::span<const Vec2> velocity, std::span<const std::uint32_t> flags,
                   std::uint8_t kind, std::uint32_t tick, std::size_t payload_bytes);

// Throws std::invalid_argument for a payload that is not exactly as above, or not finite.
Copies unpack_ghosts(std::span<const std::uint8_t> payload);

}  // namespace sidereal
