// Encoding rows a block at a time: straight from the columns where the rows of a block lie side by
// side, or most of those that do are wanted; gathered first where they do not.
#include "draft.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "passes.hpp"
#include "runs.hpp"
#include "sidereal/quantise.hpp"

namespace sidereal {
namespace {

constexpr std::size_t block = 128;
constexpr std::size_t ahead = 16;  // rows between a fetch and its use

struct Cell {
    std::int32_t x, y;
};

// Velocities as floats; false if one of them is not finite as such.
bool narrow(const Vec2* from, std::size_t n, float* to) {
    unsigned bad = 0;
    for (std::size_t i = 0; i < n; ++i) {
        to[i * 2] = static_cast<float>(from[i].x);
        to[i * 2 + 1] = static_cast<float>(from[i].y);
    }
    for (std::size_t i = 0; i < n * 2; ++i) {
        const auto bits = std::bit_cast<std::uint32_t>(to[i]);
        bad |= unsigned{(bits & 0x7F800000u) == 0x7F800000u};
    }
    return bad == 0;
}

// Rows to be encoded, side by side: of the columns themselves, or gathered.
struct Source {
    const Vec2* position;
    const Vec2* velocity;
    const Sector* sector;
    const std::uint32_t* handle;

    static Source at(const Columns& c, std::size_t slot) {
        return {&c.position[slot], &c.velocity[slot], &c.sector[slot], &c.handle[slot]};
    }
};

// Room for rows that do not lie side by side.
struct Gathered {
    std::array<Vec2, block> position, velocity;
    std::array<Sector, block> sector;
    std::array<std::uint32_t, block> handle;

    Source gather(const Columns& c, std::span<const std::uint32_t> slots) {
        for (std::size_t i = 0; i < slots.size(); ++i) {
            if (i + ahead < slots.size()) {
                const std::uint32_t later = slots[i + ahead];
                __builtin_prefetch(&c.position[later]);
                __builtin_prefetch(&c.sector[later]);
                __builtin_prefetch(&c.velocity[later]);
                __builtin_prefetch(&c.handle[later]);
            }
            position[i] = c.position[slots[i]];
            velocity[i] = c.velocity[slots[i]];
            sector[i] = c.sector[slots[i]];
            handle[i] = c.handle[slots[i]];
        }
        return {position.data(), velocity.data(), sector.data(), handle.data()};
    }
};

// Which rows of a block are wanted, a byte each: 1 or 0.
using Wanted = std::array<std::uint8_t, block>;

class Drafting {
  public:
    Drafting(const Columns& columns, double size, std::uint32_t tick, Draft& out)
        : c_(columns), size_(size), tick_(tick), out_(out) {}

    // Encodes rows, at most a block.
    void add(std::span<const std::uint32_t> slots) {
        const std::size_t n = slots.size();
        const bool whole = run_length(slots) == n;
        const Source from = whole ? Source::at(c_, slots[0]) : gathered_.gather(c_, slots);
        unsigned other = 0;
        for (const std::uint32_t slot : slots) other |= unsigned{c_.tick[slot] != tick_};
        encode(from, all_, n, other == 0, [slots](std::size_t i) { return slots[i]; });
    }

    // Encodes those of n rows side by side that are wanted, `count` of them and at least one, all
    // of the tick. Where many are, the others are encoded too: they are written over by the next.
    void add(std::uint32_t slot, const Wanted& wanted, std::size_t n, std::size_t count) {
        if (count * 4 > n) {
            encode(Source::at(c_, slot), wanted, n, true,
                   [slot](std::size_t i) { return slot + static_cast<std::uint32_t>(i); });
            return;
        }
        std::array<std::uint32_t, block> slots;
        std::size_t found = 0;
        for (std::size_t i = 0; i < n; ++i)
            if (wanted[i] != 0) slots[found++] = slot + static_cast<std::uint32_t>(i);
        add(std::span(slots).first(found));
    }

