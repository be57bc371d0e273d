// Packing updates by sector.
//
// Sectors are few beside rows, so no row is sorted: each is encoded in one pass, and told with its
// neighbours of the same sector; then the layout of all datagrams follows from the numbers of rows
// in each sector, and a second pass puts whole runs of rows straight into their places.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "passes.hpp"
#include "sidereal/hash.hpp"
#include "sidereal/quantise.hpp"
#include "sidereal/updates.hpp"
#include "update_rows.hpp"

namespace sidereal {
namespace {

constexpr std::uint32_t no_group = absent;
static_assert(update_row_bytes_most == update_header_bytes + update_group_bytes + update_row_bytes);
constexpr std::size_t block = 128;
constexpr std::size_t ahead = 16;  // rows between a fetch and its use

// The rows of one sector.
struct Group {
    Sector sector;
    std::uint32_t epoch;
    std::size_t rows;
};

// Numbers sectors as they come; those that the map does not hold have none.
class Groups {
  public:
    explicit Groups(const SectorMap& map) : map_(map), buckets_(512, unused) {}

    std::uint32_t number(Sector s) {
        if (s == last_) return last_number_;
        last_ = s;
        std::size_t b = home(s);
        while (buckets_[b].number != vacant && !(buckets_[b].sector == s))
            b = (b + 1) & (buckets_.size() - 1);
        if (buckets_[b].number == vacant) {
            const Ownership* const owner = map_.find(s);
            buckets_[b] = {s, owner ? static_cast<std::uint32_t>(all.size()) : no_group};
            if (owner) all.push_back({s, owner->epoch, 0});
            last_number_ = buckets_[b].number;
            if (++used_ * 2 > buckets_.size()) grow();
            return last_number_;
        }
        return last_number_ = buckets_[b].number;
    }

    std::vector<Group> all;

  private:
    static constexpr std::uint32_t vacant = no_group - 1;
    struct Bucket {
        Sector sector;
        std::uint32_t number;
    };
    static constexpr Bucket unused{no_sector, vacant};

    std::size_t home(Sector s) const { return splitmix64(key_of(s)) & (buckets_.size() - 1); }

    void grow() {
        const std::vector<Bucket> old = std::move(buckets_);
        buckets_.assign(old.size() * 4, unused);
        for (const Bucket& each : old) {
            if (each.number == vacant) continue;
            std::size_t b = home(each.sector);
            while (buckets_[b].number != vacant) b = (b + 1) & (buckets_.size() - 1);
            buckets_[b] = each;
        }
    }

    const SectorMap& map_;
    std::vector<Bucket> buckets_;
    std::size_t used_ = 0;
    Sector last_ = no_sector;
    std::uint32_t last_number_ = no_group;
};

// Rows that follow each other and are of the sector with this number.
struct Run {
    std::uint32_t group, rows;
};

// The rows that can be packed, in the order given, with their slots where the caller wants them.
struct Outgoing {
    RawVector<UpdateRow> rows;
    RawVector<std::uint32_t> slots;
    std::vector<Run> runs;
    std::size_t n = 0;

