// Updates, states and ghosts packed and read again; no bytes do harm.
#include <doctest/doctest.h>

#include <stdexcept>

#include "sidereal/ghosts.hpp"
#include "sidereal/states.hpp"
#include "sidereal/updates.hpp"
#include "support.hpp"

using namespace sidereal;
using namespace sidereal::testing;

namespace {

constexpr double size = 10.0;
constexpr std::size_t count = 50;

void fill(EntityTable& table, SectorMap& map) {
    std::vector<std::uint64_t> ids;
    std::vector<Vec2> position;
    for (std::uint64_t i = 0; i < count; ++i) {
        ids.push_back(i);
        position.push_back({static_cast<double>(i) * 1.7 - 40.0, static_cast<double>(i % 7) * 9});
    }
    table.upsert(ids, position, std::vector<Vec2>(count, Vec2{1, 2}), {});
    for (std::uint32_t slot = 0; slot < count; ++slot) {
        table.bind({{slot}}, {{slot | 0x02000000u}});
        table.columns().shard[slot] = 1;
        table.columns().tick[slot] = 7;
        table.columns().state_tick[slot] = 7;
        table.blobs().set(slot, std::vector<std::uint8_t>(slot * 3, 1));
        map.set(table.columns().sector[slot], {1, 5});
    }
}

std::vector<std::vector<std::uint8_t>> datagrams(const Packed& packed) {
    std::vector<std::vector<std::uint8_t>> out;
    for (std::size_t d = 0; d + 1 < packed.offsets.size(); ++d)
        out.emplace_back(packed.data.begin() + packed.offsets[d],
                         packed.data.begin() + packed.offsets[d + 1]);
    return out;
}

std::vector<std::uint32_t> every() {
    std::vector<std::uint32_t> slots;
    for (std::uint32_t i = 0; i < count; ++i) slots.push_back(i);
    return slots;
}

// Flips, cuts, lengthens.
std::vector<std::uint8_t> damaged(Random& random, std::vector<std::uint8_t> payload) {
    for (std::uint64_t step = random() % 4; step > 0; --step) {
        if (payload.empty()) payload.push_back(0);
        const std::size_t at = random() % payload.size();
        switch (random() % 3) {
            case 0:
                payload[at] = static_cast<std::uint8_t>(random());
                break;
            case 1:
                payload.resize(at);
                break;
            default:
                payload.resize(payload.size() + random() % 50);
                break;
        }
    }
    payload.shrink_to_fit();  // so that reading past the end is seen
    return payload;
}

}  // namespace

TEST_CASE("updates arrive, once") {
    EntityTable table(size);
    SectorMap map;
    fill(table, map);
    const Packed packed = pack_updates(table, every(), size, 7, map, 3, 200);
    CHECK(packed.skipped.empty());
    CHECK(packed.order.size() == count);
    for (std::uint32_t& tick : table.columns().tick) tick = 6;
    UpdateTally tally;
    for (const auto& payload : datagrams(packed)) {
        CHECK(payload.size() <= 200);
        for (int again = 0; again < 2; ++again) apply_updates(table, payload, 1, map, size, tally);
        apply_updates(table, payload, 2, map, size, tally);
    }
    CHECK(tally.applied == count);
    CHECK(tally.stale_tick == count);
    CHECK(tally.wrong_owner == count);
    CHECK(tally.malformed == 0);
}

TEST_CASE("no bytes do harm") {
    EntityTable table(size);
    SectorMap map;
    fill(table, map);
    const auto updates = datagrams(pack_updates(table, every(), size, 7, map, 3, 200));
    const auto states = datagrams(pack_states(table, every(), 3, 400));
    const auto& ids = table.columns().id;
    std::vector<std::uint32_t> flags(count);
    const auto copies = datagrams(
        pack_ghosts(ids, table.columns().position, table.columns().velocity, flags, 3, 7, 300));
    for (std::uint32_t& tick : table.columns().tick) tick = 6;
    Random random(9);
    UpdateTally tally;
    for (int round = 0; round < 20000; ++round) {
        apply_updates(table, damaged(random, updates[random() % updates.size()]), 1, map, size,
                      tally);
        apply_states(table, damaged(random, states[random() % states.size()]), 1, tally);
        mark_updates(table, damaged(random, updates[random() % updates.size()]), 2);
        try {
            unpack_ghosts(damaged(random, copies[random() % copies.size()]));
        } catch (const std::invalid_argument&) {
            ++tally.malformed;
        }
    }
    CHECK(tally.applied > 0);
    CHECK(tally.malformed > 10000);
    CHECK(table.rows() == count);
    for (const Vec2 p : table.columns().position) CHECK(exists(sector_of(p.x, p.y, size)));
}
