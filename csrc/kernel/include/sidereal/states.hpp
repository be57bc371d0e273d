// State blobs between a shard and the server, by handle.
//
// A payload is little-endian, without padding:
//   header  u8 kind, u8 0, u16 rows, u32 0
//   row     u32 handle, u32 tick (the blob's), u16 length, the blob
// with at least one row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sidereal/bytes.hpp"
#include "sidereal/entity_table.hpp"
#include "sidereal/updates.hpp"

namespace sidereal {

// Packs the blobs of rows `slots` in the order given, each with its row's state_tick. Skipped are
// rows without a handle and blobs that no datagram of payload_bytes can hold. Throws
// std::invalid_argument for a slot out of range.
Packed pack_states(const EntityTable& table, std::span<const std::uint32_t> slots,
                   std::uint8_t kind, std::size_t payload_bytes);

// Reads one payload from `shard` and adds to the tally. A row is applied (blob and state_tick are
// written) if its handle resolves to a row of that shard and its tick is newer than state_tick,
// or both are 0. A malformed payload has no effect at all. Safe for any bytes.
void apply_states(EntityTable& table, std::span<const std::uint8_t> payload, std::int32_t shard,
                  UpdateTally& tally);

}  // namespace sidereal
