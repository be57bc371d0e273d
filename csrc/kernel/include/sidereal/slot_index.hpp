// An open-addressing index from 64-bit keys to dense slots.
//
// The keys live in the caller's array, `keys[slot]`, without gaps: slots in use are 0 to one less
// than their number. A bucket holds the slot and 32 bits of the key's hash, so that a search goes
// to the keys, far away in memory, about once. The same bits say where a bucket belongs, so that
// erasing and growing need no keys at all. Linear probing, at most four fifths full; erasing
// shifts what follows back, so there are no tombstones and a table that churns for weeks stays as
// fast as a new one.
#pragma once

#include <algorithm>
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
        if (buckets_.empty()) return absent;
        const std::uint64_t hash = splitmix64(key);
        std::size_t b = home(hash);
        for (std::uint32_t slot; (slot = next_like(hash, b)) != absent; b = next(b))
            if (keys[slot] == key) return slot;
        return absent;
    }

    // Finds many keys at once, which hides the time that memory takes: where slots[i] is absent,
    // it becomes the slot of wanted[i] if there is one. At most `batch` of them.
    static constexpr std::size_t batch = 128;
    void find_absent(const std::uint64_t* wanted, std::size_t count, const std::uint64_t* keys,
                     std::uint32_t* slots) const {
        if (buckets_.empty()) return;
        constexpr std::size_t ahead = 16;  // keys between each of three steps and the next
        std::uint64_t hashes[batch];
        std::uint32_t likely[batch];
        for (std::size_t i = 0; i < count + 2 * ahead; ++i) {
            if (i < count) {
                hashes[i] = splitmix64(wanted[i]);
                __builtin_prefetch(&buckets_[home(hashes[i])]);
            }
            if (i >= ahead && i - ahead < count) {
                std::size_t b = home(hashes[i - ahead]);
                const std::uint32_t slot = next_like(hashes[i - ahead], b);
                likely[i - ahead] = slot;
                if (slot != absent) __builtin_prefetch(&keys[slot]);
            }
            if (i < 2 * ahead) continue;
            const std::size_t k = i - 2 * ahead;
            if (slots[k] != absent || likely[k] == absent) continue;
            slots[k] = keys[likely[k]] == wanted[k] ? likely[k] : find(wanted[k], keys);
        }
    }

    // Fetches where a search for `key` begins.
    void prefetch(std::uint64_t key) const {
        if (!buckets_.empty()) __builtin_prefetch(&buckets_[home(splitmix64(key))]);
    }

    // Adds a key that is not there yet; keys[slot] must hold it by the next search.
    void insert(std::uint64_t key, std::uint32_t slot) {
        reserve(used_ + 1);
        place(bucket(splitmix64(key), slot));
        ++used_;
    }

    // Removes a key, while keys[] still holds it; no effect if absent.
    void erase(std::uint64_t key, const std::uint64_t* keys) {
        std::size_t hole = bucket_of(key, keys);
        if (hole == buckets_.size()) return;
        for (std::size_t b = next(hole); slot_in(b) != absent; b = next(b)) {
            // An entry may fill the hole unless its home lies cyclically after it.
            const std::size_t reach = (b - home(buckets_[b])) & mask();
            if (reach >= ((b - hole) & mask())) {
                buckets_[hole] = buckets_[b];
                hole = b;
            }
        }
        buckets_[hole] = nothing;
        --used_;
    }

    // Says that `key`, which is there, now lives in another slot; keys[] as before the move.
    void relocate(std::uint64_t key, std::uint32_t slot, const std::uint64_t* keys) {
        buckets_[bucket_of(key, keys)] = bucket(splitmix64(key), slot);
    }

    // Says that what was in slot s is in slot where[s] now, for every slot in use.
    void renumber(const std::uint32_t* where) {
        for (std::uint64_t& each : buckets_)
            if (static_cast<std::uint32_t>(each) != absent)
                each = (each >> 32 << 32) | where[static_cast<std::uint32_t>(each)];
    }

    void reserve(std::size_t count) {
        if (too_full(count, buckets_.size())) grow(count);
    }

    void clear() {
        std::fill(buckets_.begin(), buckets_.end(), nothing);
        used_ = 0;
    }

    std::size_t bytes() const { return buckets_.capacity() * sizeof(buckets_[0]); }

  private:
    // A bucket is the upper half of the hash, and below it the slot; `home` needs that half only,
    // which is as many bits as the 2^32 buckets of 3.4 billion keys need.
    static constexpr std::uint64_t nothing = absent;
    static std::uint64_t bucket(std::uint64_t hash, std::uint32_t slot) {
        return (hash >> 32 << 32) | slot;
    }
    std::uint32_t slot_in(std::size_t b) const { return static_cast<std::uint32_t>(buckets_[b]); }

    // The slot of the first bucket from `b` on whose key has such a hash; `b` becomes that bucket.
    // Absent where there is none.
    std::uint32_t next_like(std::uint64_t hash, std::size_t& b) const {
        for (;; b = next(b)) {
            const std::uint64_t at = buckets_[b];
            if (static_cast<std::uint32_t>(at) == absent) return absent;
            if ((at ^ hash) >> 32 == 0) return static_cast<std::uint32_t>(at);
        }
    }

    static bool too_full(std::size_t used, std::size_t buckets) { return used * 5 > buckets * 4; }

    std::size_t mask() const { return buckets_.size() - 1; }
    std::size_t home(std::uint64_t hash) const {
        return static_cast<std::size_t>(hash >> 32) & mask();
    }
    std::size_t next(std::size_t b) const { return (b + 1) & mask(); }

    std::size_t bucket_of(std::uint64_t key, const std::uint64_t* keys) const {
        if (buckets_.empty()) return 0;
        const std::uint64_t hash = splitmix64(key);
        std::size_t b = home(hash);
        for (std::uint32_t slot; (slot = next_like(hash, b)) != absent; b = next(b))
            if (keys[slot] == key) return b;
        return buckets_.size();
    }

    void place(std::uint64_t bucket) {
        std::size_t b = home(bucket);
        while (slot_in(b) != absent) b = next(b);
        buckets_[b] = bucket;
    }

    // Those who lived side by side go on side by side, in one of a few places: hardly a line of
    // the new buckets is fetched twice.
    void grow(std::size_t count) {
        std::size_t size = 16;
        while (too_full(count, size)) size *= 2;
        LargeVector<std::uint64_t> before(size, nothing);
        buckets_.swap(before);
        for (const std::uint64_t each : before)
            if (static_cast<std::uint32_t>(each) != absent) place(each);
    }

    LargeVector<std::uint64_t> buckets_;
    std::size_t used_ = 0;
};

}  // namespace sidereal
