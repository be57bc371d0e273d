// Opaque blobs of up to 60,000 bytes, one a row, in one arena.
//
// A blob that still fits its place is overwritten there; a longer one goes to the end and leaves a
// hole. When more than half of the arena is holes, the live blobs are packed into a new one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sidereal/raw_vector.hpp"

namespace sidereal {

inline constexpr std::size_t blob_bytes_max = 60000;

class BlobArena {
  public:
    std::span<const std::uint8_t> get(std::size_t row) const;
    std::uint32_t length(std::size_t row) const { return lengths_[row]; }

    // Copies the rows' blobs to `to`, one after the other.
    void gather(std::span<const std::uint32_t> rows, std::uint8_t* to) const;

    // Fetches where a row's blob is; then the blob itself, to be looked at soon.
    void prefetch_place(std::size_t row) const {
        __builtin_prefetch(&places_[row]);
        __builtin_prefetch(&lengths_[row]);
    }
    void prefetch(std::size_t row) const {
        __builtin_prefetch(arena_.data() + std::size_t{places_[row]} * 8);
    }

    // `bytes` may lie in the arena itself.
    void set(std::size_t row, std::span<const std::uint8_t> bytes);

    // Writes a blob over one of the same length; whether it differs.
    bool overwrite(std::size_t row, std::span<const std::uint8_t> bytes);

    // Rows that are added have empty blobs.
    void resize(std::size_t rows);
    void reserve(std::size_t rows);

    // Gives each row r the blob that row order[r] had; each row is in `order` once.
    void arrange(std::span<const std::uint32_t> order);

    // Moves the last row's blob to `row`, whose own is dropped, and forgets the last row.
    void swap_remove(std::size_t row);
    void clear();

    // The sum of all lengths.
    std::size_t live_bytes() const { return live_; }
    std::size_t arena_bytes() const { return arena_.capacity(); }

    // Memory beside the arena: what each row costs without a blob.
    std::size_t row_bytes() const { return places_.capacity() * 4 + lengths_.capacity() * 2; }

  private:
    static std::size_t room(std::size_t length) { return (length + 7) / 8 * 8; }
    void pack();

    std::vector<std::uint32_t> places_;  // in units of eight bytes
    std::vector<std::uint16_t> lengths_;
    LargeVector<std::uint8_t> arena_;
    std::size_t live_ = 0;
    std::size_t held_ = 0;  // live bytes, each blob rounded up to its room
};

}  // namespace sidereal
