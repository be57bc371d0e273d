// Room that the caller has for a result.
//
// Each array must have as many rows as there turn out to be; the answer is views of the first of
// them. Everything but that is checked before the work begins, that before anything is written:
// work that changes what it works on wants room for the most that there can be.
#pragma once

#include <array>
#include <cstring>
#include <tuple>

#include "arrays.hpp"

namespace sidereal::bind {

template <class... T>
class Room {
  public:
    // `given` is None, or a tuple with an array for each T (an array, where there is one T).
    explicit Room(py::handle given) {
        if (given.is_none()) return;
        constexpr std::size_t n = sizeof...(T);
        if constexpr (n == 1) {
            arrays_[0] = py::reinterpret_borrow<py::object>(given);
        } else {
            if (!py::isinstance<py::tuple>(given) || py::len(given) != n)
                throw py::type_error("out is no tuple of " + std::to_string(n) +
                                     " arrays: expected one for each array of the answer");
            const auto parts = py::reinterpret_borrow<py::tuple>(given);
            for (std::size_t i = 0; i < n; ++i) arrays_[i] = parts[i];
        }
        take(std::index_sequence_for<T...>{});
        there_ = true;
    }

    // Throws ValueError if an array overlaps one of the inputs, or another.
    template <class... Input>
    void require_apart(std::span<Input>... inputs) const {
        std::size_t i = 0;
        each([&](auto rows) {
            if ((overlap(rows, inputs) || ...) || others(i++, rows))
                throw py::value_error("out overlaps another argument: expected memory of its own");
        });
    }

    // The same for the columns of a table; its lock is held, not the GIL.
    template <class Columns>
    void require_apart_from(Columns& columns) const {
        columns.each([&](auto& column) { require_apart(std::span(column)); });
    }

    // Throws ValueError if an array has fewer rows.
    void require_rows(std::size_t n) const {
        each([&](auto rows) { check(rows.size(), n); });
    }

    // The same, with a number for each array.
    void require_rows(const std::array<std::size_t, sizeof...(T)>& n) const {
        std::size_t i = 0;
        each([&](auto rows) { check(rows.size(), n[i++]); });
    }

    template <class... Vector>
    py::object answer(Vector&&... values) {
        constexpr bool one = sizeof...(T) == 1;
        if (!there_) {
            if constexpr (one)
                return out(std::move(values)...);
            else
                return py::make_tuple(out(std::move(values))...);
        }
        return answer_in(std::index_sequence_for<T...>{}, values...);
    }

  private:
    template <std::size_t... I>
    void take(std::index_sequence<I...>) {
        (take_one(std::get<I>(rows_), arrays_[I]), ...);
    }
    template <class U>
    static void take_one(std::span<U>& rows, const py::object& array) {
        const std::size_t n = in<U>(array, "out").size();
        rows = inout<U>(array, "out", n, "out");
    }

    template <class F>
    void each(F&& f) const {
        if (!there_) return;
        std::apply([&](auto... rows) { (f(rows), ...); }, rows_);
    }

    template <class U>
    bool others(std::size_t mine, std::span<U> rows) const {
        std::size_t i = 0;
        bool found = false;
        each([&](auto other) { found |= i++ != mine && overlap(rows, other); });
        return found;
    }

    static void check(std::size_t rows, std::size_t needed) {
        if (rows < needed)
            throw py::value_error("out has " + std::to_string(rows) + " rows: the answer has " +
                                  std::to_string(needed));
    }

    template <std::size_t... I, class... Vector>
    py::object answer_in(std::index_sequence<I...>, const Vector&... values) {
        (check(std::get<I>(rows_).size(), values.size()), ...);
        {
            const py::gil_scoped_release release;
            (std::copy(values.begin(), values.end(), std::get<I>(rows_).begin()), ...);
        }
        const auto first = [](const py::object& array, std::size_t n) -> py::object {
            return array[py::slice(0, static_cast<py::ssize_t>(n), 1)];
        };
        if constexpr (sizeof...(T) == 1)
            return first(arrays_[0], values.size()...);
        else
            return py::make_tuple(first(arrays_[I], values.size())...);
    }

    std::array<py::object, sizeof...(T)> arrays_;
    std::tuple<std::span<T>...> rows_;
    bool there_ = false;
};

}  // namespace sidereal::bind