  private:
    template <class SlotOf>
    void encode(const Source& from, const Wanted& wanted, std::size_t n, bool of_tick,
                SlotOf slot_of) {
        bool fit =
            passes().quantise(&from.position->x, &from.sector->x, n * 2, size_, &cells_[0].x);
        fit &= narrow(from.velocity, n, speeds_.data());
        UpdateRow* row = out_.rows.data() + rows_;
        auto* to = reinterpret_cast<std::uint8_t*>(row);
        unsigned unfit = unsigned{!of_tick};
        for (std::size_t i = 0; i < n; ++i) {
            unfit |= unsigned{from.handle[i] == no_handle} & wanted[i];
            std::memcpy(to + offsetof(UpdateRow, handle), &from.handle[i], 4);
            std::memcpy(to + offsetof(UpdateRow, qx), &cells_[i], 8);
            std::memcpy(to + offsetof(UpdateRow, vx), &speeds_[i * 2], 8);
            to += wanted[i] * update_row_bytes;
        }
        fit &= unfit == 0;
        for (std::size_t i = 0; i < n;) {
            const Sector sector = from.sector[i];
            const std::size_t first = i;
            std::size_t count = 0;
            for (; i < n && from.sector[i] == sector; ++i) count += wanted[i];
            if (count == 0) continue;
            const std::uint32_t group = exists(sector) ? out_.groups.number(sector) : no_group;
            rows_ += count;
            if (fit && group != no_group) {
                note(group, count);
                row += count;
                continue;
            }
            for (std::size_t each = first; each < i; ++each) {
                if (wanted[each] == 0) continue;
                const std::uint32_t slot = slot_of(each);
                if (group != no_group && refit(from, each, slot, *row)) {
                    note(group, 1);
                } else {
                    note(no_group, 1);
                    out_.skipped.push_back(slot);
                }
                ++row;
            }
        }
    }

    // Whether an update can carry a row; its cells are looked for once more.
    bool refit(const Source& from, std::size_t i, std::uint32_t slot, UpdateRow& row) const {
        return row.handle != no_handle && c_.tick[slot] == tick_ && std::isfinite(row.vx) &&
               std::isfinite(row.vy) &&
               cell_of(from.sector[i].x, from.position[i].x, size_, row.qx) &&
               cell_of(from.sector[i].y, from.position[i].y, size_, row.qy);
    }

    void note(std::uint32_t group, std::size_t rows) {
        if (out_.runs.empty() || out_.runs.back().group != group) out_.runs.push_back({group, 0});
        out_.runs.back().rows += static_cast<std::uint32_t>(rows);
        if (group != no_group) out_.groups.all[group].rows += rows;
    }

    const Columns& c_;
    const double size_;
    const std::uint32_t tick_;
    Draft& out_;
    std::size_t rows_ = 0;
    Gathered gathered_;
    std::array<Cell, block> cells_;
    std::array<float, block * 2> speeds_;
    const Wanted all_ = [] {
        Wanted ones;
        ones.fill(1);
        return ones;
    }();
};

// A 1 in each byte that is not 0.
std::uint64_t set_bytes(std::uint64_t x) {
    constexpr std::uint64_t low = 0x7F7F7F7F7F7F7F7F;
    return (((x & low) + low) | x) >> 7 & 0x0101010101010101;
}

// Which of n rows, from `slot` on, are of a tick and have phase 0 and a mark, which it takes away;
// how many. Eight at a time.
std::size_t take_marked(Columns& c, std::size_t slot, std::size_t n, std::uint32_t tick,
                        std::uint8_t mark, Wanted& wanted) {
    constexpr std::uint64_t one_each = 0x0101010101010101;
    std::size_t count = 0;
    for (std::size_t at = 0; at < n; at += 8) {
        const std::size_t some = std::min<std::size_t>(8, n - at);
        std::uint64_t phases = 0, marks = 0, of_tick = 0;
        std::memcpy(&phases, &c.phase[slot + at], some);
        std::memcpy(&marks, &c.dirty[slot + at], some);
        std::uint8_t same[8] = {};
        for (std::size_t i = 0; i < some; ++i) same[i] = c.tick[slot + at + i] == tick ? 1 : 0;
        std::memcpy(&of_tick, same, 8);
        const std::uint64_t taken =
            set_bytes(marks & one_each * mark) & ~set_bytes(phases) & of_tick;
        marks &= ~(taken * mark);
        std::memcpy(&c.dirty[slot + at], &marks, some);
        std::memcpy(&wanted[at], &taken, 8);
        count += taken * one_each >> 56;
    }
    return count;
}

}  // namespace

Draft draft_rows(const EntityTable& table, std::span<const std::uint32_t> slots, double size,
                 std::uint32_t tick, const SectorMap& epochs) {
    require_cells(size);
    table.require_slots(slots);
    Draft out(epochs, slots.size());
    Drafting drafting(table.columns(), size, tick, out);
    for (std::size_t at = 0; at < slots.size(); at += block)
        drafting.add(slots.subspan(at, std::min(block, slots.size() - at)));
    return out;
}

Draft draft_marked(EntityTable& table, double size, std::uint32_t tick, std::uint8_t mark,
                   const SectorMap& epochs) {
    require_cells(size);
    Draft out(epochs, table.rows());
    Drafting drafting(table.columns(), size, tick, out);
    Wanted wanted;
    for (std::size_t at = 0; at < table.rows(); at += block) {
        const std::size_t n = std::min(block, table.rows() - at);
        const std::size_t count = take_marked(table.columns(), at, n, tick, mark, wanted);
        if (count > 0) drafting.add(static_cast<std::uint32_t>(at), wanted, n, count);
    }
    return out;
}

}  // namespace sidereal
