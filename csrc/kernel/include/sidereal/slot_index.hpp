// An open-addressing index from 64-bit keys to dense slots.
//
// The keys live in the caller's array, `keys[slot]`, without gaps: slots in use are 0 to one less
// than their number. A bucket holds only the slot, four bytes. Linear probing, at most two thirds
// full; erasing shifts what follows back, so there are no tombstones and a table that churns for
// weeks stays as fast as a new one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sidereal/grid.hpp"
#include "sidereal/hash.hpp"
#include "sidereal/raw_vector.hpp"

namespace sidereal {

class SlotIndex {
  public:
    // The slot of `key`, or absent.
    std::uint32_t find(std::uint64_t key, const std::uint64_t* keys) const {
        return buckets_.empty() ? absent : find_from(home(key), key, keys);
    }

    // Finds many keys at once, which hides the time that memory takes: where slots[i] is absent,
    // it becomes the slot of wanted[i] if there is one. At most `batch` of them.
    static constexpr std::size_t batch = 128;
    void find_absent(const std::uint64_t* wanted, std::size_t count, const std::uint64_t* keys,
                     std::uint32_t* slots) const {
        if (buckets_.empty()) return;
        std::size_t homes[batch];
        for (std::size_t i = 0; i < count; ++i) {
            homes[i] = home(wanted[i]);
            __builtin_prefetch(&buckets_[homes[i]]);
        }
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t slot = buckets_[homes[i]];
            if (slot != absent) __builtin_prefetch(&keys[slot]);
        }
        for (std::size_t i = 0; i < count; ++i)
            if (slots[i] == absent) slots[i] = find_from(homes[i], wanted[i], keys);
    }

    // Adds a key that is not there yet; keys[slot] must already hold it.
    void insert(std::uint64_t key, std::uint32_t slot, const std::uint64_t* keys) {
        if ((used_ + 1) * 2 > buckets_.size()) rebuild(used_ + 1, keys);
        place(key, slot);
        ++used_;
    }

    // Removes a key, while keys[] still holds it and every other key; no effect if absent.
    void erase(std::uint64_t key, const std::uint64_t* keys) {
        std::size_t hole = bucket_of(key, keys);
        if (hole == buckets_.size()) return;
        for (std::size_t b = next(hole); buckets_[b] != absent; b = next(b)) {
            // An entry may fill the hole unless its home lies cyclically after it.
            const std::size_t reach = (b - home(keys[buckets_[b]])) & mask();
            if (reach >= ((b - hole) & mask())) {
                buckets_[hole] = buckets_[b];
                hole = b;
            }
        }
        buckets_[hole] = absent;
        --used_;
    }

    // Says that `key`, which is there, now lives in another slot; keys[] as before the move.
    void relocate(std::uint64_t key, std::uint32_t slot, const std::uint64_t* keys) {
        buckets_[bucket_of(key, keys)] = slot;
    }

    void reserve(std::size_t count, const std::uint64_t* keys) {
        if (count * 2 > buckets_.size()) rebuild(count, keys);
    }

    void clear() {
        buckets_.assign(buckets_.size(), absent);
        used_ = 0;
    }

    std::size_t bytes() const { return buckets_.capacity() * sizeof(std::uint32_t); }

  private:
    std::uint32_t find_from(std::size_t bucket, std::uint64_t key,
                            const std::uint64_t* keys) const {
        for (std::size_t b = bucket;; b = next(b)) {
            const std::uint32_t slot = buckets_[b];
            if (slot == absent || keys[slot] == key) return slot;
        }
    }

    std::size_t mask() const { return buckets_.size() - 1; }
    std::size_t home(std::uint64_t key) const {
        return static_cast<std::size_t>(splitmix64(key)) & mask();
    }
    std::size_t next(std::size_t bucket) const { return (bucket + 1) & mask(); }

    std::size_t bucket_of(std::uint64_t key, const std::uint64_t* keys) const {
        if (buckets_.empty()) return 0;
        for (std::size_t b = home(key); buckets_[b] != absent; b = next(b))
            if (keys[buckets_[b]] == key) return b;
        return buckets_.size();
    }

    void place(std::uint64_t key, std::uint32_t slot) {
        std::size_t b = home(key);
        while (buckets_[b] != absent) b = next(b);
        buckets_[b] = slot;
    }

    // Slots are dense: walking the keys in order is kinder to memory than walking the buckets.
    void rebuild(std::size_t count, const std::uint64_t* keys) {
        std::size_t size = 16;
        while (size < count * 2) size *= 2;
        buckets_.assign(size, absent);
        for (std::uint32_t slot = 0; slot < used_; ++slot) place(keys[slot], slot);
    }

    LargeVector<std::uint32_t> buckets_;
    std::size_t used_ = 0;
};

}  // namespace sidereal
