// Range queries over a frozen copy of the positions.
//
// Points are stored grouped by sector, by y, then x: the sectors that a disc touches in one row
// of the grid are one contiguous run of points, found by binary search. Empty space has no
// storage, so a huge radius costs no more than the points there are.
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "sidereal/grid.hpp"
#include "sidereal/positions.hpp"
#include "sidereal/raw_vector.hpp"

namespace sidereal {

struct Hits {
    RawVector<std::uint32_t> index;      // rows of the snapshot
    std::vector<std::uint64_t> offsets;  // centre c has index[offsets[c] .. offsets[c+1])
};

class Snapshot {
  public:
    // Rows with an invalid position are in no answer.
    template <class Real>
    Snapshot(std::span<const Point<Real>> pos, double size);

    // For each centre all rows with dx*dx + dy*dy <= r*r, in double arithmetic, ordered by
    // sector (y, then x), then row. `radius`, not negative, has one element for all or one a
    // centre. A centre that is not finite has no hits.
    Hits query(std::span<const Vec2> centres, std::span<const double> radius) const;

    std::size_t size() const { return points_; }

  private:
    struct Row {
        std::int32_t y;
        std::uint32_t begin, end;  // in kx_
    };

    // The sectors that a disc may touch, both ends included.
    struct Box {
        Sector first, last;
    };

    // Points [begin, begin + n).
    struct Run {
        std::uint32_t begin, n;
    };

    // As wide as the positions were given: the distance is computed in double.
    template <class Real>
    struct Coordinates {
        RawVector<Real> x, y;
    };

    void find_boxes(std::span<const Vec2> centres, std::span<const double> radius,
                    std::span<Box> out) const;
    void find_runs(Vec2 centre, const Box& box, std::vector<Run>& out) const;
    class Whole;
    class Pieces;
    class Gathered;
    template <class Found>
    void add_hits(std::span<const Run> runs, Vec2 centre, double r, Found& out) const;
    // `ends` counts the hits that there are after each centre.
    template <class Found>
    void find_hits(std::span<const Vec2> centres, std::span<const double> radius,
                   std::span<std::uint64_t> ends, Found& found) const;
    std::size_t foretold(std::span<const Vec2> centres, std::span<const double> radius) const;

    double size_;
    std::vector<std::int32_t> kx_;       // occupied sectors, by y, then x
    std::vector<std::uint32_t> starts_;  // one more than kx_: their points
    std::vector<Row> rows_;
    std::variant<Coordinates<float>, Coordinates<double>> at_;
    RawVector<std::uint32_t> index_;
    std::size_t points_ = 0;
};

}  // namespace sidereal
