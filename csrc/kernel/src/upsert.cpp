// Upsert first finds all rows and decides everything that can go wrong, then writes.
//
// Both go block by block. A block whose rows follow each other in the table, as they do where a
// caller sends its entities in the same order each time, is compared and copied as a whole.
#include <algorithm>
#include <array>
#include <numeric>
#include <string>

#include "blocks.hpp"
#include "parallel.hpp"
#include "passes.hpp"
#include "sidereal/entity_table.hpp"
#include "sidereal/raw_vector.hpp"
#include "stream.hpp"

namespace sidereal {
namespace {

constexpr std::size_t ahead = 24;                          // rows between a fetch and its use
constexpr std::size_t part_rows = std::size_t{64} * 1024;  // fewer are not worth waking a thread
constexpr std::size_t step = 256;

std::invalid_argument id_twice(std::uint64_t id) {
    return std::invalid_argument("id " + std::to_string(id) +
                                 " comes twice in one batch: ids must be unique");
}

// Whether the slots are first, first + 1, ...
bool follow(const std::uint32_t* slots, std::size_t n) {
    std::uint32_t differ = 0;
    for (std::uint32_t i = 0; i < n; ++i) differ |= slots[i] ^ (slots[0] + i);
    return differ == 0;
}

bool same(const std::uint64_t* a, const std::uint64_t* b, std::size_t n) {
    std::uint64_t differ = 0;
    for (std::size_t i = 0; i < n; ++i) differ |= a[i] ^ b[i];
    return differ == 0;
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
        if (marked_ > marks_.size())
            std::fill(marks_.begin(), marks_.end(), 0);
        else
            for (std::size_t i = 0; i < marked_; ++i)
                if (slots_[i] < rows_) marks_[slots_[i] / 64] = 0;
    }

