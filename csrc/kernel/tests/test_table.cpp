// The entity table through churn: rows keep what belongs to them.
#include <doctest/doctest.h>

#include <map>
#include <stdexcept>

#include "sidereal/entity_table.hpp"
#include "support.hpp"

using namespace sidereal;
using namespace sidereal::testing;

namespace {

std::vector<std::uint8_t> blob(std::uint64_t id, std::size_t length) {
    return std::vector<std::uint8_t>(length, static_cast<std::uint8_t>(id));
}

}  // namespace

TEST_CASE("rows keep what belongs to them through churn") {
    Random random(8);
    EntityTable table(10.0);
    std::map<std::uint64_t, std::size_t> lengths;
    for (int round = 0; round < 300; ++round) {
        std::map<std::uint64_t, Vec2> batch;
        for (int i = 0; i < 40; ++i)
            batch[random() % 500] = {border(random, 10.0), static_cast<double>(random() % 100)};
        std::vector<std::uint64_t> ids;
        std::vector<Vec2> position, velocity;
        for (const auto& [id, p] : batch) {
            ids.push_back(id);
            position.push_back(p);
            velocity.push_back({1, static_cast<double>(id)});
        }
        std::vector<std::uint32_t> slots(ids.size(), 3);
        table.upsert(ids, position, velocity, slots);
        for (std::size_t i = 0; i < ids.size(); ++i) {
            REQUIRE(table.slot(ids[i]) == slots[i]);
            if (slots[i] == absent) continue;
            const std::size_t length = random() % 5000;
            const auto handle = static_cast<std::uint32_t>(ids[i] * 31);
            table.bind({{slots[i]}}, {{handle}});
            table.blobs().set(slots[i], blob(ids[i], length));
            lengths[ids[i]] = length;
        }
        std::vector<std::uint64_t> gone;
        for (int i = 0; i < 30; ++i) gone.push_back(random() % 500);
        table.remove(gone);
        for (const std::uint64_t id : gone) lengths.erase(id);

        REQUIRE(table.rows() == lengths.size());
        std::size_t live = 0;
        for (const auto& [id, length] : lengths) {
            const std::uint32_t slot = table.slot(id);
            REQUIRE(slot < table.rows());
            REQUIRE(table.columns().velocity[slot].y == static_cast<double>(id));
            REQUIRE(table.resolve(static_cast<std::uint32_t>(id * 31)) == slot);
            const auto bytes = table.blobs().get(slot);
            REQUIRE(std::vector(bytes.begin(), bytes.end()) == blob(id, length));
            live += length;
        }
        REQUIRE(table.blobs().live_bytes() == live);
        REQUIRE(table.blobs().arena_bytes() < 4 * live + (1 << 20));
    }
}

TEST_CASE("an id twice leaves everything as it was") {
    EntityTable table(1.0);
    const std::vector<Vec2> at(3), still(3);
    table.upsert({{1, 2, 3}}, at, still, {});
    const std::vector<Vec2> elsewhere(3, Vec2{5, 5});
    for (const std::vector<std::uint64_t>& ids :
         {std::vector<std::uint64_t>{2, 9, 2}, {8, 9, 8}, {9, 3, 3}}) {
        CHECK_THROWS_AS(table.upsert(ids, elsewhere, still, {}), std::invalid_argument);
        CHECK(table.rows() == 3);
        CHECK(table.slot(9) == absent);
        CHECK(table.columns().position[1].x == 0.0);
    }
    CHECK(table.upsert({{2, 9, 8}}, elsewhere, still, {}).movers == std::vector<std::uint32_t>{1});
}

TEST_CASE("a pinned table does not grow") {
    EntityTable table(1.0, 2);
    table.pin();
    const std::vector<Vec2> at(3), still(3);
    CHECK_THROWS_AS(table.upsert({{1, 2, 3}}, at, still, {}), GrowthRefused);
    CHECK(table.rows() == 0);
    CHECK(table.slot(1) == absent);
    table.unpin();
    table.upsert({{1, 2, 3}}, at, still, {});
    CHECK(table.rows() == 3);
}

TEST_CASE("a blob may be copied from the arena itself") {
    BlobArena arena;
    arena.resize(2);
    arena.set(0, blob(7, 3000));
    arena.set(1, arena.get(0));
    arena.set(0, arena.get(1).subspan(1000));
    CHECK(arena.get(0).size() == 2000);
    CHECK(arena.get(1).back() == 7);
    CHECK_THROWS_AS(arena.set(0, blob(1, blob_bytes_max + 1)), std::invalid_argument);
}
