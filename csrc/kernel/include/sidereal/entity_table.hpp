// The entities of a process, as columns.
//
// Rows are dense: removing one moves the last row into its place, so a row number ("slot") is
// good until the next removal. Ids, and handles, find rows. The `sector` column says where the
// authority over an entity lies, and is the caller's to change: a row whose position lies
// elsewhere is reported as a mover.
//
// While the table is pinned (somebody looks at its columns) it does not grow: GrowthRefused.
// Removing never moves the columns in memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

#include "sidereal/blob_arena.hpp"
#include "sidereal/grid.hpp"
#include "sidereal/handle_index.hpp"
#include "sidereal/raw_vector.hpp"
#include "sidereal/slot_index.hpp"

namespace sidereal {

// The table would have to move its columns while somebody looks at them.
struct GrowthRefused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Range;

struct Columns {
    LargeVector<std::uint64_t> id;
    LargeVector<Vec2> position, velocity;
    LargeVector<Sector> sector;
    LargeVector<std::uint32_t> version, tick, state_tick, handle, flags;
    LargeVector<std::uint64_t> group;
    LargeVector<float> sensor;
    LargeVector<std::int32_t> shard;
    LargeVector<std::uint8_t> phase, dirty;

    template <class F>
    void each(F&& f) {
        f(id), f(position), f(velocity), f(sector), f(version), f(tick), f(state_tick), f(handle);
        f(flags), f(group), f(sensor), f(shard), f(phase), f(dirty);
    }
};

struct Upsert {
    std::vector<std::uint32_t> movers;   // slots whose position left the sector column
    std::vector<std::uint32_t> invalid;  // rows of the batch that were not written
};

// Rows as a tick sees them: copies, in the order of their slots.
struct Batch {
    RawVector<std::uint64_t> id;
    RawVector<Vec2> position, velocity;
    RawVector<std::uint32_t> tick, flags;
    RawVector<std::uint8_t> phase;
};

class EntityTable {
  public:
    explicit EntityTable(double size, std::size_t capacity = 0);

    std::size_t rows() const { return columns_.id.size(); }
    double size() const { return size_; }
    std::size_t capacity() const { return capacity_; }
    Columns& columns() { return columns_; }
    const Columns& columns() const { return columns_; }
    BlobArena& blobs() { return blobs_; }
    const BlobArena& blobs() const { return blobs_; }

    // Writes positions and velocities by id; ids that are new get a row: its sector that of the
    // position, no shard, no handle, else zeros. A row whose position has no sector, or whose
    // velocity is not finite, is not written, and not created. `slots`, if not empty, holds for
    // each id a guess, and afterwards the truth (absent for an id without a row).
    // Throws std::invalid_argument, and changes nothing, if an id comes twice.
    Upsert upsert(std::span<const std::uint64_t> ids, std::span<const Vec2> position,
                  std::span<const Vec2> velocity, std::span<std::uint32_t> slots);

    // Copies of rows. Throws std::invalid_argument for a slot out of range.
    Batch batch(std::span<const std::uint32_t> slots) const;

    // Writes one tick to rows. Throws std::invalid_argument for a slot out of range.
    void stamp(std::span<const std::uint32_t> slots, std::uint32_t tick);

    // Writes positions and velocities of rows by their slots, and marks, in the dirty column,
    // those that differ from what was there. A row whose position has no sector, or whose
    // velocity is not finite, is not written; returns where in the batch those are.
    // Throws std::invalid_argument for a slot out of range.
    std::vector<std::uint32_t> advance(std::span<const std::uint32_t> slots,
                                       std::span<const Vec2> position,
                                       std::span<const Vec2> velocity, std::uint8_t mark);

    // Replaces rows' blobs by `bytes`, one after the other in their lengths, and marks, in the
    // dirty column, those that differ from what was there. Slots and lengths must be good.
    void set_states(std::span<const std::uint32_t> slots, std::span<const std::uint32_t> lengths,
                    std::span<const std::uint8_t> bytes, std::uint8_t mark);

    // Removes the ids that are there; returns how many.
    std::size_t remove(std::span<const std::uint64_t> ids);

    // Puts the rows in the order of their sectors, by y, then x, rows of a sector as they were.
    // Whoever then goes through the rows of a sector finds them side by side in memory. Slots mean
    // other rows afterwards.
    void arrange();

    // The slots, ascending, of the rows in a sector; of those alone that `shard` holds, if given.
    std::vector<std::uint32_t> find(Sector sector, std::optional<std::int32_t> shard) const;

    // The slot of an id, or absent.
    std::uint32_t slot(std::uint64_t id) const { return index_.find(id, columns_.id.data()); }

    // The same for many, which hides the time that memory takes; `found` is as long as `ids`.
    void slots(std::span<const std::uint64_t> ids, std::span<std::uint32_t> found) const;

    // Gives rows their handles; no_handle takes it away. A row that had the same handle index
    // loses its own. Throws std::invalid_argument for a slot out of range.
    void bind(std::span<const std::uint32_t> slots, std::span<const std::uint32_t> handles);

    // The slot whose handle is exactly this, or absent.
    std::uint32_t resolve(std::uint32_t handle) const {
        const std::uint32_t row = handles_.row(handle);
        return row < rows() && columns_.handle[row] == handle ? row : absent;
    }

    // The row that a handle's index names, its generation not looked at, or absent: a first,
    // cheap step of resolve, for callers that fetch many rows ahead.
    std::uint32_t likely(std::uint32_t handle) const {
        const std::uint32_t row = handles_.row(handle);
        return row < rows() ? row : absent;
    }

    // Fetches what `likely` and `resolve` look at first.
    void prefetch(std::uint32_t handle) const { handles_.prefetch(handle); }

    void reserve(std::size_t rows);
    void clear();

    // While pins are held, growth throws GrowthRefused.
    void pin() { ++pins_; }
    void unpin() { --pins_; }

    // Memory of the columns and the indices, blobs' contents aside.
    std::size_t bytes() const;

    // Throws std::invalid_argument unless all slots are rows.
    void require_slots(std::span<const std::uint32_t> slots) const;

  private:
    void grow();
    void make_room(std::size_t rows);
    void remove_row(std::uint32_t slot);
    void prefetch_row(std::uint32_t slot, std::size_t pending);
    void prefetch_handle(std::uint32_t slot) const;
    void drop_handle(std::uint32_t slot);
    void find_rows(std::span<const std::uint64_t> ids, std::span<const Vec2> position,
                   std::span<const Vec2> velocity, std::span<const std::uint32_t> guesses,
                   std::span<std::uint32_t> found);
    bool look_up(std::span<const std::uint64_t> ids, std::span<const std::uint32_t> guesses,
                 std::uint32_t next, std::span<std::uint32_t> found) const;
    std::uint32_t append(std::uint64_t id);
    void write_rows(std::span<const Vec2> position, std::span<const Vec2> velocity,
                    std::span<const std::uint32_t> found, Range range, std::size_t before,
                    Upsert& out);
    void undo(std::size_t rows);

    double size_;
    std::size_t capacity_ = 0;
    Columns columns_;
    BlobArena blobs_;
    SlotIndex index_;
    HandleIndex handles_;
    std::vector<std::uint64_t> marks_;  // one bit a row, all zero between calls
    std::atomic<std::size_t> pins_ = 0;
};

}  // namespace sidereal
