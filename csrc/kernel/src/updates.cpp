// Updates are packed per sector and read in two passes: all of a payload is understood before any
// of it is applied.
#include "sidereal/updates.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "passes.hpp"
#include "sidereal/group.hpp"
#include "sidereal/hash.hpp"
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

// What the map says of sectors, remembered for as long as a call lasts: rows of a sector tend to
// come close together.
class Epochs {
  public:
    explicit Epochs(const SectorMap& map) : map_(map), cache_(256) {}

    // The epoch of a sector that the map holds.
    const std::uint32_t* find(Sector s) {
        Entry& entry = cache_[splitmix64(key_of(s)) % cache_.size()];
        if (!entry.used || !(entry.sector == s)) {
            const Ownership* owner = map_.find(s);
            entry = {s, owner ? owner->epoch : 0, true, owner != nullptr};
        }
        return entry.held ? &entry.epoch : nullptr;
    }

  private:
    struct Entry {
        Sector sector = no_sector;
        std::uint32_t epoch = 0;
        bool used = false, held = false;
    };

    const SectorMap& map_;
    std::vector<Entry> cache_;
};

// The rows that can be packed, in the order given, and their sectors.
struct Outgoing {
    RawVector<Row> rows;
    RawVector<std::uint32_t> slots, epochs;
    RawVector<Sector> where;
    std::size_t n = 0;

    explicit Outgoing(std::size_t most) : rows(most), slots(most), epochs(most), where(most) {}
};

constexpr std::size_t step = 128;
constexpr std::size_t ahead = 16;  // rows between a fetch and its use

// Encodes a block of rows; those that cannot be packed are skipped.
void encode(const Columns& c, std::span<const std::uint32_t> slots, double size, std::uint32_t tick,
            Epochs& epochs, Outgoing& out, std::vector<std::uint32_t>& skipped) {
    std::array<Vec2, step> at;
    std::array<Sector, step> where;
    struct Cell {
        std::int32_t x, y;
    };
    std::array<Cell, step> cells;
    for (std::size_t i = 0; i < slots.size(); ++i) {
        if (i + ahead < slots.size()) {
            const std::uint32_t later = slots[i + ahead];
            __builtin_prefetch(&c.position[later]);
            __builtin_prefetch(&c.sector[later]);
            __builtin_prefetch(&c.velocity[later]);
            __builtin_prefetch(&c.handle[later]);
            __builtin_prefetch(&c.tick[later]);
        }
        at[i] = c.position[slots[i]];
        where[i] = c.sector[slots[i]];
    }
    const bool all = passes().quantise(&at[0].x, &where[0].x, slots.size() * 2, size, &cells[0].x);
    for (std::size_t i = 0; i < slots.size(); ++i) {
        const std::uint32_t slot = slots[i];
        const Sector s = where[i];
        const Row row{c.handle[slot], cells[i].x, cells[i].y,
                      static_cast<float>(c.velocity[slot].x),
                      static_cast<float>(c.velocity[slot].y)};
        const bool good = c.tick[slot] == tick && row.handle != no_handle &&
                          std::isfinite(row.vx) && std::isfinite(row.vy) && exists(s);
        const std::uint32_t* const epoch = good ? epochs.find(s) : nullptr;
        out.rows[out.n] = row;
        if (!epoch || (!all && (!cell_of(s.x, at[i].x, size, out.rows[out.n].qx) ||
                                !cell_of(s.y, at[i].y, size, out.rows[out.n].qy)))) {
            skipped.push_back(slot);
            continue;
        }
        out.slots[out.n] = slot;
        out.epochs[out.n] = *epoch;
        out.where[out.n++] = s;
    }
}

// Writes groups of rows; opens datagrams as they are needed.
class Packer {
  public:
    Packer(Packed& out, std::uint8_t kind, std::uint32_t tick, std::size_t payload_bytes)
        : out_(out), writer_(out.data), kind_(kind), tick_(tick), payload_bytes_(payload_bytes) {}

