// Rows as updates carry them, in the order in which they were given, and told with their neighbours
// of the same sector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sidereal/entity_table.hpp"
#include "sidereal/hash.hpp"
#include "sidereal/raw_vector.hpp"
#include "sidereal/sector_map.hpp"
#include "update_rows.hpp"

namespace sidereal {

inline constexpr std::uint32_t no_group = absent;

// The rows of one sector.
struct SectorRows {
    Sector sector;
    std::uint32_t epoch;
    std::size_t rows;
};

// Numbers sectors as they come; those that the map does not hold have none.
class SectorNumbers {
  public:
    explicit SectorNumbers(const SectorMap& map) : map_(map), buckets_(512, unused) {}

    std::uint32_t number(Sector s) {
        if (s == last_) return last_number_;
        last_ = s;
        std::size_t b = home(s);
        while (buckets_[b].number != vacant && !(buckets_[b].sector == s))
            b = (b + 1) & (buckets_.size() - 1);
        if (buckets_[b].number == vacant) {
            const Ownership* const owner = map_.find(s);
            buckets_[b] = {s, owner ? static_cast<std::uint32_t>(all.size()) : no_group};
            if (owner) all.push_back({s, owner->epoch, 0});
            last_number_ = buckets_[b].number;
            if (++used_ * 2 > buckets_.size()) grow();
            return last_number_;
        }
        return last_number_ = buckets_[b].number;
    }

    std::vector<SectorRows> all;

  private:
    static constexpr std::uint32_t vacant = no_group - 1;
    struct Bucket {
        Sector sector;
        std::uint32_t number;
    };
    static constexpr Bucket unused{no_sector, vacant};

    std::size_t home(Sector s) const { return splitmix64(key_of(s)) & (buckets_.size() - 1); }

    void grow() {
        const std::vector<Bucket> old = std::move(buckets_);
        buckets_.assign(old.size() * 4, unused);
        for (const Bucket& each : old) {
            if (each.number == vacant) continue;
            std::size_t b = home(each.sector);
            while (buckets_[b].number != vacant) b = (b + 1) & (buckets_.size() - 1);
            buckets_[b] = each;
        }
    }

    const SectorMap& map_;
    std::vector<Bucket> buckets_;
    std::size_t used_ = 0;
    Sector last_ = no_sector;
    std::uint32_t last_number_ = no_group;
};

struct Draft {
    // Rows that follow each other and are of the sector with this number; no_group: no update can
    // carry them.
    struct Run {
        std::uint32_t group, rows;
    };

    // Room for all rows that are looked at: one that is not wanted is written over by the next.
    Draft(const SectorMap& epochs, std::size_t most) : groups(epochs), rows(most) {}

    SectorNumbers groups;
    RawVector<UpdateRow> rows;
    std::vector<Run> runs;
    std::vector<std::uint32_t> skipped;  // slots of the rows that no update can carry
};

// Encodes rows as they are, for an update of `tick`. Throws std::invalid_argument for a slot out of
// range, or a size of which cells are not exact.
Draft draft_rows(const EntityTable& table, std::span<const std::uint32_t> slots, double size,
                 std::uint32_t tick, const SectorMap& epochs);

// The same for the rows of a tick, by their slots, that have phase 0 and a mark in the dirty
// column, which it takes away.
Draft draft_marked(EntityTable& table, double size, std::uint32_t tick, std::uint8_t mark,
                   const SectorMap& epochs);

}  // namespace sidereal
