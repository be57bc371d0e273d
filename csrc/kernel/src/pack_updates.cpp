// Packing updates by sector.
//
// Sectors are few beside rows, so no row is sorted: each is encoded in one pass, and told with its
// neighbours of the same sector (draft.hpp); then the layout of all datagrams follows from the
// numbers of rows in each sector, and a second pass puts whole runs of rows straight into their
// places.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "draft.hpp"
#include "sidereal/quantise.hpp"
#include "sidereal/updates.hpp"
#include "update_rows.hpp"

namespace sidereal {
namespace {

static_assert(update_row_bytes_most == update_header_bytes + update_group_bytes + update_row_bytes);

// Where the next rows of a sector go.
struct Place {
    std::uint8_t* bytes;
    std::size_t order, rows;
};

// Lays the datagrams out: their headers and those of their groups are written, and each group's
// places, one or more, are told apart by `first`.
class Layout {
  public:
    Layout(Packed& out, const std::vector<SectorRows>& groups, std::uint8_t kind,
           std::uint32_t tick, std::size_t payload_bytes)
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

    std::size_t bytes(const std::vector<SectorRows>& groups,
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

    void add(const SectorRows& group) {
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

// Puts drafted rows into datagrams. `slots` are theirs, where the order is to be known.
Packed pack(Draft&& draft, std::uint32_t tick, std::uint8_t kind, std::size_t payload_bytes,
            std::span<const std::uint32_t> slots) {
    Packed out;
    Layout layout(out, draft.groups.all, kind, tick, payload_bytes);
    const bool with_order = !slots.empty();
    if (with_order) out.order.resize(slots.size() - draft.skipped.size());
    std::size_t next = 0;
    for (const Draft::Run& run : draft.runs) {
        if (run.group == no_group) {
            next += run.rows;
            continue;
        }
        for (std::size_t left = run.rows; left > 0;) {
            std::size_t& at = layout.first[run.group];
            Place& place = layout.places[at];
            const std::size_t n = std::min(left, place.rows);
            std::memcpy(place.bytes, &draft.rows[next], n * update_row_bytes);
            if (with_order) {
                std::copy_n(slots.data() + next, n, out.order.data() + place.order);
                place.order += n;
            }
            place.bytes += n * update_row_bytes;
            place.rows -= n;
            if (place.rows == 0) ++at;
            next += n;
            left -= n;
        }
    }
    out.skipped = std::move(draft.skipped);
    return out;
}

}  // namespace

Packed pack_updates(const EntityTable& table, std::span<const std::uint32_t> slots, double size,
                    std::uint32_t tick, const SectorMap& epochs, std::uint8_t kind,
                    std::size_t payload_bytes) {
    require_payload_bytes(payload_bytes, update_row_bytes_most);
    return pack(draft_rows(table, slots, size, tick, epochs), tick, kind, payload_bytes, slots);
}

Packed collect_updates(EntityTable& table, double size, std::uint32_t tick, const SectorMap& epochs,
                       std::uint8_t mark, std::uint8_t kind, std::size_t payload_bytes) {
    require_payload_bytes(payload_bytes, update_row_bytes_most);
    return pack(draft_marked(table, size, tick, mark, epochs), tick, kind, payload_bytes, {});
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
