// What a tick writes: new positions and states of rows that are known by their slots, and beside
// them a mark on each row that is not as it was.
#include <algorithm>
#include <array>

#include "blocks.hpp"
#include "passes.hpp"
#include "sidereal/entity_table.hpp"

namespace sidereal {
namespace {

bool differ(Vec2 a, Vec2 b) {
    return a.x != b.x || a.y != b.y;
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
        if (differ(at, position[i]) || differ(speed, velocity[i])) columns_.dirty[slot] |= mark;
        at = position[i];
        speed = velocity[i];
    }
    return invalid;
}

void EntityTable::set_states(std::span<const std::uint32_t> slots,
                             std::span<const std::uint32_t> lengths,
                             std::span<const std::uint8_t> bytes, std::uint8_t mark) {
    constexpr std::size_t ahead = 16;
    for (std::size_t i = 0; i < slots.size(); ++i) {
        if (i + ahead < slots.size()) blobs_.prefetch(slots[i + ahead]);
        const std::span<const std::uint8_t> blob = bytes.first(lengths[i]);
        bytes = bytes.subspan(lengths[i]);
        const auto before = blobs_.get(slots[i]);
        if (before.size() == blob.size() && std::equal(before.begin(), before.end(), blob.begin()))
            continue;
        blobs_.set(slots[i], blob);
        columns_.dirty[slots[i]] |= mark;
    }
}

}  // namespace sidereal
