// A vector whose new elements are left as they are.
//
// Large results are written in full right after they are made: filling them with zeros first would
// touch every page twice, which costs more than most of the work here.
#pragma once

#include <memory>
#include <utility>
#include <vector>

namespace sidereal {

template <class T>
struct RawAllocator : std::allocator<T> {
    template <class U>
    struct rebind {
        using other = RawAllocator<U>;
    };
    template <class U>
    void construct(U* at) noexcept {
        ::new (static_cast<void*>(at)) U;
    }
    template <class U, class... Args>
    void construct(U* at, Args&&... args) {
        ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...);
    }
};

// T must be trivial.
template <class T>
using RawVector = std::vector<T, RawAllocator<T>>;

}  // namespace sidereal