    // False if one of slots[begin .. begin + n), rows that follow each other, came before.
    bool add_run(std::size_t begin, std::size_t n) {
        if (marked_ == 0 && slots_[begin] >= above_) {
            above_ = slots_[begin] + static_cast<std::uint32_t>(n);
            return true;
        }
        for (std::size_t i = begin; i < begin + n; ++i)
            if (!add(i)) return false;
        return true;
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

bool usable(Vec2 position, Vec2 velocity, double size) {
    return exists(sector_of(position.x, position.y, size)) && std::isfinite(velocity.x) &&
           std::isfinite(velocity.y);
}

}  // namespace

Upsert EntityTable::upsert(std::span<const std::uint64_t> ids, std::span<const Vec2> position,
                           std::span<const Vec2> velocity, std::span<std::uint32_t> slots) {
    const std::size_t before = rows();
    RawVector<std::uint32_t> found(ids.size());
    find_rows(ids, position, velocity, slots, found);

    columns_.each([n = rows()](auto& column) { column.resize(n); });
    blobs_.resize(rows());
    const auto first_new = static_cast<std::ptrdiff_t>(before);
    std::fill(columns_.shard.begin() + first_new, columns_.shard.end(), -1);
    std::fill(columns_.handle.begin() + first_new, columns_.handle.end(), no_handle);

    const Cut cut(ids.size(), part_rows, step);
    std::vector<Upsert> parts(cut.parts());
    parallel(cut.parts(), [&](std::size_t p) {
        for (std::size_t at = cut[p].begin; at < cut[p].end; at += step)
            write_rows(position, velocity, found, {at, std::min(at + step, cut[p].end)}, before,
                       parts[p]);
    });
    Upsert out = std::move(parts[0]);
    for (std::size_t p = 1; p < parts.size(); ++p) {
        const Upsert& part = parts[p];
        out.movers.insert(out.movers.end(), part.movers.begin(), part.movers.end());
        out.invalid.insert(out.invalid.end(), part.invalid.begin(), part.invalid.end());
    }
    if (!slots.empty()) std::copy(found.begin(), found.end(), slots.begin());
    return out;
}

// Fills in `found`, as far as rows are known: by the guesses, else where rows follow each other
// from `next` on, else by the index. True if they do follow each other.
bool EntityTable::look_up(std::span<const std::uint64_t> ids,
                          std::span<const std::uint32_t> guesses, std::uint32_t next,
                          std::span<std::uint32_t> found) const {
    const std::uint64_t* const id = columns_.id.data();
    const std::size_t rows = columns_.id.size();
    if (guesses.empty() && next + ids.size() <= rows && id[next] == ids[0] &&
        same(&id[next], ids.data(), ids.size())) {
        std::iota(found.begin(), found.end(), next);
        return true;
    }
    // Where the first guess is wrong, the callers' order is another: no use in guessing on.
    const bool follows = next < rows && id[next] == ids[0];
    bool all = true;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const std::size_t slot = guesses.empty() ? (follows ? next + i : rows) : guesses[i];
        const bool right = slot < rows && id[slot] == ids[i];
        found[i] = right ? static_cast<std::uint32_t>(slot) : absent;
        all &= right;
    }
    if (!all) index_.find_absent(ids.data(), ids.size(), id, found.data());
    return false;
}

// Fills in `found`; new ids whose row can be written are appended to the id column and the index,
// nothing else. Takes everything back if it throws.
void EntityTable::find_rows(std::span<const std::uint64_t> ids, std::span<const Vec2> position,
                            std::span<const Vec2> velocity, std::span<const std::uint32_t> guesses,
                            std::span<std::uint32_t> found) {
    const std::size_t before = rows();
    Uniqueness unique(marks_, before, found);
    std::vector<std::uint64_t> strangers;  // unknown ids that get no row
    try {
        std::uint32_t next = 0;
        for (std::size_t begin = 0; begin < ids.size(); begin += SlotIndex::batch) {
            const std::size_t count = std::min(SlotIndex::batch, ids.size() - begin);
            for (std::size_t i = begin + count; i < std::min(guesses.size(), begin + 2 * count);
                 ++i)
                if (guesses[i] < rows()) __builtin_prefetch(&columns_.id[guesses[i]]);
            const bool run = look_up(ids.subspan(begin, count),
                                     guesses.empty() ? guesses : guesses.subspan(begin, count),
                                     next, found.subspan(begin, count));
            if (run && next + count <= before) {
                if (!unique.add_run(begin, count)) throw id_twice(ids[begin]);
                next += static_cast<std::uint32_t>(count);
                continue;
            }
            for (std::size_t i = begin; i < begin + count; ++i) {
                // A row that this batch has just made is not known to look_up.
                if (found[i] == absent && rows() > before) found[i] = slot(ids[i]);
                if (found[i] == absent && !usable(position[i], velocity[i], size_)) {
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
    if (rows() == capacity_) grow();
    const auto slot = static_cast<std::uint32_t>(rows());
    columns_.id.push_back(id);
    index_.insert(id, slot);
    return slot;
}

// Takes back the rows that find_rows appended.
void EntityTable::undo(std::size_t rows) {
    while (columns_.id.size() > rows) {
        index_.erase(columns_.id.back(), columns_.id.data());
        columns_.id.pop_back();
    }
}

// Writes a block of the batch, of at most `step` rows, to the slots found; adds what is invalid and
// who lies in another sector than the sector column says.
void EntityTable::write_rows(std::span<const Vec2> position, std::span<const Vec2> velocity,
                             std::span<const std::uint32_t> found, Range range, std::size_t before,
                             Upsert& out) {
    const std::size_t n = range.size();
    const Vec2* const at = position.data() + range.begin;
    const Vec2* const speed = velocity.data() + range.begin;
    const std::uint32_t* const slots = found.data() + range.begin;
    const bool run = follow(slots, n) && slots[0] + n <= rows();

    std::array<Sector, step> held;
    if (run) {
        std::copy_n(columns_.sector.begin() + slots[0], n, held.begin());
    } else {
        for (std::size_t i = 0; i < n; ++i) {
            if (range.begin + i + ahead < found.size() && slots[i + ahead] < rows())
                __builtin_prefetch(&columns_.sector[slots[i + ahead]]);
            held[i] = slots[i] < before ? columns_.sector[slots[i]] : no_sector;
        }
    }
    // A row that lies in the sector that it is held in is valid; the others are looked at exactly.
    std::array<std::uint32_t, step> doubtful;
    std::array<Vec2, step> doubtful_at;
    std::array<Sector, step> where;
    std::size_t doubts = 0;
    Flags flags;
    passes().moved_f64(&at->x, &held[0].x, n * 2, size_, flags.data());
    each_flagged(flags, n, [&](std::size_t i) {
        doubtful[doubts] = static_cast<std::uint32_t>(i);
        doubtful_at[doubts++] = at[i];
    });
    bool clean = passes().sectors_f64(&doubtful_at[0].x, doubts * 2, size_, &where[0].x, false);
    clean &= passes().finite_f64(&speed->x, n * 2);

    std::array<bool, step> bad{};
    if (!clean) {
        for (std::size_t d = 0; d < doubts; ++d) bad[doubtful[d]] = !exists(where[d]);
        for (std::size_t i = 0; i < n; ++i) {
            bad[i] |= !std::isfinite(speed[i].x) || !std::isfinite(speed[i].y);
            if (bad[i]) out.invalid.push_back(static_cast<std::uint32_t>(range.begin + i));
        }
    }
    for (std::size_t d = 0; d < doubts; ++d) {
        const std::size_t i = doubtful[d];
        if (bad[i]) continue;
        if (slots[i] >= before)
            columns_.sector[slots[i]] = where[d];
        else if (!(where[d] == held[i]))
            out.movers.push_back(slots[i]);
    }
    if (run && clean) {
        const auto copy = worth_streaming(position.size_bytes() * 4) ? stream_copy : plain_copy;
        copy(&columns_.position[slots[0]], at, n * sizeof(Vec2));
        copy(&columns_.velocity[slots[0]], speed, n * sizeof(Vec2));
        return;
    }
    for (std::size_t i = 0; i < n; ++i) {
        if (range.begin + i + ahead < found.size() && slots[i + ahead] < rows()) {
            __builtin_prefetch(&columns_.position[slots[i + ahead]], 1);
            __builtin_prefetch(&columns_.velocity[slots[i + ahead]], 1);
        }
        if (bad[i]) continue;
        columns_.position[slots[i]] = at[i];
        columns_.velocity[slots[i]] = speed[i];
    }
}

}  // namespace sidereal
