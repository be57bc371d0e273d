// Stores that go past the caches.
//
// An output far larger than the last-level cache would only push the input out of it, and each
// line would be read before it is overwritten; non-temporal stores avoid both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace sidereal {

inline bool worth_streaming(std::size_t bytes) {
    return bytes >= std::size_t{48} << 20;
}

// Stores past the caches are in memory before what follows.
inline void stores_done() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

inline void plain_copy(void* to, const void* from, std::size_t bytes) {
    std::memcpy(to, from, bytes);
}

// As memcpy; `from` is in the cache, `to` will not be. Both are aligned to four bytes at least.
inline void stream_copy(void* to, const void* from, std::size_t bytes) {
#if defined(__SSE2__)
    auto* out = static_cast<std::uint8_t*>(to);
    const auto* in = static_cast<const std::uint8_t*>(from);
    const std::size_t skew = (16 - reinterpret_cast<std::uintptr_t>(out) % 16) % 16;
    const std::size_t head = skew < bytes ? skew : bytes;
    std::memcpy(out, in, head);
    std::size_t at = head;
    for (; at + 16 <= bytes; at += 16)
        _mm_stream_si128(reinterpret_cast<__m128i*>(out + at),
                         _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + at)));
    std::memcpy(out + at, in + at, bytes - at);
    _mm_sfence();
#else
    std::memcpy(to, from, bytes);
#endif
}

}  // namespace sidereal
