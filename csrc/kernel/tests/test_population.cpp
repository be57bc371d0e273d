// Who is where: groups, census and queries, against counting again.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <stdexcept>

#include "sidereal/census.hpp"
#include "sidereal/flux.hpp"
#include "sidereal/group.hpp"
#include "sidereal/snapshot.hpp"
#include "support.hpp"

using namespace sidereal;
using namespace sidereal::testing;

namespace {

std::vector<Sector> crowd(Random& random, std::size_t count, double spread) {
    std::normal_distribution<double> normal(0, spread);
    std::vector<Sector> rows;
    for (std::size_t i = 0; i < count; ++i)
        rows.push_back(sector_of(normal(random), normal(random), 1.0));
    return rows;
}

}  // namespace

TEST_CASE("groups hold each row once, in order") {
    Random random(5);
    for (const double spread : {0.4, 30.0, 1e9}) {
        std::vector<Sector> rows = crowd(random, 5000, spread);
        rows[17] = no_sector;
        rows[18] = {2147483647, -2147483647};
        std::map<std::uint64_t, std::vector<std::uint32_t>> truth;
        for (std::uint32_t i = 0; i < rows.size(); ++i) truth[key_of(rows[i])].push_back(i);
        const Groups groups = group(rows);
        const Counts n = counts(rows);
        REQUIRE(groups.sectors.size() == truth.size());
        REQUIRE(n.sectors == groups.sectors);
        std::size_t g = 0;
        for (const auto& [key, members] : truth) {
            REQUIRE(key_of(groups.sectors[g]) == key);
            REQUIRE(n.n[g] == members.size());
            REQUIRE(std::equal(members.begin(), members.end(),
                               groups.order.begin() + groups.offsets[g],
                               groups.order.begin() + groups.offsets[g + 1]));
            ++g;
        }
    }
    CHECK(group({}).offsets.size() == 1);
    CHECK(group({}).offsets[0] == 0);
}

TEST_CASE("rows far apart are counted and grouped range by range") {
    Random random(15);
    const auto anywhere = [&] {
        const auto k = [&] { return static_cast<std::int32_t>(random()); };
        return Sector{k() | 1, k() | 1};
    };
    // Hardly two share a sector; some hundred do; half of all are in one.
    for (const std::size_t different : {std::size_t{0}, std::size_t{200}, std::size_t{1}}) {
        std::vector<Sector> homes, rows;
        for (std::size_t i = 0; i < different; ++i) homes.push_back(anywhere());
        for (std::size_t i = 0; i < 80'000; ++i)
            rows.push_back(different == 0 || (different == 1 && i % 2) ? anywhere()
                                                                       : homes[i % different]);
        rows[17] = no_sector;
        std::map<std::uint64_t, std::vector<std::uint32_t>> truth;
        for (std::uint32_t i = 0; i < rows.size(); ++i) truth[key_of(rows[i])].push_back(i);
        const Groups groups = group(rows);
        const Counts n = counts(rows);
        REQUIRE(n.sectors == groups.sectors);
        REQUIRE(groups.sectors.size() == truth.size());
        REQUIRE(groups.offsets.size() == truth.size() + 1);
        std::vector<std::uint32_t> order;
        std::size_t g = 0, wrong = 0;
        for (const auto& [key, members] : truth) {
            wrong += key_of(groups.sectors[g]) != key || n.n[g] != members.size() ||
                     groups.offsets[g] != order.size();
            order.insert(order.end(), members.begin(), members.end());
            ++g;
        }
        CHECK(wrong == 0);
        CHECK(std::equal(order.begin(), order.end(), groups.order.begin(), groups.order.end()));
    }
}

TEST_CASE("flux in ranges is flux at once") {
    Random random(16);
    const std::size_t count = 300'000;
    std::vector<Sector> from, to;
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint32_t> truth;
    for (std::size_t i = 0; i < count; ++i) {
        const auto k = [&] { return static_cast<std::int32_t>(random() % 40) - 20; };
        from.push_back(i % 1000 ? Sector{k(), k()} : no_sector);
        to.push_back(i % 999 ? Sector{from[i].x + 1, from[i].y} : from[i]);
        if (!exists(from[i])) to[i] = {0, 0};
        if (exists(from[i]) && from[i] != to[i]) ++truth[{key_of(from[i]), key_of(to[i])}];
    }
    const Flux got = flux(from, to);
    REQUIRE(got.n.size() == truth.size());
    std::size_t e = 0, wrong = 0;
    for (const auto& [edge, n] : truth) {
        wrong += key_of(got.source[e]) != edge.first || key_of(got.target[e]) != edge.second ||
                 got.n[e] != n;
        ++e;
    }
    CHECK(wrong == 0);
}

TEST_CASE("a census agrees with counting again") {
    Random random(6);
    std::vector<Sector> rows = crowd(random, 3000, 8.0);
    Census census;
    census.rebuild(rows);
    for (int tick = 0; tick < 200; ++tick) {
        std::vector<std::uint32_t> index;
        std::vector<Sector> from, to;
        for (std::uint32_t i = 0; i < rows.size(); ++i) {
            if (random() % 5) continue;
            index.push_back(i);
            from.push_back(rows[i]);
            rows[i] =
                tick % 40 < 20 ? Sector{rows[i].x / 2, rows[i].y / 2} : crowd(random, 1, 20.0)[0];
            to.push_back(rows[i]);
        }
        census.move(index, from, to);
        const Counts want = counts(rows), got = census.counts();
        REQUIRE(got.sectors == want.sectors);
        REQUIRE(got.n == want.n);
        const Groups groups = census.csr();
        for (std::size_t g = 0; g < groups.sectors.size(); ++g)
            for (std::uint32_t i = groups.offsets[g]; i < groups.offsets[g + 1]; ++i)
                REQUIRE(rows[groups.order[i]] == groups.sectors[g]);
    }
    const std::vector<std::uint32_t> twice{1, 1};
    const std::vector<Sector> here{rows[1], rows[1]};
    CHECK_THROWS_AS(census.move(twice, here, here), std::invalid_argument);
}

TEST_CASE("queries agree with brute force") {
    Random random(7);
    std::normal_distribution<double> normal(0, 40.0);
    std::vector<Point<double>> pos;
    for (int i = 0; i < 4000; ++i) pos.push_back({normal(random), normal(random)});
    pos[5] = {NAN, 0};
    const Snapshot snapshot{std::span<const Point<double>>(pos), 10.0};
    std::vector<Vec2> centres;
    std::vector<double> radii;
    for (int i = 0; i < 200; ++i) {
        centres.push_back({normal(random), normal(random)});
        radii.push_back(i % 10 == 0 ? 1e12 : std::abs(normal(random)) / 4);
    }
    const Hits hits = snapshot.query(centres, radii);
    for (std::size_t c = 0; c < centres.size(); ++c) {
        std::vector<std::uint32_t> want;
        for (std::uint32_t i = 0; i < pos.size(); ++i) {
            const double dx = pos[i].x - centres[c].x, dy = pos[i].y - centres[c].y;
            if (dx * dx + dy * dy <= radii[c] * radii[c]) want.push_back(i);
        }
        std::vector<std::uint32_t> got(
            hits.index.begin() + static_cast<std::ptrdiff_t>(hits.offsets[c]),
            hits.index.begin() + static_cast<std::ptrdiff_t>(hits.offsets[c + 1]));
        std::sort(got.begin(), got.end());
        REQUIRE(got == want);
    }
}
