// Who owns which sector: a hash map from a sector to (shard, epoch).
//
// Memory follows the number of sectors held, never the space between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sidereal/grid.hpp"
#include "sidereal/slot_index.hpp"

namespace sidereal {

inline constexpr std::int32_t no_shard = -1;

struct Ownership {
    std::int32_t shard = no_shard;
    std::uint32_t epoch = 0;
    friend constexpr bool operator==(Ownership, Ownership) = default;
};

class SectorMap {
  public:
    // The owner of a sector, or nullptr where the map does not hold it; good until the next change.
    const Ownership* find(Sector s) const {
        const std::uint32_t slot = index_.find(key_of(s), keys_.data());
        return slot == absent ? nullptr : &owners_[slot];
    }

    // The owner of a sector; {no_shard, 0} where the map does not hold it.
    Ownership get(Sector s) const {
        const Ownership* owner = find(s);
        return owner ? *owner : Ownership{};
    }

    // Adds or replaces; the sector must exist.
    void set(Sector s, Ownership owner);

    // Returns whether the sector was there.
    bool remove(Sector s);

    // All sectors held, by y, then x.
    std::vector<Sector> sectors() const;

    std::size_t size() const { return keys_.size(); }

  private:
    std::vector<std::uint64_t> keys_;
    std::vector<Ownership> owners_;
    SlotIndex index_;
};

}  // namespace sidereal
