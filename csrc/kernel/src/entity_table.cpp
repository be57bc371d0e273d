// Rows come and go: removal, handles, room. Writing them is upsert.cpp and advance.cpp.
#include "sidereal/entity_table.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace sidereal {
namespace {

constexpr std::size_t ahead = 8;  // rows between two fetches, and between the second and its use

}  // namespace

EntityTable::EntityTable(double size, std::size_t capacity) : size_(size) {
    require_size(size);
    reserve(capacity);
}

std::size_t EntityTable::remove(std::span<const std::uint64_t> ids) {
    std::array<std::uint32_t, SlotIndex::batch> likely;
    std::size_t removed = 0;
    for (std::size_t at = 0; at < ids.size(); at += SlotIndex::batch) {
        const auto some = ids.subspan(at, std::min(SlotIndex::batch, ids.size() - at));
        slots(some, std::span(likely).first(some.size()));
        for (std::size_t step = 0; step < some.size() + 2 * ahead; ++step) {
            if (step < some.size()) prefetch_row(likely[step], std::min(step, 2 * ahead));
            if (step >= ahead && step - ahead < some.size()) prefetch_handle(likely[step - ahead]);
            if (step < 2 * ahead) continue;
            const std::uint32_t slot = this->slot(some[step - 2 * ahead]);
            if (slot == absent) continue;  // others may have moved since they were looked up
            remove_row(slot);
            ++removed;
        }
    }
    return removed;
}

// Fetches what `remove_row` will look at once `pending` other rows are gone: the row, and how the
// one is found that will be the last by then and take its place.
void EntityTable::prefetch_row(std::uint32_t slot, std::size_t pending) {
    if (slot >= rows()) return;
    columns_.each([slot](auto& column) { __builtin_prefetch(&column[slot], 1); });
    blobs_.prefetch_place(slot);
    if (rows() <= pending) return;
    const std::size_t last = rows() - 1 - pending;
    index_.prefetch(columns_.id[last]);
    prefetch_handle(static_cast<std::uint32_t>(last));
}

void EntityTable::prefetch_handle(std::uint32_t slot) const {
    if (slot < rows() && columns_.handle[slot] != no_handle)
        handles_.prefetch(columns_.handle[slot]);
}

void EntityTable::remove_row(std::uint32_t slot) {
    const std::size_t last = rows() - 1;
    drop_handle(slot);
    index_.erase(columns_.id[slot], columns_.id.data());
    blobs_.swap_remove(slot);
    if (slot != last) {
        index_.relocate(columns_.id[last], slot, columns_.id.data());
        const std::uint32_t handle = columns_.handle[last];
        if (handle != no_handle && handles_.row(handle) == last) handles_.set(handle, slot);
    }
    columns_.each([slot](auto& column) {
        column[slot] = column.back();
        column.pop_back();
    });
}

void EntityTable::slots(std::span<const std::uint64_t> ids, std::span<std::uint32_t> found) const {
    std::fill(found.begin(), found.end(), absent);
    for (std::size_t at = 0; at < ids.size(); at += SlotIndex::batch)
        index_.find_absent(ids.data() + at, std::min(SlotIndex::batch, ids.size() - at),
                           columns_.id.data(), found.data() + at);
}

void EntityTable::drop_handle(std::uint32_t slot) {
    std::uint32_t& handle = columns_.handle[slot];
    if (handle != no_handle && handles_.row(handle) == slot) handles_.set(handle, absent);
    handle = no_handle;
}

void EntityTable::bind(std::span<const std::uint32_t> slots,
                       std::span<const std::uint32_t> handles) {
    require_slots(slots);
    for (std::size_t i = 0; i < slots.size(); ++i) {
        drop_handle(slots[i]);
        if (handles[i] == no_handle) continue;
        const std::uint32_t old = handles_.row(handles[i]);
        if (old < rows()) columns_.handle[old] = no_handle;
        handles_.set(handles[i], slots[i]);
        columns_.handle[slots[i]] = handles[i];
    }
}

void EntityTable::require_slots(std::span<const std::uint32_t> slots) const {
    for (std::size_t i = 0; i < slots.size(); ++i)
        if (slots[i] >= rows())
            throw std::invalid_argument("slots[" + std::to_string(i) + "] is " +
                                        std::to_string(slots[i]) + ": the table has " +
                                        std::to_string(rows()) + " rows");
}

void EntityTable::reserve(std::size_t rows) {
    if (rows <= capacity_) return;
    make_room(rows);
    index_.reserve(rows);
}

// Room in the columns. The index grows by itself.
void EntityTable::make_room(std::size_t rows) {
    if (rows > absent)
        throw std::invalid_argument("capacity is " + std::to_string(rows) +
                                    ": a table holds fewer than 2^32 - 1 rows");
    if (pins_ > 0)
        throw GrowthRefused("the table must grow beyond " + std::to_string(capacity_) +
                            " rows while views of its columns are alive: drop them, or reserve "
                            "enough rows first");
    columns_.each([rows](auto& column) { column.reserve(rows); });
    blobs_.reserve(rows);
    marks_.reserve((rows + 63) / 64);
    marks_.resize((rows + 63) / 64, 0);
    capacity_ = rows;
}

// By a tenth: columns that have just grown take 102 bytes a row, the index at most 20, handles 4.
void EntityTable::grow() {
    make_room(std::clamp<std::size_t>(capacity_ + capacity_ / 10 + 64, capacity_ + 1, absent));
}

void EntityTable::clear() {
    columns_.each([](auto& column) { column.clear(); });
    blobs_.clear();
    index_.clear();
    handles_.clear();
}

std::size_t EntityTable::bytes() const {
    std::size_t sum = index_.bytes() + marks_.capacity() * sizeof(marks_[0]) + blobs_.row_bytes();
    // Columns::each is not const, and nothing here changes them.
    const_cast<Columns&>(columns_).each(
        [&sum](auto& column) { sum += column.capacity() * sizeof(column[0]); });
    return sum + handles_.bytes();
}

std::vector<std::uint32_t> EntityTable::find(Sector sector,
                                             std::optional<std::int32_t> shard) const {
    std::vector<std::uint32_t> found;
    for (std::size_t row = 0; row < rows(); ++row)
        if (columns_.sector[row] == sector && (!shard || columns_.shard[row] == *shard))
            found.push_back(static_cast<std::uint32_t>(row));
    return found;
}

}  // namespace sidereal
