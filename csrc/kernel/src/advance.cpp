// What a tick reads and writes: rows that are known by their slots are copied out; new positions
// and states come back, and beside them a mark on each row that is not as it was.
#include <algorithm>
#include <array>

#include "blocks.hpp"
#include "passes.hpp"
#include "sidereal/entity_table.hpp"

namespace sidereal {
namespace {

// 1 if they differ, without a branch.
unsigned differ(Vec2 a, Vec2 b) {
    return unsigned{a.x != b.x} | unsigned{a.y != b.y};
}

// Calls f with where each run of slots that follow one another begins, and how long it is. Those
// that a tick simulates are almost all that there are.
template <class F>
void each_run(std::span<const std::uint32_t> slots, F&& f) {
    for (std::size_t begin = 0; begin < slots.size();) {
        std::size_t end = begin + 1;
        while (end < slots.size() && slots[end] == slots[begin] + (end - begin)) ++end;
        f(begin, end - begin);
        begin = end;
    }
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
    std::size_t next = 0;
    for (std::size_t i = 0; i < slots.size(); ++i) {
        if (next < invalid.size() && invalid[next] == i) {
            ++next;
            continue;
        }
        const std::uint32_t slot = slots[i];
        Vec2& at = columns_.position[slot];
        Vec2& speed = columns_.velocity[slot];
        const unsigned moved = differ(at, position[i]) | differ(speed, velocity[i]);
        columns_.dirty[slot] |= moved != 0 ? mark : std::uint8_t{0};
        at = position[i];
        speed = velocity[i];
    }
    return invalid;
}

Batch EntityTable::batch(std::span<const std::uint32_t> slots) const {
    require_slots(slots);
    Batch out;
    const auto copy = [slots]<class T>(const LargeVector<T>& column, RawVector<T>& to) {
        to.resize(slots.size());
        each_run(slots, [&](std::size_t begin, std::size_t rows) {
            std::copy_n(column.data() + slots[begin], rows, to.data() + begin);
        });
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
    for (std::size_t i = 0; i < slots.size(); ++i) {
        if (i + ahead < slots.size()) blobs_.prefetch(slots[i + ahead]);
        const std::span<const std::uint8_t> blob = bytes.first(lengths[i]);
        bytes = bytes.subspan(lengths[i]);
        const bool changed = blobs_.length(slots[i]) == blob.size()
                                 ? blobs_.overwrite(slots[i], blob)
                                 : (blobs_.set(slots[i], blob), true);
        columns_.dirty[slots[i]] |= changed ? mark : std::uint8_t{0};
    }
}

}  // namespace sidereal
