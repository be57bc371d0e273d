// Updates are packed per sector and read in two passes: all of a payload is understood before any
// of it is applied.
#include "sidereal/updates.hpp"

#include <cmath>

#include "sidereal/group.hpp"
#include "sidereal/quantise.hpp"

namespace sidereal {
namespace {

constexpr std::size_t header_bytes = 8;
constexpr std::size_t group_bytes = 16;
constexpr std::size_t row_bytes = 20;

struct Row {
    std::uint32_t handle;
    std::int32_t qx, qy;
    float vx, vy;
};
static_assert(sizeof(Row) == row_bytes);

struct Outgoing {
    Sector sector;
    std::uint32_t epoch, slot;
    Row row;
};

bool encode(const Columns& c, std::uint32_t slot, double size, Row& row) {
    const Sector s = c.sector[slot];
    const Vec2 p = c.position[slot];
    row.handle = c.handle[slot];
    row.vx = static_cast<float>(c.velocity[slot].x);
    row.vy = static_cast<float>(c.velocity[slot].y);
    return row.handle != no_handle && exists(s) && std::isfinite(row.vx) && std::isfinite(row.vy) &&
           cell_of(s.x, p.x, size, row.qx) && cell_of(s.y, p.y, size, row.qy);
}

// Writes rows that come sorted by sector; opens datagrams and groups as they are needed.
class Packer {
  public:
    Packer(Packed& out, std::uint8_t kind, std::uint32_t tick, std::size_t payload_bytes)
        : out_(out), writer_(out.data), kind_(kind), tick_(tick), payload_bytes_(payload_bytes) {}

    void add(const Outgoing& o) {
        const bool regroup = !open_ || !(o.sector == sector_);
        const std::size_t need = row_bytes + (regroup ? group_bytes : 0);
        if (open_ && writer_.at() - start_ + need > payload_bytes_) close();
        if (!open_) begin();
        if (groups_ == 0 || !(o.sector == sector_)) begin_group(o);
        writer_.put(o.row);
        writer_.patch(group_at_ + 12, ++rows_);
        out_.order.push_back(o.slot);
    }

    void close() {
        if (!open_) return;
        writer_.patch(start_ + 2, groups_);
        out_.end_datagram();
        open_ = false;
    }

  private:
    void begin() {
        start_ = writer_.at();
        groups_ = 0;
        open_ = true;
        writer_.put(kind_);
        writer_.put(std::uint8_t{0});
        writer_.put(groups_);
        writer_.put(tick_);
    }

    void begin_group(const Outgoing& o) {
        group_at_ = writer_.at();
        sector_ = o.sector;
        rows_ = 0;
        ++groups_;
        writer_.put(o.sector);
        writer_.put(o.epoch);
        writer_.put(std::uint32_t{0});  // rows, filled in as they come; and 0
    }

    Packed& out_;
    Writer writer_;
    std::uint8_t kind_;
    std::uint32_t tick_;
    std::size_t payload_bytes_, start_ = 0, group_at_ = 0;
    Sector sector_ = no_sector;
    std::uint16_t groups_ = 0, rows_ = 0;
    bool open_ = false;
};

// One row that was read, waiting until the whole payload is known to be sound.
struct Incoming {
    std::uint32_t handle;
    Sector sector;
    bool owned;  // the sender may speak for the group
    Vec2 position, velocity;
};

bool read_row(Reader& in, Sector sector, bool owned, double size, Incoming& out) {
    Row row;
    if (!in.get(row) || !std::isfinite(row.vx) || !std::isfinite(row.vy)) return false;
    out.handle = row.handle;
    out.sector = sector;
    out.owned = owned;
    out.velocity = {row.vx, row.vy};
    return position_of(sector.x, row.qx, size, out.position.x) &&
           position_of(sector.y, row.qy, size, out.position.y);
}

// Reads a whole payload; false if it is not exactly what the header file says.
bool read(std::span<const std::uint8_t> payload, std::int32_t shard, const SectorMap& epochs,
          double size, std::uint32_t& tick, std::vector<Incoming>& rows) {
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
        if (in.left() < count * row_bytes) return false;
        const bool owned = epochs.get(sector) == Ownership{shard, epoch} && shard != no_shard;
        for (std::uint16_t r = 0; r < count; ++r) {
            rows.emplace_back();
            if (!read_row(in, sector, owned, size, rows.back())) return false;
        }
    }
    return in.left() == 0;
}

}  // namespace

Packed pack_updates(const EntityTable& table, std::span<const std::uint32_t> slots, double size,
                    std::uint32_t tick, const SectorMap& epochs, std::uint8_t kind,
                    std::size_t payload_bytes) {
    require_cells(size);
    require_payload_bytes(payload_bytes, header_bytes + group_bytes + row_bytes);
    table.require_slots(slots);
    const Columns& c = table.columns();
    Packed out;
    std::vector<Outgoing> rows;
    std::vector<Sector> where;
    rows.reserve(slots.size());
    where.reserve(slots.size());
    for (const std::uint32_t slot : slots) {
        const Sector s = c.sector[slot];
        const Ownership* owner = c.tick[slot] == tick ? epochs.find(s) : nullptr;
        Outgoing o{};
        if (!owner || !encode(c, slot, size, o.row)) {
            out.skipped.push_back(slot);
            continue;
        }
        o.sector = s;
        o.epoch = owner->epoch;
        o.slot = slot;
        rows.push_back(o);
        where.push_back(s);
    }
    const Groups groups = group(where);
    out.order.reserve(rows.size());
    out.data.reserve(rows.size() * (row_bytes + 4) + 64);
    Packer packer(out, kind, tick, payload_bytes);
    for (const std::uint32_t i : groups.order) packer.add(rows[i]);
    packer.close();
    return out;
}

void apply_updates(EntityTable& table, std::span<const std::uint8_t> payload, std::int32_t shard,
                   const SectorMap& epochs, double size, UpdateTally& tally) {
    std::uint32_t tick = 0;
    // One datagram's rows at a time: the memory is kept from one to the next.
    thread_local std::vector<Incoming> rows;
    rows.clear();
    if (!read(payload, shard, epochs, size, tick, rows)) {
        ++tally.malformed;
        return;
    }
    Columns& c = table.columns();
    // Rows lie anywhere in the table. Their lines are asked for before any is needed, so that a
    // datagram waits for memory about once, not once a row and column.
    for (const Incoming& row : rows) {
        const std::uint32_t slot = table.likely(row.handle);
        if (slot == absent) continue;
        __builtin_prefetch(&c.handle[slot]);
        __builtin_prefetch(&c.sector[slot]);
        __builtin_prefetch(&c.shard[slot]);
        __builtin_prefetch(&c.tick[slot], 1);
        __builtin_prefetch(&c.position[slot], 1);
        __builtin_prefetch(&c.velocity[slot], 1);
    }
    for (const Incoming& row : rows) {
        if (!row.owned) {
            ++tally.wrong_owner;
            continue;
        }
        const std::uint32_t slot = table.resolve(row.handle);
        if (slot == absent) {
            ++tally.wrong_handle;
        } else if (!(c.sector[slot] == row.sector) || c.shard[slot] != shard) {
            ++tally.wrong_owner;
        } else if (tick <= c.tick[slot]) {
            ++tally.stale_tick;
        } else {
            c.position[slot] = row.position;
            c.velocity[slot] = row.velocity;
            c.tick[slot] = tick;
            ++tally.applied;
        }
    }
}

}  // namespace sidereal