    Outgoing(std::size_t most, bool with_slots) : rows(most), slots(with_slots ? most : 0) {}
};

// Encodes a block of rows; those that cannot be packed are skipped.
void encode(const Columns& c, std::span<const std::uint32_t> slots, double size, std::uint32_t tick,
            Groups& groups, Outgoing& out, std::vector<std::uint32_t>& skipped) {
    std::array<Vec2, block> at;
    std::array<Sector, block> where;
    struct Cell {
        std::int32_t x, y;
    };
    std::array<Cell, block> cells;
    for (std::size_t i = 0; i < slots.size(); ++i) {
        if (i + ahead < slots.size()) {
            const std::uint32_t later = slots[i + ahead];
            __builtin_prefetch(&c.position[later]);
            __builtin_prefetch(&c.sector[later]);
            __builtin_prefetch(&c.velocity[later]);
            __builtin_prefetch(&c.handle[later]);
        }
        at[i] = c.position[slots[i]];
        where[i] = c.sector[slots[i]];
    }
    const bool all = passes().quantise(&at[0].x, &where[0].x, slots.size() * 2, size, &cells[0].x);
    for (std::size_t i = 0; i < slots.size(); ++i) {
        const std::uint32_t slot = slots[i];
        const Sector s = where[i];
        UpdateRow& row = out.rows[out.n];
        row = {c.handle[slot], cells[i].x, cells[i].y, static_cast<float>(c.velocity[slot].x),
               static_cast<float>(c.velocity[slot].y)};
        const bool good = c.tick[slot] == tick && row.handle != no_handle &&
                          std::isfinite(row.vx) && std::isfinite(row.vy) && exists(s);
        const std::uint32_t group = good ? groups.number(s) : no_group;
        if (group == no_group || (!all && (!cell_of(s.x, at[i].x, size, row.qx) ||
                                           !cell_of(s.y, at[i].y, size, row.qy)))) {
            skipped.push_back(slot);
            continue;
        }
        if (out.runs.empty() || out.runs.back().group != group) out.runs.push_back({group, 0});
        ++out.runs.back().rows;
        if (!out.slots.empty()) out.slots[out.n] = slot;
        ++out.n;
    }
}

// Where the next rows of a sector go.
struct Place {
    std::uint8_t* bytes;
    std::size_t order, rows;
};

// Lays the datagrams out: their headers and those of their groups are written, and each group's
// places, one or more, are told apart by `first`.
class Layout {
  public:
    Layout(Packed& out, const std::vector<Group>& groups, std::uint8_t kind, std::uint32_t tick,
           std::size_t payload_bytes)
        : first(groups.size()), out_(out), kind_(kind), tick_(tick), payload_bytes_(payload_bytes) {
        std::vector<std::uint32_t> sorted(groups.size());
        std::iota(sorted.begin(), sorted.end(), 0u);
        std::sort(sorted.begin(), sorted.end(), [&](std::uint32_t a, std::uint32_t b) {
            return key_of(groups[a].sector) < key_of(groups[b].sector);
        });
        out.data.resize(bytes(groups, sorted));
        for (const std::uint32_t g : sorted) {
            first[g] = places.size();
            add(groups[g]);
        }
        close();
    }

    std::vector<Place> places;
    std::vector<std::size_t> first;

  private:
    // How many rows of a group come next where `used` bytes of a datagram are taken; none where
    // another datagram has to begin.
    std::size_t room(std::size_t used) const {
        if (used == 0 || used + update_group_bytes + update_row_bytes > payload_bytes_) return 0;
        return (payload_bytes_ - used - update_group_bytes) / update_row_bytes;
    }

    std::size_t bytes(const std::vector<Group>& groups,
                      const std::vector<std::uint32_t>& sorted) const {
        std::size_t total = 0, used = 0;
        for (const std::uint32_t g : sorted)
            for (std::size_t left = groups[g].rows; left > 0;) {
                if (room(used) == 0) total += used = update_header_bytes;
                const std::size_t n = std::min(room(used), left);
                const std::size_t more = update_group_bytes + n * update_row_bytes;
                total += more;
                used += more;
                left -= n;
            }
        return total;
    }

    void add(const Group& group) {
        for (std::size_t left = group.rows; left > 0;) {
            if (room(at_ - start_) == 0) {
                close();
                begin();
            }
            const std::size_t n = std::min(room(at_ - start_), left);
            ++groups_;
            put(group.sector);
            put(group.epoch);
            put(static_cast<std::uint16_t>(n));
            put(std::uint16_t{0});
            places.push_back({out_.data.data() + at_, packed_, n});
            at_ += n * update_row_bytes;
            packed_ += n;
            left -= n;
        }
    }

    void begin() {
        start_ = at_;
        groups_ = 0;
        put(kind_);
        put(std::uint8_t{0});
        put(std::uint16_t{0});  // groups, filled in at the end
        put(tick_);
    }

    void close() {
        if (at_ == start_) return;
        std::memcpy(out_.data.data() + start_ + 2, &groups_, sizeof groups_);
        out_.offsets.push_back(static_cast<std::uint32_t>(at_));
        out_.row_offsets.push_back(static_cast<std::uint32_t>(packed_));
        start_ = at_;
    }

    template <class T>
    void put(T value) {
        std::memcpy(out_.data.data() + at_, &value, sizeof value);
        at_ += sizeof value;
    }

