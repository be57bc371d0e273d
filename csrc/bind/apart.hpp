// What is read while a table is changed, apart from it.
//
// Columns of a table are views of its memory, and `table.remove(table.ids)` is a natural thing to
// say: what would change while it is read is copied first. The table's lock is held.
#pragma once

#include <vector>

#include "arrays.hpp"

namespace sidereal::bind {

template <class Table, class T>
bool in_columns(Table& table, std::span<T> rows) {
    bool found = false;
    table.columns().each([&](auto& column) { found |= overlap(rows, std::span(column)); });
    return found;
}

template <class T>
class Apart {
  public:
    template <class Table>
    Apart(Table& table, std::span<const T> given) : rows_(given) {
        if (!in_columns(table, given)) return;
        copy_.assign(given.begin(), given.end());
        rows_ = copy_;
    }
    Apart(const Apart&) = delete;
    Apart& operator=(const Apart&) = delete;

    std::span<const T> operator*() const { return rows_; }

  private:
    std::vector<T> copy_;
    std::span<const T> rows_;
};

}  // namespace sidereal::bind
