// Opaque blobs of up to 60,000 bytes, one a row, in one arena.
//
// A blob that still fits its place is overwritten there; a longer one goes to the end and leaves a
// hole. When more than half of the arena is holes, the live blobs are packed into a new one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
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

    // Writes blobs (one or more), one after the other, over those of rows for as long as all have
    // one length: the blobs, and those they replace. Calls f(i, whether blob i differs) for each;
    // returns how many were written: none where that length is none of the few that it knows.
    template <class F>
    std::size_t overwrite_even(std::span<const std::uint32_t> rows,
                               std::span<const std::uint32_t> lengths, const std::uint8_t* from,
                               F&& f);

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

template <class F>
std::size_t BlobArena::overwrite_even(std::span<const std::uint32_t> rows,
                                      std::span<const std::uint32_t> lengths,
                                      const std::uint8_t* from, F&& f) {
    const std::size_t length = lengths[0];
    // Word by word: calls to compare and to copy cost more than small blobs themselves.
    const auto by_words = [&]<std::size_t words>(std::integral_constant<std::size_t, words>) {
        constexpr std::size_t ahead = 16;
        const std::uint32_t* const places = places_.data();
        const std::uint16_t* const long_ = lengths_.data();
        std::uint8_t* const arena = arena_.data();
        std::size_t i = 0;
        for (; i < rows.size(); ++i, from += words * 8) {
            const std::uint32_t row = rows[i];
            if (lengths[i] != length || long_[row] != length) break;
            if (i + ahead < rows.size())
                __builtin_prefetch(arena + std::size_t{places[rows[i + ahead]]} * 8, 1);
            std::uint8_t* const to = arena + std::size_t{places[row]} * 8;
            std::uint64_t before[words], after[words], differ = 0;
            std::memcpy(before, to, sizeof before);
            std::memcpy(after, from, sizeof after);
            for (std::size_t w = 0; w < words; ++w) differ |= before[w] ^ after[w];
            std::memcpy(to, after, sizeof after);
            f(i, differ != 0);
        }
        return i;
    };
    switch (length) {
        case 8:
            return by_words(std::integral_constant<std::size_t, 1>{});
        case 16:
            return by_words(std::integral_constant<std::size_t, 2>{});
        case 24:
            return by_words(std::integral_constant<std::size_t, 3>{});
        case 32:
            return by_words(std::integral_constant<std::size_t, 4>{});
        case 48:
            return by_words(std::integral_constant<std::size_t, 6>{});
        case 64:
            return by_words(std::integral_constant<std::size_t, 8>{});
        default:
            return 0;
    }
}

}  // namespace sidereal
