// Upsert first finds all rows and decides everything that can go wrong, then writes.
#include "sidereal/entity_table.hpp"

#include <algorithm>
#include <string>

namespace sidereal {
namespace {

std::invalid_argument id_twice(std::uint64_t id) {
    return std::invalid_argument("id " + std::to_string(id) +
                                 " comes twice in one batch: ids must be unique");
}

}  // namespace

EntityTable::EntityTable(double size, std::size_t capacity) : size_(size) {
    require_size(size);
    reserve(capacity);
}

bool EntityTable::valid(Vec2 position, Vec2 velocity) const {
    return exists(sector_of(position.x, position.y, size_)) && std::isfinite(velocity.x) &&
           std::isfinite(velocity.y);
}

Upsert EntityTable::upsert(std::span<const std::uint64_t> ids, std::span<const Vec2> position,
                           std::span<const Vec2> velocity, std::span<std::uint32_t> slots) {
    Upsert out;
    const std::size_t before = rows();
    std::vector<std::uint32_t> found(ids.size(), absent);
    try {
        find_rows(ids, position, velocity, slots, found, out.invalid);
    } catch (...) {
        undo(before);
        for (const std::uint32_t slot : found)
            if (slot < before) marks_[slot / 64] = 0;
        throw;
    }
    for (const std::uint32_t slot : found)
        if (slot < before) marks_[slot / 64] = 0;

    columns_.each([n = rows()](auto& column) { column.resize(n); });
    blobs_.resize(rows());
    std::fill(columns_.shard.begin() + static_cast<std::ptrdiff_t>(before), columns_.shard.end(),
              -1);
    std::fill(columns_.handle.begin() + static_cast<std::ptrdiff_t>(before), columns_.handle.end(),
              no_handle);

    std::size_t next_invalid = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (next_invalid < out.invalid.size() && out.invalid[next_invalid] == i) {
            ++next_invalid;
            continue;
        }
        const std::uint32_t slot = found[i];
        const Vec2 p = position[i];
        columns_.position[slot] = p;
        columns_.velocity[slot] = velocity[i];
        if (slot >= before)
            columns_.sector[slot] = sector_of(p.x, p.y, size_);
        else if (!holds(columns_.sector[slot], p.x, p.y, size_))
            out.movers.push_back(slot);
    }
    if (!slots.empty()) std::copy(found.begin(), found.end(), slots.begin());
    return out;
}

// Fills in `found`; new valid ids are appended to the id column and the index, nothing else.
// Marks each known row that it met, in marks_.
void EntityTable::find_rows(std::span<const std::uint64_t> ids, std::span<const Vec2> position,
                            std::span<const Vec2> velocity, std::span<const std::uint32_t> guesses,
                            std::span<std::uint32_t> found, std::vector<std::uint32_t>& invalid) {
    const std::size_t before = rows();
    std::vector<std::uint64_t> strangers;  // unknown ids that get no row
    std::uint32_t next = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const std::uint64_t id = ids[i];
        const auto is_at = [&](std::uint32_t slot) {
            return slot < columns_.id.size() && columns_.id[slot] == id;
        };
        std::uint32_t slot = guesses.empty() ? next : guesses[i];
        if (!is_at(slot)) slot = is_at(next) ? next : this->slot(id);
        const bool good = valid(position[i], velocity[i]);
        if (!good) invalid.push_back(static_cast<std::uint32_t>(i));
        if (slot == absent) {
            if (!good) {
                strangers.push_back(id);
                continue;
            }
            if (rows() == capacity_) grow(rows() + 1);
            slot = static_cast<std::uint32_t>(rows());
            columns_.id.push_back(id);
            index_.insert(id, slot, columns_.id.data());
        } else if (slot >= before) {
            throw id_twice(id);
        } else {
            const std::uint64_t bit = std::uint64_t{1} << (slot % 64);
            if (marks_[slot / 64] & bit) throw id_twice(id);
            marks_[slot / 64] |= bit;
        }
        found[i] = slot;
        next = slot + 1;
    }
    std::sort(strangers.begin(), strangers.end());
    for (std::size_t i = 0; i < strangers.size(); ++i)
        if ((i > 0 && strangers[i] == strangers[i - 1]) || slot(strangers[i]) != absent)
            throw id_twice(strangers[i]);
}

// Takes back the rows that find_rows appended.
void EntityTable::undo(std::size_t rows) {
    while (columns_.id.size() > rows) {
        index_.erase(columns_.id.back(), columns_.id.data());
        columns_.id.pop_back();
    }
}

std::size_t EntityTable::remove(std::span<const std::uint64_t> ids) {
    std::size_t removed = 0;
    for (const std::uint64_t id : ids) {
        const std::uint32_t slot = this->slot(id);
        if (slot == absent) continue;
        remove_row(slot);
        ++removed;
    }
    return removed;
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
    if (rows > absent)
        throw std::invalid_argument("capacity is " + std::to_string(rows) +
                                    ": a table holds fewer than 2^32 - 1 rows");
    if (pins_ > 0)
        throw GrowthRefused("the table must grow beyond " + std::to_string(capacity_) +
                            " rows while views of its columns are alive: drop them, or reserve "
                            "enough rows first");
    columns_.each([rows](auto& column) { column.reserve(rows); });
    blobs_.reserve(rows);
    marks_.resize((rows + 63) / 64, 0);
    capacity_ = rows;
}

void EntityTable::grow(std::size_t rows) {
    reserve(std::min<std::size_t>(absent, std::max(rows, capacity_ + capacity_ / 2 + 64)));
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
