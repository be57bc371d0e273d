// Vectors for large columns.
//
// Large blocks ask the system for huge pages: a page fault for each 4 kB, and a missing
// translation for each row in random order, cost more than the work on the rows. RawVector also
// leaves new elements as they are: a result that is written in full right after it is made need
// not be filled with zeros first.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace sidereal {

// Memory of `bytes`, on huge pages where it is large and the system has them.
void* allocate_bytes(std::size_t bytes);
void free_bytes(void* memory, std::size_t bytes) noexcept;

template <class T>
struct LargeAllocator {
    using value_type = T;
    LargeAllocator() = default;
    template <class U>
    LargeAllocator(const LargeAllocator<U>&) noexcept {}

    T* allocate(std::size_t n) {
        if (n > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_array_new_length();
        return static_cast<T*>(allocate_bytes(n * sizeof(T)));
    }
    void deallocate(T* memory, std::size_t n) noexcept { free_bytes(memory, n * sizeof(T)); }

    friend bool operator==(const LargeAllocator&, const LargeAllocator&) { return true; }
};

template <class T>
struct RawAllocator : LargeAllocator<T> {
    template <class U>
    struct rebind {
        using other = RawAllocator<U>;
    };
    RawAllocator() = default;
    template <class U>
    RawAllocator(const RawAllocator<U>&) noexcept {}

    template <class U>
    void construct(U* at) noexcept {
        ::new (static_cast<void*>(at)) U;
    }
    template <class U, class... Args>
    void construct(U* at, Args&&... args) {
        ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...);
    }
};

// As std::vector.
template <class T>
using LargeVector = std::vector<T, LargeAllocator<T>>;

// As std::vector of a trivial T, but resize() leaves new elements as they are.
template <class T>
using RawVector = std::vector<T, RawAllocator<T>>;

}  // namespace sidereal
