// The worker pool: each part of a pass is done once, whatever the number of threads.
// too.
#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "parallel.hpp"
#include "sidereal/group.hpp"
#include "sidereal/positions.hpp"
#include "sidereal/snapshot.hpp"
#include "support.hpp"

using namespace sidereal;
using namespace sidereal::testing;

namespace {

struct Threads {
    explicit Threads(int n) { set_threads(n); }
    ~Threads() { set_threads(1); }
};

}  // namespace

TEST_CASE("each part is done once, by any number of threads") {
    for (const int n : {1, 2, 3, 8}) {
        const Threads threads(n);
        for (const std::size_t parts : {0u, 1u, 2u, 7u, 1000u}) {
            std::vector<std::atomic<int>> done(parts);
            parallel(parts, [&](std::size_t part) { ++done[part]; });
            for (const auto& times : done) REQUIRE(times == 1);
        }
    }
}

TEST_CASE("what a part throws reaches the caller, and the next call works") {
    const Threads threads(4);
    for (int round = 0; round < 50; ++round) {
        CHECK_THROWS_AS(parallel(20,
                                 [](std::size_t part) {
                                     if (part == 11) throw std::length_error("eleven");
                                 }),
                        std::length_error);
        std::atomic<int> done = 0;
        parallel(20, [&](std::size_t) { ++done; });
        REQUIRE(done == 20);
    }
}

TEST_CASE("callers from many threads do not wait for each other's helpers") {
    const Threads threads(3);
    std::atomic<int> done = 0;
    std::vector<std::thread> callers;
    for (int c = 0; c < 4; ++c)
        callers.emplace_back([&] {
            for (int round = 0; round < 200; ++round) parallel(5, [&](std::size_t) { ++done; });
        });
    for (std::thread& caller : callers) caller.join();
    CHECK(done == 4 * 200 * 5);
}

TEST_CASE("answers do not depend on the number of threads") {
    Random random(10);
    std::normal_distribution<double> normal(0, 300.0);
    std::vector<Point<double>> pos(400000);
    for (Point<double>& p : pos) p = {normal(random), normal(random)};
    pos[300000] = {NAN, 0};
    std::vector<Sector> where(pos.size()), again(pos.size());
    const std::span<const Point<double>> rows(pos);
    const auto invalid = sectors(rows, 10.0, std::span(where));
    std::vector<Sector> prev = where;
    for (std::size_t i = 0; i < prev.size(); i += 37) prev[i].x += 1;
    const Crossings moved = crossings(rows, prev, 10.0, 0.0, nullptr);
    const Groups groups = group(where);
    const Snapshot snapshot(rows, 10.0);
    std::vector<Vec2> centres;
    for (std::size_t i = 0; i < 2000; ++i) centres.push_back({pos[i].x, pos[i].y});
    const std::vector<double> radius{15.0};
    const Hits hits = snapshot.query(centres, radius);
    for (const int n : {2, 3, 5}) {
        const Threads threads(n);
        CHECK(sectors(rows, 10.0, std::span(again)) == invalid);
        CHECK(again == where);
        CHECK(crossings(rows, prev, 10.0, 0.0, nullptr).index == moved.index);
        const Groups same = group(where);
        CHECK(same.order == groups.order);
        CHECK(same.offsets == groups.offsets);
        const Hits found = snapshot.query(centres, radius);
        CHECK(found.index == hits.index);
        CHECK(found.offsets == hits.offsets);
    }
}

TEST_CASE("hits that nothing foretold come in order all the same") {
    Random random(11);
    std::vector<Point<double>> pos(3000);
    std::vector<Vec2> centres;
    std::uniform_real_distribution<double> anywhere(0.0, 100.0);
    for (Point<double>& p : pos) p = {anywhere(random), anywhere(random)};
    for (const Point<double>& p : pos) centres.push_back({p.x, p.y});
    const Snapshot snapshot(std::span<const Point<double>>(pos), 10.0);
    // Some find themselves, a few find all; where those stand among the rest differs.
    for (const std::size_t crowd : {0u, 1300u, 2960u}) {
        std::vector<double> radius(centres.size(), 0.0);
        for (std::size_t i = 0; i < 40; ++i) radius[crowd + i] = 200.0;
        const Hits hits = snapshot.query(centres, radius);
        REQUIRE(hits.index.size() == 40 * 3000 + 2960);
        for (const int n : {2, 3, 8}) {
            const Threads threads(n);
            const Hits found = snapshot.query(centres, radius);
            CHECK(found.index == hits.index);
            CHECK(found.offsets == hits.offsets);
        }
    }
}
