// A population kept by sector, brought up to date by movers only.
//
// Each sector has a bucket of row numbers in one arena, with room to grow; a row's seat is its
// bucket and its place there. Leaving swaps the last row of the bucket into the gap; a full bucket
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

    // Moves rows to other sectors (no_sector included). `from`, the sectors that they are in, is
    // checked unless it is empty. Throws std::invalid_argument, and changes nothing, if a row is
    // unknown, listed twice, or not where `from` says.
    void move(std::span<const std::uint32_t> index, std::span<const Sector> from,
              std::span<const Sector> to);

    // Both keep what they sorted for the next time. As group(), but the order within a sector is
    // that of arrival, disturbed by leaving.
    Counts counts();
    Groups csr();

    std::size_t size() const { return seats_.size(); }

  private:
    struct alignas(32) Bucket {
        std::uint64_t key, start;
        std::uint32_t count, room;
    };
    struct Seat {
        std::uint32_t bucket, place;
    };

    std::uint32_t bucket(std::uint64_t key);
    void enter(std::uint32_t bucket, std::uint32_t row);
    void leave(Seat seat);
    void check(std::span<const std::uint32_t> index, std::span<const Sector> from) const;
    void move_batch(std::span<const std::uint32_t> index, std::span<const Sector> to);
    void pack();
    const std::vector<std::uint32_t>& in_order();

    LargeVector<std::uint64_t> keys_;  // of the buckets, for the index
    LargeVector<Bucket> buckets_;
    SlotIndex index_;
    LargeVector<std::uint32_t> arena_;
    LargeVector<Seat> seats_;
    std::vector<std::uint32_t> in_order_;  // buckets by key; newer ones are not in it yet
    std::uint64_t holes_ = 0;
};

}  // namespace sidereal
