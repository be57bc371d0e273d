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

// Sees a slot that comes twice. Slots that only rise cannot repeat; the first that does not makes
// it mark them all.
class Uniqueness {
  public:
    Uniqueness(std::vector<std::uint64_t>& marks, std::size_t rows,
               std::span<const std::uint32_t> slots)
        : marks_(marks), rows_(rows), slots_(slots) {}
    Uniqueness(const Uniqueness&) = delete;
    Uniqueness& operator=(const Uniqueness&) = delete;

    ~Uniqueness() {
        for (std::size_t i = 0; i < marked_; ++i)
            if (slots_[i] < rows_) marks_[slots_[i] / 64] = 0;
    }

    // False if slots[i], a row, is among those before it. Called for rising i.
    bool add(std::size_t i) {
        const std::uint32_t slot = slots_[i];
        if (marked_ == 0 && slot >= above_) {
            above_ = slot + 1;
            return true;
        }
        for (; marked_ < i; ++marked_) mark(slots_[marked_]);
        ++marked_;
        return !mark(slot);
    }

  private:
    // Whether the slot, if it is a row, had its mark already.
    bool mark(std::uint32_t slot) {
        if (slot >= rows_) return false;
        const std::uint64_t bit = std::uint64_t{1} << (slot % 64);
        const bool before = marks_[slot / 64] & bit;
        marks_[slot / 64] |= bit;
        return before;
    }

    std::vector<std::uint64_t>& marks_;
    std::size_t rows_;
    std::span<const std::uint32_t> slots_;
    std::size_t marked_ = 0;
    std::uint32_t above_ = 0;
};

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

// Fills in `found`, as far as rows are known: by the guesses, else where rows follow each other,
// else by the index.
void EntityTable::look_up(std::span<const std::uint64_t> ids,
                          std::span<const std::uint32_t> guesses, std::uint32_t next,
                          std::span<std::uint32_t> found) const {
    bool all = true;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const std::size_t slot = guesses.empty() ? next + i : guesses[i];
        const bool right = slot < columns_.id.size() && columns_.id[slot] == ids[i];
        found[i] = right ? static_cast<std::uint32_t>(slot) : absent;
        all &= right;
    }
    if (!all) index_.find_absent(ids.data(), ids.size(), columns_.id.data(), found.data());
}

// Fills in `found`; new valid ids are appended to the id column and the index, nothing else.
// Takes everything back if it throws.
void EntityTable::find_rows(std::span<const std::uint64_t> ids,
                            std::span<const std::uint32_t> guesses,
                            std::span<const std::uint32_t> invalid,
                            std::span<std::uint32_t> found) {
    const std::size_t before = rows();
    Uniqueness unique(marks_, before, found);
    std::vector<std::uint64_t> strangers;  // unknown ids that get no row
    try {
        std::size_t next_invalid = 0;
        std::uint32_t next = 0;
        for (std::size_t begin = 0; begin < ids.size(); begin += SlotIndex::batch) {
            const std::size_t count = std::min(SlotIndex::batch, ids.size() - begin);
            look_up(ids.subspan(begin, count),
                    guesses.empty() ? guesses : guesses.subspan(begin, count), next,
                    found.subspan(begin, count));
            for (std::size_t i = begin; i < begin + count; ++i) {
                const bool bad = next_invalid < invalid.size() && invalid[next_invalid] == i;
                next_invalid += bad;
                // A row that this batch has just made is not known to look_up.
                if (found[i] == absent && rows() > before) found[i] = slot(ids[i]);
                if (found[i] == absent && bad) {
                    strangers.push_back(ids[i]);
                    continue;
                }
                if (found[i] == absent)
                    found[i] = append(ids[i]);
                else if (found[i] >= before || !unique.add(i))
                    throw id_twice(ids[i]);
                next = found[i] + 1;
            }
        }
        std::sort(strangers.begin(), strangers.end());
        for (std::size_t i = 0; i < strangers.size(); ++i)
            if ((i > 0 && strangers[i] == strangers[i - 1]) || slot(strangers[i]) != absent)
                throw id_twice(strangers[i]);
    } catch (...) {
        undo(before);
        throw;
    }
}

// Gives a new id the next slot.
std::uint32_t EntityTable::append(std::uint64_t id) {
    if (rows() == capacity_) grow(rows() + 1);
    const auto slot = static_cast<std::uint32_t>(rows());
    columns_.id.push_back(id);
    index_.insert(id, slot, columns_.id.data());
    return slot;
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
            const std::size_t later = i + ahead < found.size() ? found[i + ahead] : absent;
            if (later != found[i] + ahead && later < this->rows()) {
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

std::vector<std::uint32_t> EntityTable::find(Sector sector,
                                             std::optional<std::int32_t> shard) const {
    std::vector<std::uint32_t> found;
    for (std::size_t row = 0; row < rows(); ++row)
        if (columns_.sector[row] == sector && (!shard || columns_.shard[row] == *shard))
            found.push_back(static_cast<std::uint32_t>(row));
    return found;
}

}  // namespace sidereal