    Packed& out_;
    std::uint8_t kind_;
    std::uint32_t tick_;
    std::size_t payload_bytes_, start_ = 0, at_ = 0, packed_ = 0;
    std::uint16_t groups_ = 0;
};

Packed pack(const EntityTable& table, std::span<const std::uint32_t> slots, double size,
            std::uint32_t tick, const SectorMap& epochs, std::uint8_t kind,
            std::size_t payload_bytes, bool with_order) {
    require_cells(size);
    require_payload_bytes(payload_bytes, update_row_bytes_most);
    Packed out;
    Outgoing rows(slots.size(), with_order);
    Groups groups(epochs);
    for (std::size_t at = 0; at < slots.size(); at += block)
        encode(table.columns(), slots.subspan(at, std::min(block, slots.size() - at)), size, tick,
               groups, rows, out.skipped);
    for (const Run& run : rows.runs) groups.all[run.group].rows += run.rows;
    Layout layout(out, groups.all, kind, tick, payload_bytes);
    if (with_order) out.order.resize(rows.n);
    std::size_t next = 0;
    for (const Run& run : rows.runs)
        for (std::size_t left = run.rows; left > 0;) {
            std::size_t& at = layout.first[run.group];
            Place& place = layout.places[at];
            const std::size_t n = std::min(left, place.rows);
            std::memcpy(place.bytes, &rows.rows[next], n * update_row_bytes);
            if (with_order) {
                std::copy_n(rows.slots.data() + next, n, out.order.data() + place.order);
                place.order += n;
            }
            place.bytes += n * update_row_bytes;
            place.rows -= n;
            if (place.rows == 0) ++at;
            next += n;
            left -= n;
        }
    return out;
}

}  // namespace

Packed pack_updates(const EntityTable& table, std::span<const std::uint32_t> slots, double size,
                    std::uint32_t tick, const SectorMap& epochs, std::uint8_t kind,
                    std::size_t payload_bytes) {
    table.require_slots(slots);
    return pack(table, slots, size, tick, epochs, kind, payload_bytes, true);
}

Packed collect_updates(EntityTable& table, double size, std::uint32_t tick, const SectorMap& epochs,
                       std::uint8_t mark, std::uint8_t kind, std::size_t payload_bytes) {
    Columns& c = table.columns();
    RawVector<std::uint32_t> slots(c.id.size());
    std::size_t n = 0;
    for (std::uint32_t slot = 0; slot < c.id.size(); ++slot) {
        slots[n] = slot;
        n += c.phase[slot] == 0 && c.tick[slot] == tick && (c.dirty[slot] & mark) != 0;
    }
    Packed out =
        pack(table, std::span(slots).first(n), size, tick, epochs, kind, payload_bytes, false);
    for (const std::uint32_t slot : std::span(slots).first(n))
        c.dirty[slot] &= static_cast<std::uint8_t>(~mark);
    return out;
}

bool mark_updates(EntityTable& table, std::span<const std::uint8_t> payload, std::uint8_t mark) {
    Reader in(payload);
    std::uint8_t kind, zero;
    std::uint16_t groups;
    std::uint32_t tick;
    if (!in.get(kind) || !in.get(zero) || !in.get(groups) || !in.get(tick)) return false;
    std::vector<std::uint32_t> handles;
    handles.reserve(in.left() / update_row_bytes);
    for (std::uint16_t g = 0; g < groups; ++g) {
        Sector sector;
        std::uint32_t epoch;
        std::uint16_t count, reserved;
        std::span<const std::uint8_t> bytes;
        if (!in.get(sector) || !in.get(epoch) || !in.get(count) || !in.get(reserved) ||
            !in.get(count * update_row_bytes, bytes))
            return false;
        for (std::size_t at = 0; at < bytes.size(); at += update_row_bytes) {
            UpdateRow row;
            std::memcpy(&row, bytes.data() + at, sizeof row);
            handles.push_back(row.handle);
            table.prefetch(row.handle);
        }
    }
    if (in.left() != 0) return false;
    // A shard that loses datagrams has no time to wait for memory once a row.
    Columns& c = table.columns();
    for (const std::uint32_t handle : handles) {
        const std::uint32_t row = table.likely(handle);
        if (row == absent) continue;
        __builtin_prefetch(&c.handle[row]);
        __builtin_prefetch(&c.dirty[row], 1);
    }
    for (const std::uint32_t handle : handles) {
        const std::uint32_t row = table.resolve(handle);
        if (row != absent) c.dirty[row] |= mark;
    }
    return true;
}

}  // namespace sidereal
