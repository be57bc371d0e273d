// Upsert first finds all rows and decides everything that can go wrong, then writes.
#include "sidereal/entity_table.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "blocks.hpp"
#include "passes.hpp"
#include "sidereal/raw_vector.hpp"

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

namespace {

constexpr std::size_t ahead = 24;  // rows between asking for memory and using it

// The sectors of a block of positions; false if some row has none.
bool block_sectors(const Vec2* position, std::size_t rows, double size, Sector* out) {
    return passes().sectors_f64(&position->x, rows * 2, size, &out->x);
}

bool finite(Vec2 v) {
    return std::isfinite(v.x) && std::isfinite(v.y);
}

bool all_finite(const Vec2* v, std::size_t rows) {
    unsigned bad = 0;
    for (std::size_t i = 0; i < rows; ++i) bad |= !finite(v[i]);
    return bad == 0;
}

}  // namespace

Upsert EntityTable::upsert(std::span<const std::uint64_t> ids, std::span<const Vec2> position,
                           std::span<const Vec2> velocity, std::span<std::uint32_t> slots) {
    Upsert out;
    const std::size_t before = rows();
    RawVector<std::uint32_t> found(ids.size());
    find_invalid(position, velocity, out.invalid);
    find_rows(ids, slots, out.invalid, found);

    columns_.each([n = rows()](auto& column) { column.resize(n); });
    blobs_.resize(rows());
    const auto first_new = static_cast<std::ptrdiff_t>(before);
    std::fill(columns_.shard.begin() + first_new, columns_.shard.end(), -1);
    std::fill(columns_.handle.begin() + first_new, columns_.handle.end(), no_handle);
    write_rows(position, velocity, found, out.invalid, before, out.movers);
    if (!slots.empty()) std::copy(found.begin(), found.end(), slots.begin());
    return out;
}

// The rows of a batch that must not be written, ascending.
void EntityTable::find_invalid(std::span<const Vec2> position, std::span<const Vec2> velocity,
                               std::vector<std::uint32_t>& invalid) const {
    std::array<Sector, block_rows> where;
    for (std::size_t begin = 0; begin < position.size(); begin += block_rows) {
        const std::size_t rows = std::min(block_rows, position.size() - begin);
        const bool clean = block_sectors(&position[begin], rows, size_, where.data());
        if (clean && all_finite(&velocity[begin], rows)) continue;
        for (std::size_t i = 0; i < rows; ++i)
            if (!exists(where[i]) || !finite(velocity[begin + i]))
                invalid.push_back(static_cast<std::uint32_t>(begin + i));
    }
}

// Fills in `found`; new valid ids are appended to the id column and the index, nothing else.
// Takes everything back if it throws.
void EntityTable::find_rows(std::span<const std::uint64_t> ids,
                            std::span<const std::uint32_t> guesses,
                            std::span<const std::uint32_t> invalid,
                            std::span<std::uint32_t> found) {
    const std::size_t before = rows();
    std::vector<std::uint64_t> strangers;  // unknown ids that get no row
    std::size_t done = 0;
    // Slots that only rise cannot repeat; the first that does not makes us mark them all.
    bool rising = true;
    std::uint32_t next = 0;
    const auto mark = [&](std::uint32_t slot) {
        if (slot >= before) return false;
        const std::uint64_t bit = std::uint64_t{1} << (slot % 64);
        const bool marked = marks_[slot / 64] & bit;
        marks_[slot / 64] |= bit;
        return marked;
    };
    const auto unmark = [&] {
        for (std::size_t i = 0; i < done; ++i)
            if (found[i] < before) marks_[found[i] / 64] = 0;
    };
    const auto is_at = [&](std::uint32_t slot, std::uint64_t id) {
        return slot < columns_.id.size() && columns_.id[slot] == id;
    };
    const auto find = [&](std::size_t i) {
        if (!guesses.empty() && is_at(guesses[i], ids[i])) return guesses[i];
        if (is_at(next, ids[i])) return next;
        prefetch(ids, i);
        return slot(ids[i]);
    };
    try {
        std::size_t next_invalid = 0;
        for (; done < ids.size(); ++done) {
            const std::size_t i = done;
            const std::uint64_t id = ids[i];
            if (!guesses.empty() && i + ahead < ids.size() && guesses[i + ahead] < rows())
                __builtin_prefetch(&columns_.id[guesses[i + ahead]]);
            std::uint32_t slot = find(i);
            const bool bad = next_invalid < invalid.size() && invalid[next_invalid] == i;
            next_invalid += bad;
            found[i] = slot;
            if (slot == absent && bad) {
                strangers.push_back(id);
                continue;
            }
            if (slot == absent) {
                if (rows() == capacity_) grow(rows() + 1);
                slot = static_cast<std::uint32_t>(rows());
                columns_.id.push_back(id);
                index_.insert(id, slot, columns_.id.data());
                found[i] = slot;
            } else if (slot >= before) {
                throw id_twice(id);
            } else if (slot < next && rising) {
                rising = false;
                for (std::size_t j = 0; j < i; ++j) mark(found[j]);
                if (mark(slot)) throw id_twice(id);
            } else if (!rising && mark(slot)) {
                throw id_twice(id);
            }
            next = slot + 1;
        }
        std::sort(strangers.begin(), strangers.end());
        for (std::size_t i = 0; i < strangers.size(); ++i)
            if ((i > 0 && strangers[i] == strangers[i - 1]) || slot(strangers[i]) != absent)
                throw id_twice(strangers[i]);
    } catch (...) {
        if (!rising) unmark();
        undo(before);
        throw;
    }
    if (!rising) unmark();
}

// Asks for what the lookups of later ids will need.
void EntityTable::prefetch(std::span<const std::uint64_t> ids, std::size_t i) const {
    if (i + ahead < ids.size()) index_.prefetch(ids[i + ahead]);
    if (i + ahead / 2 >= ids.size()) return;
    const std::uint32_t slot = index_.guess(ids[i + ahead / 2]);
    if (slot < rows()) __builtin_prefetch(&columns_.id[slot]);
}

// Writes the batch, `invalid` rows aside, to the slots found.
void EntityTable::write_rows(std::span<const Vec2> position, std::span<const Vec2> velocity,
                             std::span<const std::uint32_t> found,
                             std::span<const std::uint32_t> invalid, std::size_t before,
                             std::vector<std::uint32_t>& movers) {
    std::array<Sector, block_rows> where;
    std::size_t next_invalid = 0;
    for (std::size_t begin = 0; begin < position.size(); begin += block_rows) {
        const std::size_t rows = std::min(block_rows, position.size() - begin);
        block_sectors(&position[begin], rows, size_, where.data());
        for (std::size_t i = begin; i < begin + rows; ++i) {
            if (i + ahead < found.size() && found[i + ahead] < this->rows()) {
                const std::uint32_t later = found[i + ahead];
                __builtin_prefetch(&columns_.sector[later], 1);
                __builtin_prefetch(&columns_.position[later], 1);
                __builtin_prefetch(&columns_.velocity[later], 1);
            }
            if (next_invalid < invalid.size() && invalid[next_invalid] == i) {
                ++next_invalid;
                continue;
            }
            const std::uint32_t slot = found[i];
            columns_.position[slot] = position[i];
            columns_.velocity[slot] = velocity[i];
            if (slot >= before)
                columns_.sector[slot] = where[i - begin];
            else if (!(columns_.sector[slot] == where[i - begin]))
                movers.push_back(slot);
        }
    }
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
    index_.reserve(rows, columns_.id.data());
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

}  // namespace sidereal