    // Adds the rows of one sector, rows[order[..]].
    void add(Sector sector, std::uint32_t epoch, std::span<const std::uint32_t> order,
             const Row* rows) {
        if (open_ && used() + group_bytes + row_bytes > payload_bytes_) close();
        while (!order.empty()) {
            if (!open_) begin();
            const std::size_t room = (payload_bytes_ - used() - group_bytes) / row_bytes;
            const std::size_t n = std::min(room, order.size());
            ++groups_;
            writer_.put(sector);
            writer_.put(epoch);
            writer_.put(static_cast<std::uint16_t>(n));
            writer_.put(std::uint16_t{0});
            std::uint8_t* to = writer_.room(n * row_bytes);
            for (const std::uint32_t i : order.first(n)) {
                std::memcpy(to, &rows[i], row_bytes);
                to += row_bytes;
            }
            packed_ += n;
            order = order.subspan(n);
            if (!order.empty()) close();
        }
    }

    void close() {
        if (!open_) return;
        writer_.patch(start_ + 2, groups_);
        out_.end_datagram(packed_);
        open_ = false;
    }

  private:
    std::size_t used() const { return writer_.at() - start_; }

    void begin() {
        start_ = writer_.at();
        groups_ = 0;
        open_ = true;
        writer_.put(kind_);
        writer_.put(std::uint8_t{0});
        writer_.put(groups_);
        writer_.put(tick_);
    }

    Packed& out_;
    Writer writer_;
    std::uint8_t kind_;
    std::uint32_t tick_;
    std::size_t payload_bytes_, start_ = 0, packed_ = 0;
    std::uint16_t groups_ = 0;
    bool open_ = false;
};

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
    if (!in.get(count * row_bytes, bytes)) return false;
    const std::size_t first = out.handle.size();
    out.resize(first + count);
    std::fill_n(out.sector.data() + first, count, sector);
    std::fill_n(out.owned.data() + first, count, owned);
    bool finite = true;
    for (std::size_t i = first; i < first + count; ++i) {
        Row row;
        std::memcpy(&row, bytes.data() + (i - first) * row_bytes, row_bytes);
        out.handle[i] = row.handle;
        out.cell[i] = {row.qx, row.qy};
        out.velocity[i] = {row.vx, row.vy};
        finite &= std::isfinite(row.vx) && std::isfinite(row.vy);
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

Packed pack_updates(const EntityTable& table, std::span<const std::uint32_t> slots, double size,
                    std::uint32_t tick, const SectorMap& epochs, std::uint8_t kind,
                    std::size_t payload_bytes) {
    require_cells(size);
    require_payload_bytes(payload_bytes, header_bytes + group_bytes + row_bytes);
    table.require_slots(slots);
    Packed out;
    Outgoing rows(slots.size());
    Epochs known(epochs);
    for (std::size_t at = 0; at < slots.size(); at += step)
        encode(table.columns(), slots.subspan(at, std::min(step, slots.size() - at)), size, tick,
               known, rows, out.skipped);
    const Groups groups = group(std::span(rows.where).first(rows.n));
    out.order.resize(rows.n);
    for (std::size_t i = 0; i < rows.n; ++i) out.order[i] = rows.slots[groups.order[i]];
    out.data.reserve(rows.n * (row_bytes + 4) + 64);
    Packer packer(out, kind, tick, payload_bytes);
    for (std::size_t g = 0; g < groups.sectors.size(); ++g) {
        const std::size_t begin = groups.offsets[g], n = groups.offsets[g + 1] - begin;
        const auto order = std::span<const std::uint32_t>(groups.order).subspan(begin, n);
        packer.add(groups.sectors[g], rows.epochs[order[0]], order, rows.rows.data());
    }
    packer.close();
    return out;
}

void apply_updates(EntityTable& table, std::span<const std::uint8_t> payload, std::int32_t shard,
                   const SectorMap& epochs, double size, UpdateTally& tally) {
    std::uint32_t tick = 0;
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
