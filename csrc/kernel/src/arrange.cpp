// Rows in the order of their sectors.
//
// Updates come sector by sector. Where a sector's rows lie side by side, a datagram's rows share
// cache lines; scattered over a large table, each waits for memory several times.
#include <algorithm>

#include "sidereal/entity_table.hpp"
#include "sidereal/group.hpp"

namespace sidereal {

void EntityTable::arrange() {
    const Groups groups = group(std::span<const Sector>(columns_.sector));
    const std::span<const std::uint32_t> order(groups.order);
    if (std::is_sorted(order.begin(), order.end())) return;
    RawVector<std::uint32_t> where(order.size());
    for (std::uint32_t row = 0; row < order.size(); ++row) where[order[row]] = row;
    columns_.each([order]<class T>(LargeVector<T>& column) {
        // In place, by way of a copy: whoever looks at the column goes on to.
        const RawVector<T> before(column.begin(), column.end());
        for (std::size_t row = 0; row < order.size(); ++row) column[row] = before[order[row]];
    });
    blobs_.arrange(order);
    index_.renumber(where.data());
    for (std::uint32_t row = 0; row < order.size(); ++row)
        if (columns_.handle[row] != no_handle) handles_.set(columns_.handle[row], row);
}

}  // namespace sidereal
