// The hash indices, against a map that does the same slowly.
#include <doctest/doctest.h>

#include <map>
#include <unordered_map>

#include "sidereal/handle_index.hpp"
#include "sidereal/sector_map.hpp"
#include "sidereal/slot_index.hpp"
#include "support.hpp"

using namespace sidereal;
using namespace sidereal::testing;

TEST_CASE("an index does what a map does") {
    Random random(3);
    std::vector<std::uint64_t> keys;
    std::unordered_map<std::uint64_t, std::uint32_t> truth;
    SlotIndex index;
    const auto key = [&] {
        const std::uint64_t k = random() % 600;
        return k < 3 ? ~k : k << 40;  // all ones, and keys that differ only high up
    };
    for (int step = 0; step < 60000; ++step) {
        const std::uint64_t k = key();
        const bool growing = step / 10000 % 2 == 0;
        const auto found = truth.find(k);
        REQUIRE(index.find(k, keys.data()) == (found == truth.end() ? absent : found->second));
        if (found == truth.end() && (growing || random() % 4 == 0)) {
            keys.push_back(k);
            truth[k] = static_cast<std::uint32_t>(keys.size() - 1);
            index.insert(k, truth[k]);
        } else if (found != truth.end() && (!growing || random() % 4 == 0)) {
            const std::uint32_t slot = found->second;
            const std::uint64_t last = keys.back();
            index.erase(k, keys.data());
            truth.erase(found);
            if (last != k) {
                index.relocate(last, slot, keys.data());
                keys[slot] = last;
                truth[last] = slot;
            }
            keys.pop_back();
        }
    }
    index.clear();
    CHECK(index.find(keys.front(), keys.data()) == absent);
}

TEST_CASE("a sector map does what a map does") {
    Random random(4);
    std::map<std::uint64_t, Ownership> truth;
    SectorMap map;
    for (int step = 0; step < 20000; ++step) {
        const auto coordinate = [&] { return static_cast<std::int32_t>(random() % 12) - 6; };
        const Sector s{coordinate(), step % 50 ? coordinate() : 2147483647};
        if (random() % 2) {
            const Ownership owner{static_cast<std::int32_t>(random() % 4),
                                  static_cast<std::uint32_t>(step)};
            map.set(s, owner);
            truth[key_of(s)] = owner;
        } else {
            REQUIRE(map.remove(s) == (truth.erase(key_of(s)) == 1));
        }
        REQUIRE(map.size() == truth.size());
    }
    const std::vector<Sector> sectors = map.sectors();
    std::size_t at = 0;
    for (const auto& [key, owner] : truth) {
        REQUIRE(key_of(sectors[at]) == key);
        REQUIRE(map.get(sectors[at++]) == owner);
    }
    CHECK(map.get({100, 100}) == Ownership{});
    CHECK(map.get(no_sector) == Ownership{});
}

TEST_CASE("handles far apart cost pages, not the space between") {
    HandleIndex index;
    index.set(0x05000001, 7);
    index.set(0x00FFFFFF, 8);
    CHECK(index.row(0x09000001) == 7);
    CHECK(index.row(0x00FFFFFF) == 8);
    CHECK(index.row(0x00800000) == absent);
    CHECK(index.bytes() < 200000);
    index.clear();
    CHECK(index.row(0x05000001) == absent);
}
