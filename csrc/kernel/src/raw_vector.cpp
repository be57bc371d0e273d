// Large blocks are aligned to huge pages, and the system is told. Blocks that were freed are kept
// for the next call, up to a bound: what a tick makes is made again by the next tick, and a page
// that is new costs more than the work on it.
#include "sidereal/raw_vector.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <mutex>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sidereal {
namespace {

constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;
constexpr std::size_t kept_block_bytes_min = std::size_t{64} << 10;
constexpr std::size_t kept_bytes_max = std::size_t{96} << 20;

bool is_large(std::size_t bytes) {
    return bytes >= 2 * huge_page_bytes;
}

// Sizes in steps of a sixteenth, so that vectors of about the same size share blocks.
std::size_t rounded(std::size_t bytes) {
    const std::size_t step = std::max<std::size_t>(1, std::bit_floor(bytes) / 16);
    return (bytes + step - 1) / step * step;
}

void* fresh(std::size_t bytes) {
    if (!is_large(bytes)) return ::operator new(bytes);
    void* const memory = ::operator new(bytes, std::align_val_t{huge_page_bytes});
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    // Whole pages only, so that no neighbour's memory is meant; refusal is no harm.
    static_cast<void>(madvise(memory, bytes / huge_page_bytes * huge_page_bytes, MADV_HUGEPAGE));
#endif
    return memory;
}

void give_back(void* memory, std::size_t bytes) noexcept {
    if (is_large(bytes))
        ::operator delete(memory, std::align_val_t{huge_page_bytes});
    else
        ::operator delete(memory);
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool keeps = false;  // a block that is kept hides its use after it was freed
#else
constexpr bool keeps = true;
#endif

// The blocks kept. Never waits: whoever finds it locked (in a forked child perhaps for ever) asks
// the system.
class Kept {
  public:
    void* take(std::size_t bytes) {
        const std::unique_lock lock(mutex_, std::try_to_lock);
        if (!lock.owns_lock()) return nullptr;
        for (std::size_t i = count_; i-- > 0;)
            if (blocks_[i].bytes == bytes) {
                void* const memory = blocks_[i].memory;
                remove(i);
                return memory;
            }
        return nullptr;
    }

    // False if the block is the caller's to free.
    bool keep(void* memory, std::size_t bytes) noexcept {
        if (bytes > kept_bytes_max) return false;
        const std::unique_lock lock(mutex_, std::try_to_lock);
        if (!lock.owns_lock()) return false;
        while (count_ == blocks_.size() || total_ + bytes > kept_bytes_max) {
            give_back(blocks_[0].memory, blocks_[0].bytes);
            remove(0);
        }
        blocks_[count_++] = {memory, bytes};
        total_ += bytes;
        return true;
    }

  private:
    struct Block {
        void* memory;
        std::size_t bytes;
    };

    // Oldest first.
    void remove(std::size_t i) noexcept {
        total_ -= blocks_[i].bytes;
        for (--count_; i < count_; ++i) blocks_[i] = blocks_[i + 1];
    }

    std::mutex mutex_;
    std::array<Block, 32> blocks_;
    std::size_t count_ = 0, total_ = 0;
};

// Never destroyed: arrays may outlive every static object.
Kept& kept() {
    static Kept* const the_kept = new Kept;
    return *the_kept;
}

}  // namespace

void* allocate_bytes(std::size_t bytes) {
    if (!keeps || bytes < kept_block_bytes_min) return fresh(bytes);
    bytes = rounded(bytes);
    void* const memory = kept().take(bytes);
    return memory ? memory : fresh(bytes);
}

void free_bytes(void* memory, std::size_t bytes) noexcept {
    if (keeps && bytes >= kept_block_bytes_min) {
        bytes = rounded(bytes);
        if (kept().keep(memory, bytes)) return;
    }
    give_back(memory, bytes);
}

}  // namespace sidereal
