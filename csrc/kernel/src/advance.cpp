// What a tick reads and writes: rows that are known by their slots are copied out; new positions
// and states come back, and beside them a mark on each row that is not as it was.
#include <algorithm>
#include <array>
#include <bit>

#include "blocks.hpp"
#include "passes.hpp"
#include "runs.hpp"
#include "sidereal/entity_table.hpp"

namespace sidereal {
namespace {

// Not 0 if any bit differs. Both zeros are told apart: a position that turns from one into the
// other is sent once more.
std::uint64_t differ(Vec2 a, Vec2 b) {
    const auto bits = [](double v) { return std::bit_cast<std::uint64_t>(v); };
    return (bits(a.x) ^ bits(b.x)) | (bits(a.y) ^ bits(b.y));
}

// The rows of a batch that must not be written, ascending.
std::vector<std::uint32_t> find_invalid(std::span<const Vec2> position,
                                        std::span<const Vec2> velocity, double size) {
    std::vector<std::uint32_t> invalid;
    std::array<Sector, block_rows> where;
    each_block({0, position.size()}, [&](std::size_t begin, std::size_t rows) {
        const bool placed =
            passes().sectors_f64(&position[begin].x, rows * 2, size, &where[0].x, false);
        if (placed && passes().finite_f64(&velocity[begin].x, rows * 2)) return;
        for (std::size_t i = 0; i < rows; ++i)
            if (!exists(where[i]) || !std::isfinite(velocity[begin + i].x) ||
                !std::isfinite(velocity[begin + i].y))
                invalid.push_back(static_cast<std::uint32_t>(begin + i));
    });
    return invalid;
}

}  // namespace

std::vector<std::uint32_t> EntityTable::advance(std::span<const std::uint32_t> slots,
                                                std::span<const Vec2> position,
                                                std::span<const Vec2> velocity, std::uint8_t mark) {
    require_slots(slots);
    std::vector<std::uint32_t> invalid = find_invalid(position, velocity, size_);
    // By themselves: after each mark, a byte that could be anything's, the columns would be asked
    // anew where they are.
    Vec2* const at = columns_.position.data();
    Vec2* const speed = columns_.velocity.data();
    std::uint8_t* const dirty = columns_.dirty.data();
    std::size_t next = 0;
    for (std::size_t i = 0; i < slots.size(); ++i) {
        if (next < invalid.size() && invalid[next] == i) {
            ++next;
            continue;
        }
        const std::uint32_t slot = slots[i];
        const std::uint64_t moved =
            differ(at[slot], position[i]) | differ(speed[slot], velocity[i]);
        dirty[slot] |= moved != 0 ? mark : std::uint8_t{0};
        at[slot] = position[i];
        speed[slot] = velocity[i];
    }
    return invalid;
}

Batch EntityTable::batch(std::span<const std::uint32_t> slots) const {
    require_slots(slots);
    Batch out;
    std::vector<Range> runs;  // of slots; found once, and not for each column
    each_run(slots, [&](std::size_t begin, std::size_t rows) {
        runs.push_back({slots[begin], slots[begin] + rows});
    });
    const auto copy = [&]<class T>(const LargeVector<T>& column, RawVector<T>& to) {
        to.resize(slots.size());
        T* next = to.data();
        for (const Range run : runs)
            next = std::copy(column.data() + run.begin, column.data() + run.end, next);
    };
    copy(columns_.id, out.id), copy(columns_.position, out.position);
    copy(columns_.velocity, out.velocity), copy(columns_.tick, out.tick);
    copy(columns_.flags, out.flags), copy(columns_.phase, out.phase);
    return out;
}

void EntityTable::stamp(std::span<const std::uint32_t> slots, std::uint32_t tick) {
    require_slots(slots);
    each_run(slots, [&](std::size_t begin, std::size_t rows) {
        std::fill_n(columns_.tick.data() + slots[begin], rows, tick);
    });
}

void EntityTable::set_states(std::span<const std::uint32_t> slots,
                             std::span<const std::uint32_t> lengths,
                             std::span<const std::uint8_t> bytes, std::uint8_t mark) {
    constexpr std::size_t ahead = 16;
    std::uint8_t* const dirty = columns_.dirty.data();
    for (std::size_t i = 0; i < slots.size();) {
        // Nearly always all of them: as long as each other, and as those that they replace.
        const std::size_t even = blobs_.overwrite_even(
            slots.subspan(i), lengths.subspan(i), bytes.data(), [&](std::size_t at, bool changed) {
                dirty[slots[i + at]] |= changed ? mark : std::uint8_t{0};
            });
        bytes = bytes.subspan(even * lengths[i]);
        i += even;
        if (i == slots.size()) break;
        if (i + ahead < slots.size()) blobs_.prefetch(slots[i + ahead]);
        const std::span<const std::uint8_t> blob = bytes.first(lengths[i]);
        const bool changed = blobs_.length(slots[i]) == blob.size()
                                 ? blobs_.overwrite(slots[i], blob)
                                 : (blobs_.set(slots[i], blob), true);
        dirty[slots[i]] |= changed ? mark : std::uint8_t{0};
        bytes = bytes.subspan(blob.size());
        ++i;
    }
}

}  // namespace sidereal
