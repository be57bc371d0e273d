// Reading updates, in two passes: all of a payload is understood before any of it is applied.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <vector>

#include "passes.hpp"
#include "sidereal/quantise.hpp"
#include "sidereal/updates.hpp"
#include "update_rows.hpp"

namespace sidereal {
namespace {

// Rows of one sector in a payload, up to `end`.
struct Group {
    Sector sector;
    bool owned;  // the sender may speak for it
    std::size_t end;
};

// The rows of one payload, waiting until all of it is known to be sound.
struct Incoming {
    std::vector<Group> groups;
    RawVector<std::uint32_t> handle, slot;
    RawVector<Sector> sector, cell;  // cell: offsets, as the wire has them
    RawVector<Vec2> position, velocity;

    std::size_t rows() const { return handle.size(); }
    void resize(std::size_t n) {
        handle.resize(n), slot.resize(n), sector.resize(n), cell.resize(n);
        position.resize(n), velocity.resize(n);
    }
    void clear() {
        groups.clear();
        resize(0);
    }
};

// False if a row's velocity is not finite.
bool read_rows(Reader& in, std::size_t count, Sector sector, bool owned, Incoming& out) {
    std::span<const std::uint8_t> bytes;
    if (!in.get(count * update_row_bytes, bytes)) return false;
    const std::size_t first = out.rows();
    out.resize(first + count);
    out.groups.push_back({sector, owned, first + count});
    std::fill_n(out.sector.data() + first, count, sector);
    std::uint32_t* const handle = out.handle.data() + first;
    Sector* const cell = out.cell.data() + first;
    Vec2* const velocity = out.velocity.data() + first;
    const std::uint8_t* from = bytes.data();
    std::uint32_t infinite = 0;
    for (std::size_t i = 0; i < count; ++i, from += update_row_bytes) {
        // Field by field: a copy of the row, read again at once, would wait for its own store.
        float speed[2];
        std::memcpy(&handle[i], from + offsetof(UpdateRow, handle), sizeof handle[i]);
        std::memcpy(&cell[i], from + offsetof(UpdateRow, qx), sizeof cell[i]);
        std::memcpy(speed, from + offsetof(UpdateRow, vx), sizeof speed);
        velocity[i] = {speed[0], speed[1]};
        infinite |=
            std::uint32_t{!std::isfinite(speed[0])} | std::uint32_t{!std::isfinite(speed[1])};
    }
    return infinite == 0;
}

// Fills in the positions; false if a row has none.
bool place(Incoming& rows, double size) {
    const std::size_t n = rows.rows();
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

// Finds the rows' slots. They lie anywhere in the table: their lines are asked for before any is
// needed, so that a datagram waits for memory about once, not once a row and column.
void find(const EntityTable& table, Incoming& rows) {
    const Columns& c = table.columns();
    const std::size_t n = rows.rows();
    const std::uint32_t* const handle = rows.handle.data();
    std::uint32_t* const slots = rows.slot.data();
    for (std::size_t i = 0; i < n; ++i) table.prefetch(handle[i]);
    std::uint32_t before = absent;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint32_t slot = slots[i] = table.likely(handle[i]);
        // Four rows share a line of the widest columns: most that follow another are on their way.
        const bool asked = slot == before + 1 && slot % 4 != 0;
        before = slot;
        if (asked || slot == absent) continue;
        __builtin_prefetch(&c.handle[slot]);
        __builtin_prefetch(&c.sector[slot]);
        __builtin_prefetch(&c.shard[slot]);
        __builtin_prefetch(&c.tick[slot], 1);
        __builtin_prefetch(&c.position[slot], 1);
        __builtin_prefetch(&c.velocity[slot], 1);
    }
}

// Applies the rows of a payload that is sound.
void write(Columns& c, const Incoming& rows, std::int32_t shard, std::uint32_t tick,
           UpdateTally& tally) {
    // By themselves: a vector asks where its rows are after each row that is written.
    const std::uint32_t* const handles = c.handle.data();
    const Sector* const sectors = c.sector.data();
    const std::int32_t* const shards = c.shard.data();
    std::uint32_t* const ticks = c.tick.data();
    Vec2* const position = c.position.data();
    Vec2* const velocity = c.velocity.data();
    std::size_t i = 0, applied = 0;
    for (const Group& group : rows.groups) {
        if (!group.owned) {
            tally.wrong_owner += group.end - i;
            i = group.end;
            continue;
        }
        for (; i < group.end; ++i) {
            const std::uint32_t slot = rows.slot[i];
            if (slot == absent || handles[slot] != rows.handle[i]) {
                ++tally.wrong_handle;
            } else if (!(sectors[slot] == group.sector) || shards[slot] != shard) {
                ++tally.wrong_owner;
            } else if (tick <= ticks[slot]) {
                ++tally.stale_tick;
            } else {
                position[slot] = rows.position[i];
                velocity[slot] = rows.velocity[i];
                ticks[slot] = tick;
                ++applied;
            }
        }
    }
    tally.applied += applied;
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
    thread_local Incoming kept;
    Incoming& rows = kept;  // where a thread's own lies is not asked for each row
    rows.clear();
    if (!read(payload, shard, epochs, size, tick, rows)) {
        ++tally.malformed;
        return;
    }
    find(table, rows);
    write(table.columns(), rows, shard, tick, tally);
}

}  // namespace sidereal
