// What a tick writes and sends, at the edges: blocks that are not full, rows that nobody wants or
// that no update can carry, slots in any order and more than once, states of any length.
#include <doctest/doctest.h>

#include "sidereal/updates.hpp"
#include "support.hpp"

using namespace sidereal;
using namespace sidereal::testing;

namespace {

constexpr double size = 10.0;
constexpr std::uint32_t tick = 7;
constexpr std::uint8_t mark = 2;

std::vector<std::uint32_t> every(std::size_t count) {
    std::vector<std::uint32_t> slots;
    for (std::uint32_t i = 0; i < count; ++i) slots.push_back(i);
    return slots;
}

void fill(EntityTable& table, std::size_t count) {
    std::vector<std::uint64_t> ids;
    std::vector<Vec2> position;
    for (std::size_t i = 0; i < count; ++i) {
        ids.push_back(i);
        position.push_back({static_cast<double>(i / 20) * 4.0, 1.0});
    }
    table.upsert(ids, position, std::vector<Vec2>(count, Vec2{1, 2}), {});
    for (std::uint32_t slot = 0; slot < count; ++slot) table.bind({{slot}}, {{slot | 0x02000000u}});
}

bool chance(Random& random, int percent) {
    return static_cast<int>(random() % 100) < percent;
}

template <class T, class U>
bool equal(const T& a, const U& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace

TEST_CASE("whoever of a block is marked is collected, and nobody else") {
    Random random(21);
    for (const std::size_t count : {0, 1, 7, 8, 9, 127, 128, 129, 135, 257}) {
        for (const int wanted : {0, 2, 20, 30, 97, 100})
            for (const int flawed : {0, 2, 50}) {
                EntityTable table(size, count);
                fill(table, count);
                SectorMap map;
                Columns& c = table.columns();
                std::vector<std::uint32_t> marked;
                std::vector<std::uint8_t> left;
                for (std::uint32_t slot = 0; slot < count; ++slot) {
                    map.set(c.sector[slot], {1, 5});
                    c.phase[slot] = chance(random, wanted) ? 0 : static_cast<std::uint8_t>(128);
                    c.tick[slot] = chance(random, 95) ? tick : tick + 1;
                    c.dirty[slot] = chance(random, 95) ? 0xFF : static_cast<std::uint8_t>(~mark);
                    const bool is =
                        c.phase[slot] == 0 && c.tick[slot] == tick && (c.dirty[slot] & mark) != 0;
                    if (is) marked.push_back(slot);
                    left.push_back(is ? static_cast<std::uint8_t>(c.dirty[slot] & ~mark)
                                      : c.dirty[slot]);
                    // Those that nobody wants are flawed too: they have no say in the others.
                    if (!chance(random, flawed)) continue;
                    if (chance(random, 40)) c.sector[slot] = {c.sector[slot].x + 5, 0};
                    if (chance(random, 40)) c.velocity[slot].y = 1e300;
                    if (chance(random, 40)) c.handle[slot] = no_handle;
                    if (chance(random, 20)) c.sector[slot] = no_sector;
                }
                const Packed want = pack_updates(table, marked, size, tick, map, 3, 200);
                const Packed got = collect_updates(table, size, tick, map, mark, 3, 200);
                REQUIRE(equal(got.data, want.data));
                REQUIRE(got.offsets == want.offsets);
                REQUIRE(got.skipped == want.skipped);
                REQUIRE(want.order.size() + want.skipped.size() == marked.size());
                REQUIRE(equal(c.dirty, left));
                if (flawed == 0) REQUIRE(got.skipped.empty());
            }
    }
}

TEST_CASE("states of any lengths are written as one by one, and marked where they differ") {
    Random random(22);
    const std::vector<std::vector<std::uint32_t>> kinds = {
        {8}, {16}, {24}, {32}, {48}, {64}, {0}, {40}, {0, 60000}, {8, 16}, {64, 63}, {48, 8, 0}};
    for (const std::size_t count : {1, 15, 16, 17, 40})
        for (const auto& kind : kinds) {
            EntityTable table(size, count);
            fill(table, count);
            std::vector<std::vector<std::uint8_t>> truth(count);
            for (int round = 0; round < 6; ++round) {
                std::vector<std::uint32_t> slots = every(count), lengths;
                if (round % 2 != 0)
                    for (std::uint32_t& slot : slots)
                        slot = static_cast<std::uint32_t>(random() % count);
                std::vector<std::uint8_t> bytes, dirty(count);
                std::fill(table.columns().dirty.begin(), table.columns().dirty.end(),
                          std::uint8_t{0});
                for (const std::uint32_t slot : slots) {
                    const std::uint32_t length = kind[random() % kind.size()];
                    lengths.push_back(length);
                    const std::vector<std::uint8_t> state(length,
                                                          static_cast<std::uint8_t>(random() % 2));
                    bytes.insert(bytes.end(), state.begin(), state.end());
                    if (state != truth[slot]) dirty[slot] = mark;
                    truth[slot] = state;
                }
                bytes.shrink_to_fit();  // so that reading past the end is seen
                table.set_states(slots, lengths, bytes, mark);
                REQUIRE(equal(table.columns().dirty, dirty));
                for (std::uint32_t slot = 0; slot < count; ++slot)
                    REQUIRE(equal(table.blobs().get(slot), truth[slot]));
            }
        }
}

TEST_CASE("rows are copied out, stamped and moved by slots in any order") {
    Random random(23);
    for (const std::size_t count : {1, 16, 17, 33, 200}) {
        EntityTable table(size, count);
        fill(table, count);
        Columns& c = table.columns();
        for (int round = 0; round < 20; ++round) {
            std::vector<std::uint32_t> slots;
            for (std::size_t i = random() % (2 * count); i > 0; --i)
                slots.push_back(chance(random, 80) && !slots.empty() && slots.back() + 1 < count
                                    ? slots.back() + 1
                                    : static_cast<std::uint32_t>(random() % count));
            table.stamp(slots, static_cast<std::uint32_t>(round));
            const Batch batch = table.batch(slots);
            REQUIRE(batch.id.size() == slots.size());
            for (std::size_t i = 0; i < slots.size(); ++i) {
                REQUIRE(batch.id[i] == slots[i]);
                REQUIRE(batch.tick[i] == static_cast<std::uint32_t>(round));
                REQUIRE(batch.position[i].x == c.position[slots[i]].x);
            }
            std::fill(c.dirty.begin(), c.dirty.end(), std::uint8_t{0});
            std::vector<Vec2> position(batch.position.begin(), batch.position.end());
            const std::vector<Vec2> velocity(batch.velocity.begin(), batch.velocity.end());
            std::vector<std::uint8_t> dirty(count);
            std::vector<std::uint32_t> refused;
            for (std::uint32_t i = 0; i < slots.size(); ++i) {
                if (chance(random, 10)) {
                    position[i].y = NAN;
                    refused.push_back(i);
                }
            }
            REQUIRE(table.advance(slots, position, velocity, mark) == refused);
            REQUIRE(equal(c.dirty, dirty));  // nobody moved
            for (std::size_t i = 0; i < slots.size(); ++i) {
                position[i] = {-0.0, 1.0};  // in a sector, and another bit than 0.0
                dirty[slots[i]] = std::signbit(c.position[slots[i]].x) ? 0 : mark;
            }
            table.advance(slots, position, velocity, mark);
            REQUIRE(equal(c.dirty, dirty));
        }
    }
}
