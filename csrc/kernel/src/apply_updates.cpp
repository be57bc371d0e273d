// Reading updates, in two passes: all of a payload is understood before any of it is applied.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "passes.hpp"
#include "sidereal/quantise.hpp"
#include "sidereal/updates.hpp"
#include "update_rows.hpp"

namespace sidereal {
namespace {

// The rows of one payload, waiting until all of it is known to be sound.
struct Incoming {
    RawVector<std::uint32_t> handle;
    RawVector<Sector> sector;
    RawVector<std::uint8_t> owned;  // the sender may speak for the group
    RawVector<Sector> cell;         // offsets, as the wire has them
    RawVector<Vec2> position, velocity;

    void resize(std::size_t n) {
        handle.resize(n), sector.resize(n), owned.resize(n), cell.resize(n);
        position.resize(n), velocity.resize(n);
    }
};

// False if a row's velocity is not finite.
bool read_rows(Reader& in, std::size_t count, Sector sector, bool owned, Incoming& out) {
    std::span<const std::uint8_t> bytes;
    if (!in.get(count * update_row_bytes, bytes)) return false;
    const std::size_t first = out.handle.size();
    out.resize(first + count);
    std::fill_n(out.sector.data() + first, count, sector);
    std::fill_n(out.owned.data() + first, count, owned);
    bool finite = true;
    const std::uint8_t* from = bytes.data();
    for (std::size_t i = first; i < first + count; ++i, from += update_row_bytes) {
        // Field by field: a copy of the row, read again at once, would wait for its own store.
        float velocity[2];
        std::memcpy(&out.handle[i], from + offsetof(UpdateRow, handle), sizeof out.handle[i]);
        std::memcpy(&out.cell[i], from + offsetof(UpdateRow, qx), sizeof out.cell[i]);
        std::memcpy(velocity, from + offsetof(UpdateRow, vx), sizeof velocity);
        out.velocity[i] = {velocity[0], velocity[1]};
        finite &= std::isfinite(velocity[0]) && std::isfinite(velocity[1]);
    }
    return finite;
}

// Fills in the positions; false if a row has none.
bool place(Incoming& rows, double size) {
    const std::size_t n = rows.handle.size();
    if (passes().positions(&rows.sector[0].x, &rows.cell[0].x, n * 2, size, &rows.position[0].x))
        return true;
    for (std::size_t i = 0; i < n; ++i)
        if (!position_of(rows.sector[i].x, rows.cell[i].x, size, rows.position[i].x) ||
            !position_of(rows.sector[i].y, rows.cell[i].y, size, rows.position[i].y))
            return false;
    return true;
}

// Reads a whole payload; false if it is not exactly what the header file says.
bool read(std::span<const std::uint8_t> payload, std::int32_t shard, const SectorMap& epochs,
          double size, std::uint32_t& tick, Incoming& rows) {
    Reader in(payload);
    std::uint8_t kind, zero;
    std::uint16_t groups;
    if (!in.get(kind) || !in.get(zero) || !in.get(groups) || !in.get(tick)) return false;
    if (zero != 0 || groups == 0) return false;
    for (std::uint16_t g = 0; g < groups; ++g) {
        Sector sector;
        std::uint32_t epoch;
        std::uint16_t count, reserved;
        if (!in.get(sector.x) || !in.get(sector.y) || !in.get(epoch) || !in.get(count) ||
            !in.get(reserved))
            return false;
        if (!exists(sector) || count == 0 || reserved != 0) return false;
        const bool owned = epochs.get(sector) == Ownership{shard, epoch} && shard != no_shard;
        if (!read_rows(in, count, sector, owned, rows)) return false;
    }
    return in.left() == 0 && place(rows, size);
}

}  // namespace

void apply_updates(EntityTable& table, std::span<const std::uint8_t> payload, std::int32_t shard,
                   const SectorMap& epochs, double size, UpdateTally& tally,
                   std::uint32_t last_tick) {
    std::uint32_t tick = 0;
    if (payload.size() >= update_header_bytes) std::memcpy(&tick, payload.data() + 4, sizeof tick);
    if (tick > last_tick) {
        ++tally.ahead;
        return;
    }
    // One datagram's rows at a time: the memory is kept from one to the next.
    thread_local Incoming rows;
    rows.resize(0);
    if (!read(payload, shard, epochs, size, tick, rows)) {
        ++tally.malformed;
        return;
    }
    Columns& c = table.columns();
    const std::size_t n = rows.handle.size();
    // Rows lie anywhere in the table. Their lines are asked for before any is needed, so that a
    // datagram waits for memory about once, not once a row and column.
    for (std::size_t i = 0; i < n; ++i) table.prefetch(rows.handle[i]);
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint32_t slot = table.likely(rows.handle[i]);
        if (slot == absent) continue;
        __builtin_prefetch(&c.handle[slot]);
        __builtin_prefetch(&c.sector[slot]);
        __builtin_prefetch(&c.shard[slot]);
        __builtin_prefetch(&c.tick[slot], 1);
        __builtin_prefetch(&c.position[slot], 1);
        __builtin_prefetch(&c.velocity[slot], 1);
    }
    for (std::size_t i = 0; i < n; ++i) {
        if (!rows.owned[i]) {
            ++tally.wrong_owner;
            continue;
        }
        const std::uint32_t slot = table.resolve(rows.handle[i]);
        if (slot == absent) {
            ++tally.wrong_handle;
        } else if (!(c.sector[slot] == rows.sector[i]) || c.shard[slot] != shard) {
            ++tally.wrong_owner;
        } else if (tick <= c.tick[slot]) {
            ++tally.stale_tick;
        } else {
            c.position[slot] = rows.position[i];
            c.velocity[slot] = rows.velocity[i];
            c.tick[slot] = tick;
            ++tally.applied;
        }
    }
}

}  // namespace sidereal
