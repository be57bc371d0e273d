// Grouping within a window: at once where the caches hold the order, else first to buckets of
// neighbouring cells and then, bucket by bucket, to the cells.
//
// An entry of a bucket is 32 bits: the cell within the bucket, and the row within its lane. A
// bucket, and what is written of the order from it, fit the second-level cache: that part of the
// order is fetched while the bucket's cells are counted.
#include "sidereal/group.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <utility>

#include "parallel.hpp"
#include "passes.hpp"
#include "spread.hpp"
#include "window.hpp"

namespace sidereal {
namespace {

constexpr std::size_t direct_rows = std::size_t{3} << 19;   // fewer go to their cells at once
constexpr std::size_t part_rows = std::size_t{128} * 1024;  // fewer are not worth waking a thread
constexpr std::size_t bucket_rows = std::size_t{16} * 1024;
constexpr std::size_t buckets_max = 512;

constexpr std::size_t step = 256;       // rows whose cells are found together
constexpr std::size_t rows_ahead = 32;  // how early a line of the order is fetched, in rows

// The cells of some rows; false if any is outside. The rows after them are fetched.
bool cells_of(std::span<const Sector> rows, std::size_t begin, std::size_t n, const Window& window,
              std::array<std::uint32_t, step>& cells) {
    const bool all = passes().cells(&rows[begin].x, n, window.x, window.y, window.width,
                                    window.height, cells.data());
    for (std::size_t i = 0; i < n; i += 8) __builtin_prefetch(rows.data() + begin + n + i);
    return all;
}

// Rows go in lanes, in turns. Where a counter comes again soon, a processor that was wrong about it
// once makes each addition wait for the one before; lanes never share a counter. Measured: half
// the time of one lane.
constexpr std::size_t lanes = 2;

// Written out, not a loop: the processor knows counters by the instruction that writes them.
template <class F>
[[gnu::always_inline]] inline void in_each_lane(F&& f) {
    f(std::size_t{0}), f(std::size_t{1});
}

std::vector<std::uint32_t> joined(const std::vector<std::vector<std::uint32_t>>& parts) {
    std::vector<std::uint32_t> all;
    for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

// How cells are cut into buckets and rows into lanes, and how an entry is made of both.
struct Layout {
    unsigned cell_bits, row_bits;
    std::size_t buckets, lane_rows, all_lanes, rows;

    Layout(std::size_t n, std::uint32_t cells) : rows(n) {
        const std::size_t wanted = std::clamp<std::size_t>(rows / bucket_rows, 1, buckets_max);
        cell_bits = static_cast<unsigned>(std::bit_width((cells - 1) / wanted));
        cell_bits = std::clamp(cell_bits, 1u, 16u);
        row_bits = 32 - cell_bits;
        buckets = ((cells - 1) >> cell_bits) + 1;
        const std::size_t turns =
            std::max(Cut(rows, part_rows).parts(), (rows >> row_bits) / lanes + 1);
        all_lanes = turns * lanes;
        lane_rows = (rows / all_lanes / step + 1) * step;
    }
    Range lane(std::size_t k) const {
        return {std::min(rows, k * lane_rows), std::min(rows, (k + 1) * lane_rows)};
    }
};

// All rows, by bucket, then lane, ascending.
class Buckets {
  public:
    Buckets(std::span<const Sector> rows, const Window& window)
        : layout_(rows.size(), window.cells()),
          next_(layout_.all_lanes * layout_.buckets),
          strangers_(layout_.all_lanes) {
        const unsigned cell_bits = layout_.cell_bits, row_bits = layout_.row_bits;
        each_row(
            rows, window,
            [=](std::uint32_t* n, std::uint32_t cell, std::size_t) { ++n[cell >> cell_bits]; },
            [this](std::size_t k, std::size_t i) {
                strangers_[k].push_back(static_cast<std::uint32_t>(layout_.lane(k).begin + i));
            });
        std::size_t sum = 0;
        for (std::size_t b = 0; b < layout_.buckets; ++b)
            for (std::size_t k = 0; k < layout_.all_lanes; ++k)
                sum += std::exchange(lane(k)[b], static_cast<std::uint32_t>(sum));
        entries_.resize(sum);
        each_row(
            rows, window,
            [=, entries = entries_.data()](std::uint32_t* to, std::uint32_t cell, std::size_t i) {
                entries[to[cell >> cell_bits]++] = cell << row_bits | static_cast<std::uint32_t>(i);
            },
            [](std::size_t, std::size_t) {});
    }

    const Layout& layout() const { return layout_; }

    std::vector<std::uint32_t> strangers() const { return joined(strangers_); }

    // How many rows are in the buckets before.
    std::uint32_t begin(std::size_t bucket) const {
        return bucket == 0
                   ? 0
                   : next_[layout_.all_lanes * layout_.buckets - layout_.buckets + bucket - 1];
    }

    // Calls f(k, cell within the bucket, row) for the rows of a bucket, in turns from `lanes` parts
    // of it, k their number; ascending in each.
    template <class F>
    void each(std::size_t bucket, F&& f) const {
        const unsigned row_bits = layout_.row_bits;
        const std::uint32_t mask = (1u << row_bits) - 1;
        const std::size_t part = layout_.all_lanes / lanes;
        std::array<Run, lanes> runs;
        for (std::size_t k = 0; k < lanes; ++k) runs[k] = run(bucket, k * part);
        for (;;) {
            std::size_t n = static_cast<std::size_t>(-1);
            for (std::size_t k = 0; k < lanes; ++k) {
                while (runs[k].n == 0 && (runs[k].lane + 1) % part != 0)
                    runs[k] = run(bucket, runs[k].lane + 1);
                n = std::min(n, runs[k].n);
            }
            if (n == 0) break;
            for (std::size_t i = 0; i < n; ++i)
                in_each_lane([&](std::size_t k) {
                    const std::uint32_t entry = runs[k].at[i];
                    f(k, entry >> row_bits, runs[k].base + (entry & mask));
                });
            for (Run& run : runs) run.at += n, run.n -= n;
        }
        for (std::size_t k = 0; k < lanes; ++k)
            for (Run r = runs[k];; r = run(bucket, r.lane + 1)) {
                for (std::size_t i = 0; i < r.n; ++i)
                    f(k, r.at[i] >> row_bits, r.base + (r.at[i] & mask));
                if ((r.lane + 1) % part == 0) break;
            }
    }

  private:
    // What a bucket has of a lane, and the row that its entries count from.
    struct Run {
        const std::uint32_t* at;
        std::size_t n;
        std::uint32_t base;
        std::size_t lane;
    };

    std::uint32_t* lane(std::size_t k) { return next_.data() + k * layout_.buckets; }

    // Where the rows of a lane in a bucket end, the following lane's begin.
    Run run(std::size_t bucket, std::size_t k) const {
        const auto end = [&](std::size_t lane) { return next_[lane * layout_.buckets + bucket]; };
        const std::uint32_t from = k > 0 ? end(k - 1) : begin(bucket);
        return {entries_.data() + from, end(k) - from,
                static_cast<std::uint32_t>(layout_.lane(k).begin), k};
    }

    // Calls f(the lane's counters, cell, row within the lane) for all rows, some lanes in turns;
    // set_aside(lane, row within the lane) for those outside.
    template <class F, class G>
    void each_row(std::span<const Sector> rows, const Window& window, F f, G set_aside) {
        parallel(layout_.all_lanes / lanes, [&, this](std::size_t turn) {
            std::array<std::array<std::uint32_t, step>, lanes> cells;
            std::array<std::uint32_t*, lanes> counters;
            for (std::size_t k = 0; k < lanes; ++k) counters[k] = lane(turn * lanes + k);
            for (std::size_t at = 0; at < layout_.lane_rows; at += step) {
                bool full = true;
                std::array<std::size_t, lanes> n;
                for (std::size_t k = 0; k < lanes; ++k) {
                    const Range range = layout_.lane(turn * lanes + k);
                    n[k] = std::min(step, range.size() - std::min(at, range.size()));
                    full &= n[k] == step;
                    if (n[k] > 0) full &= cells_of(rows, range.begin + at, n[k], window, cells[k]);
                }
                for (std::size_t i = 0; full && i < step; ++i)
                    in_each_lane([&](std::size_t k) { f(counters[k], cells[k][i], at + i); });
                for (std::size_t k = 0; !full && k < lanes; ++k)
                    for (std::size_t i = 0; i < n[k]; ++i) {
                        if (cells[k][i] != outside)
                            f(counters[k], cells[k][i], at + i);
                        else
                            set_aside(turn * lanes + k, at + i);
                    }
            }
        });
    }

    Layout layout_;
    std::vector<std::uint32_t> next_;  // by lane, then bucket: where the next entry goes
    std::vector<std::vector<std::uint32_t>> strangers_;  // by lane: rows outside of the window
    RawVector<std::uint32_t> entries_;
};

// How many rows each cell has in each lane, and then where they go.
class Places {
  public:
    Places(std::size_t lanes, std::size_t cells)
        : lanes_(lanes), cells_(cells), n_(lanes * cells) {}

    std::uint32_t* lane(std::size_t k) { return n_.data() + k * cells_; }

    std::uint32_t rows(std::size_t cell) const {
        std::uint32_t sum = 0;
        for (std::size_t k = 0; k < lanes_; ++k) sum += n_[k * cells_ + cell];
        return sum;
    }

    // The cell's rows go to `begin` and after it, lanes in order. Returns how many there are.
    std::uint32_t place(std::size_t cell, std::uint32_t begin) {
        const std::uint32_t first = begin;
        for (std::size_t k = 0; k < lanes_; ++k)
            begin += std::exchange(n_[k * cells_ + cell], begin);
        return begin - first;
    }

    // Once all rows went where they go: where the cell's end.
    std::uint32_t end(std::size_t cell) const { return n_[(lanes_ - 1) * cells_ + cell]; }

  private:
    std::size_t lanes_, cells_;
    LargeVector<std::uint32_t> n_;
};

// Rows outside of the window, in groups of their own.
struct Strangers {
    std::vector<std::uint32_t> rows;
    Groups groups;

    Strangers(std::vector<std::uint32_t>&& of, std::span<const Sector> all) : rows(std::move(of)) {
        std::vector<Sector> where;
        where.reserve(rows.size());
        for (const std::uint32_t row : rows) where.push_back(all[row]);
        groups = group_spread(where);
    }

    // How many of the groups from `group` on come before a row of the window's cells.
    std::size_t before(const Window& window, std::uint32_t y, std::size_t group) const {
        const std::uint64_t key = key_of(window.sector(y, 0));
        const std::size_t from = group;
        while (group < groups.sectors.size() && key_of(groups.sectors[group]) < key) ++group;
        return group - from;
    }
};

// Makes the groups of all `occupied` cells, by y, then x, with the strangers' among them.
// rows_of(cell, begin) says how many rows a cell has; they go to `begin` and after it. Strangers'
// rows are put into the order.
template <class F>
void lay_out(const Window& window, const Strangers& strangers, std::size_t occupied,
             std::span<std::uint32_t> order, Groups& out, F&& rows_of) {
    const Groups& far = strangers.groups;
    occupied += far.sectors.size();
    out.sectors.resize(occupied);
    out.offsets.resize(occupied + 1);
    out.offsets[0] = 0;
    std::size_t at = 0, next_far = 0;
    std::uint32_t begin = 0;
    const auto put = [&](Sector s, std::uint32_t n) {
        out.sectors[at] = s;
        out.offsets[++at] = begin += n;
    };
    const auto put_far = [&] {
        const std::uint32_t first = far.offsets[next_far], last = far.offsets[next_far + 1];
        for (std::uint32_t i = first; i < last; ++i)
            order[begin + i - first] = strangers.rows[far.order[i]];
        put(far.sectors[next_far++], last - first);
    };
    std::uint32_t cell = 0;
    for (std::uint32_t y = 0; y < window.height; ++y) {
        for (std::size_t n = strangers.before(window, y, next_far); n > 0; --n) put_far();
        for (std::uint32_t x = 0; x < window.width; ++x, ++cell) {
            const std::uint32_t n = rows_of(cell, begin);
            if (n != 0) put(window.sector(y, x), n);
        }
    }
    while (next_far < far.sectors.size()) put_far();
}

bool group_by_buckets(std::span<const Sector> rows, const Window& window,
                      std::span<std::uint32_t> order, Groups& out) {
    const Buckets buckets(rows, window);
    const Layout& layout = buckets.layout();
    std::vector<std::uint32_t> apart = buckets.strangers();
    if (apart.size() > outside_max(rows.size())) return false;
    const Strangers strangers(std::move(apart), rows);

    // How many strangers come before each row of cells.
    std::vector<std::uint32_t> before(window.height);
    for (std::size_t y = 0, far = 0; y < before.size(); ++y) {
        far += strangers.before(window, static_cast<std::uint32_t>(y), far);
        before[y] = strangers.groups.offsets[far];
    }
    Places places(lanes, layout.buckets << layout.cell_bits);
    std::vector<std::uint32_t> occupied(layout.buckets);
    parallel(layout.buckets, [&](std::size_t b) {
        const std::size_t first = b << layout.cell_bits;
        const std::size_t last =
            std::min<std::size_t>(window.cells(), first + (std::size_t{1} << layout.cell_bits));
        std::array<std::uint32_t*, lanes> n;
        for (std::size_t k = 0; k < lanes; ++k) n[k] = places.lane(k) + first;
        std::uint32_t begin = buckets.begin(b);
        // Where one lane has most of the rows this runs past the bucket's end.
        std::size_t fetched = begin;
        buckets.each(b, [&](std::size_t k, std::uint32_t cell, std::uint32_t) {
            ++n[k][cell];
            if (k != 0) return;
            __builtin_prefetch(order.data() + std::min(fetched, order.size()), 1);
            fetched += lanes;
        });
        for (std::size_t cell = first; cell < last;) {
            const std::size_t y = cell / window.width;
            for (const auto end = std::min(last, (y + 1) * window.width); cell < end; ++cell) {
                const std::uint32_t here = places.place(cell, begin + before[y]);
                occupied[b] += here != 0 ? 1 : 0;
                begin += here;
            }
        }
        buckets.each(b, [&, to = order.data()](std::size_t k, std::uint32_t cell,
                                               std::uint32_t row) { to[n[k][cell]++] = row; });
    });
    const std::size_t all = std::accumulate(occupied.begin(), occupied.end(), std::size_t{0});
    lay_out(window, strangers, all, order, out,
            [&](std::uint32_t cell, std::uint32_t begin) { return places.end(cell) - begin; });
    return true;
}

bool group_at_once(std::span<const Sector> rows, const Window& window,
                   std::span<std::uint32_t> order, Groups& out) {
    const Cut cut(rows.size(), part_rows, step);
    Places places(cut.parts(), window.cells());
    std::vector<std::vector<std::uint32_t>> apart(cut.parts());
    // Calls f(the part's counters, cell, row) for all rows, those outside aside, and before that
    // soon(counters, cell of a row some rows on).
    const auto each_row = [&](auto f, auto soon, auto set_aside) {
        parallel(cut.parts(), [&](std::size_t p) {
            std::uint32_t* const counters = places.lane(p);
            std::array<std::uint32_t, step> cells;
            for (std::size_t begin = cut[p].begin; begin < cut[p].end; begin += step) {
                const std::size_t n = std::min(step, cut[p].end - begin);
                const auto first = static_cast<std::uint32_t>(begin);
                if (cells_of(rows, begin, n, window, cells)) {
                    for (std::uint32_t i = 0; i < n; ++i) {
                        soon(counters, cells[std::min<std::size_t>(i + rows_ahead, n - 1)]);
                        f(counters, cells[i], first + i);
                    }
                    continue;
                }
                for (std::uint32_t i = 0; i < n; ++i) {
                    if (cells[i] != outside)
                        f(counters, cells[i], first + i);
                    else
                        set_aside(p, first + i);
                }
            }
        });
    };
    each_row([](std::uint32_t* n, std::uint32_t cell, std::uint32_t) { ++n[cell]; },
             [](const std::uint32_t*, std::uint32_t) {},
             [&](std::size_t p, std::uint32_t row) { apart[p].push_back(row); });
    std::vector<std::uint32_t> outsiders = joined(apart);
    if (outsiders.size() > outside_max(rows.size())) return false;
    std::size_t occupied = 0;
    for (std::uint32_t cell = 0; cell < window.cells(); ++cell) occupied += places.rows(cell) != 0;
    lay_out(window, Strangers(std::move(outsiders), rows), occupied, order, out,
            [&](std::uint32_t cell, std::uint32_t begin) { return places.place(cell, begin); });
    // A line that is written is fetched first: the order is larger than the second cache.
    each_row([order = order.data()](std::uint32_t* to, std::uint32_t cell,
                                    std::uint32_t row) { order[to[cell]++] = row; },
             [order = order.data()](const std::uint32_t* to, std::uint32_t cell) {
                 __builtin_prefetch(order + to[cell], 1);
             },
             [](std::size_t, std::uint32_t) {});
    return true;
}

}  // namespace

void group(std::span<const Sector> rows, std::span<std::uint32_t> order, Groups& out) {
    if (const std::optional<Window> most = window(rows)) {
        const bool done = rows.size() <= direct_rows ? group_at_once(rows, *most, order, out)
                                                     : group_by_buckets(rows, *most, order, out);
        if (done) return;
    }
    out = group_spread(rows);
    std::copy(out.order.begin(), out.order.end(), order.begin());
    out.order = {};
}

Groups group(std::span<const Sector> rows) {
    RawVector<std::uint32_t> order(rows.size());
    Groups out;
    group(rows, order, out);
    out.order = std::move(order);
    return out;
}

}  // namespace sidereal
