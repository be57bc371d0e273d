// EntityUpdate: where entities are now, by handle, grouped by sector.
//
// A payload is little-endian, without padding:
//   header  u8 kind, u8 0, u16 groups, u32 tick
//   group   i32 x, i32 y, u32 epoch, u16 rows, u16 0
//   row     u32 handle, i32 qx, i32 qy (see quantise.hpp), f32 vx, f32 vy
// with at least one group and at least one row in each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sidereal/bytes.hpp"
#include "sidereal/entity_table.hpp"
#include "sidereal/sector_map.hpp"

namespace sidereal {

// The most bytes that a row takes: in a datagram and a group of its own.
inline constexpr std::size_t update_row_bytes_most = 44;

// What became of the rows that arrived.
struct UpdateTally {
    std::uint64_t applied = 0;
    std::uint64_t stale_tick = 0;    // rows not newer than what is known
    std::uint64_t wrong_owner = 0;   // rows whose sender may not speak for them
    std::uint64_t wrong_handle = 0;  // rows whose handle means nobody
    std::uint64_t malformed = 0;     // payloads, not rows: none of their rows counted
    std::uint64_t ahead = 0;         // payloads, not rows, of a tick that is yet to come: likewise
};

// Packs the rows `slots` by their sector column, sectors by y, then x; rows of a sector in the
// order given. Skipped are rows without a handle, with another tick than `tick`, in a sector that
// `epochs` does not hold, more than a sector away from it, or with a velocity that a finite float
// cannot hold. Throws std::invalid_argument for a slot out of range.
Packed pack_updates(const EntityTable& table, std::span<const std::uint32_t> slots, double size,
                    std::uint32_t tick, const SectorMap& epochs, std::uint8_t kind,
                    std::size_t payload_bytes);

// Packs what goes out at the end of a tick: every row with phase 0, of `tick`, that `mark` marks in
// the dirty column; takes the mark away, from skipped rows too. As pack_updates else, but that
// `order` stays empty.
Packed collect_updates(EntityTable& table, double size, std::uint32_t tick, const SectorMap& epochs,
                       std::uint8_t mark, std::uint8_t kind, std::size_t payload_bytes);

// Marks, in the dirty column, the rows that a payload carries: it was lost, and their newest
// values go again. Rows whose handles are out of date are left alone. False for bytes that are no
// such payload.
bool mark_updates(EntityTable& table, std::span<const std::uint8_t> payload, std::uint8_t mark);

// Reads one payload from `shard` and adds to the tally. A row is applied (position, velocity and
// tick are written) if its group's sector and epoch are that shard's in `epochs`, its handle
// resolves to a row of that sector and that shard, and its tick is newer. A malformed payload, or
// one of a tick above `last_tick`, has no effect at all. Safe for any bytes.
void apply_updates(EntityTable& table, std::span<const std::uint8_t> payload, std::int32_t shard,
                   const SectorMap& epochs, double size, UpdateTally& tally,
                   std::uint32_t last_tick = UINT32_MAX);

}  // namespace sidereal
