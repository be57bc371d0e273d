// From the index in a handle to a row.
//
// A handle is 32 bits: an index of 24, and above it a generation of 8. A process may hold few
// entities whose indices lie far apart, so the index is kept in pages that are made when used.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "sidereal/grid.hpp"

namespace sidereal {

inline constexpr std::uint32_t no_handle = 0xFFFFFFFFu;

class HandleIndex {
  public:
    // The row of a handle's index, or absent; the generation is not looked at.
    std::uint32_t row(std::uint32_t handle) const {
        const auto& page = pages_[page_of(handle)];
        return page ? (*page)[handle & 0xFFFu] : absent;
    }

    void prefetch(std::uint32_t handle) const {
        const auto& page = pages_[page_of(handle)];
        if (page) __builtin_prefetch(&(*page)[handle & 0xFFFu]);
    }

    void set(std::uint32_t handle, std::uint32_t row) {
        auto& page = pages_[page_of(handle)];
        if (!page) {
            page = std::make_unique<Page>();
            page->fill(absent);
        }
        (*page)[handle & 0xFFFu] = row;
    }

    void clear() {
        for (auto& page : pages_) page.reset();
    }

    std::size_t bytes() const {
        std::size_t sum = sizeof(*this);
        for (const auto& page : pages_) sum += page ? sizeof(Page) : 0;
        return sum;
    }

  private:
    using Page = std::array<std::uint32_t, 4096>;
    static std::uint32_t page_of(std::uint32_t handle) { return handle >> 12 & 0xFFFu; }

    std::array<std::unique_ptr<Page>, 4096> pages_;
};

}  // namespace sidereal
