// Encoding rows a block at a time: by the columns themselves where the rows of a block lie side by
// side, as they nearly always do, and gathered where they do not.
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

class Drafting {
  public:
    Drafting(const Columns& columns, double size, std::uint32_t tick, Draft& out)
        : c_(columns), size_(size), tick_(tick), out_(out) {}

    // Encodes rows of the draft, from `begin` on.
    void add(std::size_t begin, std::span<const std::uint32_t> slots) {
        const std::size_t n = slots.size();
        const std::uint32_t slot = slots[0];
        const Source from = run_length(slots) == n
                                ? Source{&c_.position[slot], &c_.velocity[slot], &c_.sector[slot],
                                         &c_.handle[slot]}
                                : gathered_.gather(c_, slots);
        bool fit = passes().quantise(&from.position->x, &from.sector->x, n * 2, size_, &cells_[0].x);
        fit &= narrow(from.velocity, n, speeds_.data());
        unsigned unfit = 0;
        UpdateRow* const rows = out_.rows.data() + begin;
        auto* to = reinterpret_cast<std::uint8_t*>(rows);
        for (std::size_t i = 0; i < n; ++i, to += update_row_bytes) {
            unfit |= unsigned{from.handle[i] == no_handle} | unsigned{c_.tick[slots[i]] != tick_};
            std::memcpy(to + offsetof(UpdateRow, handle), &from.handle[i], 4);
            std::memcpy(to + offsetof(UpdateRow, qx), &cells_[i], 8);
            std::memcpy(to + offsetof(UpdateRow, vx), &speeds_[i * 2], 8);
        }
        fit &= unfit == 0;
        for (std::size_t i = 0; i < n;) {
            std::size_t end = i + 1;
            while (end < n && from.sector[end] == from.sector[i]) ++end;
            const std::uint32_t group =
                exists(from.sector[i]) ? out_.groups.number(from.sector[i]) : no_group;
            if (fit && group != no_group) {
                note(group, end - i);
            } else {
                for (std::size_t row = i; row < end; ++row)
                    if (group != no_group && refit(from, row, slots[row], rows[row]))
                        note(group, 1);
                    else
                        skip(slots[row]);
            }
            i = end;
        }
    }

  private:
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

    void skip(std::uint32_t slot) {
        note(no_group, 1);
        out_.skipped.push_back(slot);
    }

    const Columns& c_;
    const double size_;
    const std::uint32_t tick_;
    Draft& out_;
    Gathered gathered_;
    std::array<Cell, block> cells_;
    std::array<float, block * 2> speeds_;
};

}  // namespace

Draft draft_rows(const EntityTable& table, std::span<const std::uint32_t> slots, double size,
                 std::uint32_t tick, const SectorMap& epochs) {
    require_cells(size);
    table.require_slots(slots);
    Draft out(epochs);
    out.rows.resize(slots.size());
    Drafting drafting(table.columns(), size, tick, out);
    for (std::size_t at = 0; at < slots.size(); at += block)
        drafting.add(at, slots.subspan(at, std::min(block, slots.size() - at)));
    return out;
}

}  // namespace sidereal
