// A population kept by sector, brought up to date by movers only.
//
// Each sector has a bucket of row numbers in one arena, with room to grow; `place` says where in
// its bucket a row sits. Leaving swaps the last row of the bucket into the gap; a full bucket
// moves to the end of the arena with twice the room, and the arena is packed again when more than
// half of it is holes. A sector that became empty keeps its (empty) bucket until the next rebuild
// or packing, and is not reported.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sidereal/grid.hpp"
#include "sidereal/group.hpp"
#include "sidereal/slot_index.hpp"

namespace sidereal {

class Census {
  public:
    // Starts again from the sectors of rows 0..n-1.
    void rebuild(std::span<const Sector> rows);

    // Moves rows from the sectors they are in to others (no_sector included). Throws
    // std::invalid_argument, and changes nothing, if a row is unknown, listed twice, or not where
    // `from` says.
    void move(std::span<const std::uint32_t> index, std::span<const Sector> from,
              std::span<const Sector> to);

    // Both keep what they sorted for the next time. As group(), but the order within a sector is
    // that of arrival, disturbed by leaving.
    Counts counts();
    Groups csr();

    std::size_t size() const { return place_.size(); }

  private:
    struct Bucket {
        std::uint64_t start;
        std::uint32_t count, room;
    };

    std::uint32_t bucket(std::uint64_t key);
    void enter(std::uint32_t bucket, std::uint32_t row);
    void leave(std::uint32_t bucket, std::uint32_t row);
    void find_leaving(std::span<const std::uint32_t> index, std::span<const Sector> from,
                      std::span<std::uint32_t> leaving, std::size_t at) const;
    void move_batch(std::span<const std::uint32_t> index, std::span<const Sector> to,
                    std::span<const std::uint32_t> leaving);
    void pack();
    const std::vector<std::uint32_t>& in_order();

    std::vector<std::uint64_t> keys_;
    std::vector<Bucket> buckets_;
    SlotIndex index_;
    LargeVector<std::uint32_t> arena_;
    LargeVector<std::uint32_t> place_;
    std::vector<std::uint32_t> in_order_;  // buckets by key; newer ones are not in it yet
    std::uint64_t holes_ = 0;
};

}  // namespace sidereal
