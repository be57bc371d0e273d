// State blobs, one after another, until a datagram is full.
#include "sidereal/states.hpp"

#include <cstring>
#include <vector>

namespace sidereal {
namespace {

constexpr std::size_t header_bytes = 8;
constexpr std::size_t row_bytes = 10;  // before the blob

struct Incoming {
    std::uint32_t handle, tick;
    std::span<const std::uint8_t> blob;
};

// Reads a whole payload; false if it is not exactly what the header file says.
bool read(std::span<const std::uint8_t> payload, std::vector<Incoming>& rows) {
    Reader in(payload);
    std::uint8_t kind, zero;
    std::uint16_t count;
    std::uint32_t reserved;
    if (!in.get(kind) || !in.get(zero) || !in.get(count) || !in.get(reserved)) return false;
    if (zero != 0 || count == 0 || reserved != 0) return false;
    if (in.left() < count * row_bytes) return false;
    rows.resize(count);
    for (Incoming& row : rows) {
        std::uint16_t length;
        if (!in.get(row.handle) || !in.get(row.tick) || !in.get(length)) return false;
        if (length > blob_bytes_max || !in.get(length, row.blob)) return false;
    }
    return in.left() == 0;
}

}  // namespace

Packed pack_states(const EntityTable& table, std::span<const std::uint32_t> slots,
                   std::uint8_t kind, std::size_t payload_bytes) {
    require_payload_bytes(payload_bytes, header_bytes + row_bytes);
    table.require_slots(slots);
    constexpr std::size_t ahead = 16;
    const Columns& c = table.columns();
    Packed out;
    out.order.reserve(slots.size());
    Writer writer(out.data);
    std::size_t start = 0;
    std::uint16_t count = 0;
    const auto close = [&] {
        if (count == 0) return;
        writer.patch(start + 2, count);
        out.end_datagram();
        count = 0;
    };
    for (std::size_t i = 0; i < slots.size(); ++i) {
        if (i + 2 * ahead < slots.size()) {
            const std::uint32_t later = slots[i + 2 * ahead];
            table.blobs().prefetch_place(later);
            __builtin_prefetch(&c.handle[later]);
            __builtin_prefetch(&c.state_tick[later]);
        }
        if (i + ahead < slots.size()) table.blobs().prefetch(slots[i + ahead]);
        const std::uint32_t slot = slots[i];
        const std::span<const std::uint8_t> blob = table.blobs().get(slot);
        const std::size_t need = row_bytes + blob.size();
        if (c.handle[slot] == no_handle || header_bytes + need > payload_bytes) {
            out.skipped.push_back(slot);
            continue;
        }
        if (count > 0 && writer.at() - start + need > payload_bytes) close();
        if (count == 0) {
            start = writer.at();
            writer.put(kind);
            writer.put(std::uint8_t{0});
            writer.put(std::uint16_t{0});  // rows, filled in at the end
            writer.put(std::uint32_t{0});
        }
        // At once: to grow by each field cost more than the fields.
        std::uint8_t* const to = writer.room(need);
        const std::uint16_t length = static_cast<std::uint16_t>(blob.size());
        std::memcpy(to, &c.handle[slot], 4);
        std::memcpy(to + 4, &c.state_tick[slot], 4);
        std::memcpy(to + 8, &length, 2);
        if (!blob.empty()) std::memcpy(to + row_bytes, blob.data(), blob.size());
        out.order.push_back(slot);
        ++count;
    }
    close();
    return out;
}

void apply_states(EntityTable& table, std::span<const std::uint8_t> payload, std::int32_t shard,
                  UpdateTally& tally) {
    thread_local std::vector<Incoming> rows;
    if (!read(payload, rows)) {
        ++tally.malformed;
        return;
    }
    Columns& c = table.columns();
    // As updates: all that the rows need is asked for before any of it is waited for.
    for (const Incoming& row : rows) table.prefetch(row.handle);
    for (const Incoming& row : rows) {
        const std::uint32_t slot = table.likely(row.handle);
        if (slot == absent) continue;
        __builtin_prefetch(&c.handle[slot]);
        __builtin_prefetch(&c.shard[slot]);
        __builtin_prefetch(&c.state_tick[slot], 1);
        table.blobs().prefetch_place(slot);
    }
    for (const Incoming& row : rows) {
        const std::uint32_t slot = table.likely(row.handle);
        if (slot != absent) table.blobs().prefetch(slot);
    }
    for (const Incoming& row : rows) {
        const std::uint32_t slot = table.resolve(row.handle);
        if (slot == absent) {
            ++tally.wrong_handle;
        } else if (c.shard[slot] != shard || shard == no_shard) {
            ++tally.wrong_owner;
        } else if (row.tick <= c.state_tick[slot] && !(row.tick == 0 && c.state_tick[slot] == 0)) {
            ++tally.stale_tick;
        } else {
            table.blobs().set(slot, row.blob);
            c.state_tick[slot] = row.tick;
            ++tally.applied;
        }
    }
}

}  // namespace sidereal
