// Space: exact sectors, their keys, crossings and reach.
#include <doctest/doctest.h>

#include <stdexcept>

#include "sidereal/positions.hpp"
#include "sidereal/quantise.hpp"
#include "sidereal/reach.hpp"
#include "support.hpp"

using namespace sidereal;
using namespace sidereal::testing;

TEST_CASE("sectors are exact at borders") {
    Random random(1);
    for (const double size : sizes)
        for (int i = 0; i < 20000; ++i) {
            const double x = border(random, size);
            const double k = coordinate(x, size);
            REQUIRE(truly_holds(k, x, size));
            if (in_range(k)) REQUIRE(holds(static_cast<std::int32_t>(k), x, size));
        }
}

TEST_CASE("a tiny negative number is below zero, whatever the size") {
    for (const double size : {1e-300, 1.0, 1e300}) {
        CHECK(coordinate(-5e-324, size) == -1.0);
        CHECK(coordinate(5e-324, size) == 0.0);
        CHECK(coordinate(-0.0, size) == 0.0);
    }
}

TEST_CASE("what has no sector") {
    CHECK(sector_of(NAN, 0, 1) == no_sector);
    CHECK(sector_of(0, INFINITY, 1) == no_sector);
    CHECK(sector_of(2147483648.0, 0, 1) == no_sector);
    CHECK(sector_of(-2147483647.0, 2147483647.5, 1) == Sector{-2147483647, 2147483647});
    CHECK(sector_of(-2147483647.1, 0, 1) == no_sector);
    CHECK_FALSE(holds(no_sector, 0, 0, 1));
    CHECK_THROWS_AS(require_size(NAN), std::invalid_argument);
    CHECK_THROWS_AS(require_size(0.0), std::invalid_argument);
    CHECK_THROWS_AS(require_margin(0.6, 1.0), std::invalid_argument);
    CHECK_THROWS_AS(require_cells(1e-320), std::invalid_argument);
}

TEST_CASE("keys are ordered by y, then x") {
    const Sector ordered[] = {no_sector, {5, -2}, {-1, -1}, {0, -1}, {-7, 0}, {0, 0}, {-9, 3}};
    for (std::size_t i = 0; i < std::size(ordered); ++i) {
        CHECK(sector_of_key(key_of(ordered[i])) == ordered[i]);
        if (i > 0) CHECK(key_of(ordered[i - 1]) < key_of(ordered[i]));
    }
    CHECK(key_of(no_sector) == 0);
}

TEST_CASE("a cell stays in its sector there and back") {
    Random random(2);
    for (const double size : sizes)
        for (int i = 0; i < 20000; ++i) {
            const double x = border(random, size);
            const double here = coordinate(x, size);
            const double from = here + static_cast<double>(random() % 4) - 1.0;
            if (!in_range(here) || !in_range(from)) continue;
            const auto k = static_cast<std::int32_t>(from);
            std::int32_t q = 0;
            double back = 0;
            REQUIRE(cell_of(k, x, size, q));
            REQUIRE(position_of(k, q, size, back));
            REQUIRE(coordinate(back, size) == here);
        }
}

TEST_CASE("crossings follow positions") {
    const std::vector<Point<float>> pos{{0.5F, 0.5F}, {1.0F, 0.5F}, {NAN, 0.0F}, {-0.25F, 0.5F}};
    const std::vector<Sector> prev(4, Sector{0, 0});
    const Crossings all = crossings<float>(pos, prev, 1.0, 0.0, nullptr);
    CHECK(all.index == RawVector<std::uint32_t>{1, 2, 3});
    CHECK(all.sectors[2] == Sector{-1, 0});
    const Crossings far = crossings<float>(pos, prev, 1.0, 0.125, nullptr);
    CHECK(far.index == RawVector<std::uint32_t>{2, 3});
    SectorMap shards;
    shards.set({0, 0}, {1, 1});
    shards.set({1, 0}, {1, 1});
    CHECK(crossings<float>(pos, prev, 1.0, 0.125, &shards).index.size() == 3);
}

TEST_CASE("reach is bounded") {
    const std::vector<Point<double>> pos{{0.5, 0.5}}, velocity{{1e308, -1e308}};
    const std::vector<double> radius{1e300};
    const double side = 2 * reach_radius_sectors_max + reach_motion_sectors_max + 1;
    CHECK(reach<double>(pos, velocity, radius, 1.0, 1e9).size() ==
          static_cast<std::size_t>(side * side));
}
