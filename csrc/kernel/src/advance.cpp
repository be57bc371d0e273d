// What a tick writes: new positions and states of rows that are known by their slots, and beside
// them a mark on each row that is not as it was.
#include <algorithm>

#include "sidereal/entity_table.hpp"

namespace sidereal {
namespace {

bool differ(Vec2 a, Vec2 b) {
    return a.x != b.x || a.y != b.y;
}

}  // namespace

std::vector<std::uint32_t> EntityTable::advance(std::span<const std::uint32_t> slots,
                                                std::span<const Vec2> position,
                                                std::span<const Vec2> velocity, std::uint8_t mark) {
    require_slots(slots);
    std::vector<std::uint32_t> invalid;
    find_invalid(position, velocity, invalid);
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

void EntityTable::set_state(std::uint32_t slot, std::span<const std::uint8_t> bytes,
                            std::uint8_t mark) {
    const auto before = blobs_.get(slot);
    if (before.size() == bytes.size() && std::equal(before.begin(), before.end(), bytes.begin()))
        return;
    blobs_.set(slot, bytes);
    columns_.dirty[slot] |= mark;
}

}  // namespace sidereal
