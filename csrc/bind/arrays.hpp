// NumPy arrays in and out, checked before anything is read or written.
//
// Inputs are taken as they are: no silent conversion, no silent copy. A wrong type is a TypeError,
// a wrong shape or layout a ValueError, and both say what was expected.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sidereal/grid.hpp"
#include "sidereal/positions.hpp"
#include "sidereal/raw_vector.hpp"

namespace sidereal::bind {

namespace py = pybind11;

// What an element is made of: its NumPy type and how many make a row (0: the array is flat).
template <class T>
struct Element {
    using scalar = T;
    static constexpr py::ssize_t columns = 0;
};
template <>
struct Element<Sector> {
    using scalar = std::int32_t;
    static constexpr py::ssize_t columns = 2;
};
template <>
struct Element<Vec2> {
    using scalar = double;
    static constexpr py::ssize_t columns = 2;
};
template <class Real>
struct Element<Point<Real>> {
    using scalar = Real;
    static constexpr py::ssize_t columns = 2;
};

[[noreturn]] void wrong_type(const char* name, const std::string& expected, py::handle got);
[[noreturn]] void wrong_shape(const char* name, const std::string& expected, py::handle got);

// "a C-contiguous int32 array of shape (n, 2)"
std::string described(const std::string& dtype, py::ssize_t columns);

// Checks everything but the dtype; returns the number of rows.
std::size_t checked_rows(py::handle array, const char* name, const std::string& dtype,
                         py::ssize_t columns, std::size_t alignment);

template <class T>
const std::string& dtype_name() {
    // Asked for once a type: NumPy takes microseconds to spell it.
    static const std::string name = py::str(static_cast<py::object>(py::dtype::of<T>()));
    return name;
}

template <class T>
bool has_dtype(py::handle h) {
    return py::isinstance<py::array_t<T>>(h);
}

// The rows of an array argument, read only.
template <class T>
std::span<const T> in(py::handle h, const char* name) {
    using E = Element<T>;
    using scalar = typename E::scalar;
    const std::string dtype = dtype_name<scalar>();
    if (!has_dtype<scalar>(h)) wrong_type(name, described(dtype, E::columns), h);
    const std::size_t n = checked_rows(h, name, dtype, E::columns, alignof(scalar));
    return {static_cast<const T*>(py::reinterpret_borrow<py::array>(h).data()), n};
}

// As `in`, and as long as another argument.
template <class T>
std::span<const T> in(py::handle h, const char* name, std::size_t rows, const char* as) {
    const std::span<const T> span = in<T>(h, name);
    if (span.size() != rows)
        throw py::value_error(std::string(name) + " has " + std::to_string(span.size()) +
                              " rows: expected " + std::to_string(rows) + ", as many as " + as);
    return span;
}

// The rows of an array argument that will be written.
template <class T>
std::span<T> inout(py::handle h, const char* name, std::size_t rows, const char* as) {
    const std::span<const T> span = in<T>(h, name, rows, as);
    if (!py::reinterpret_borrow<py::array>(h).writeable())
        throw py::value_error(std::string(name) + " is read-only: expected a writable array");
    return {const_cast<T*>(span.data()), span.size()};
}

template <class T, class U>
bool overlap(std::span<T> a, std::span<U> b) {
    const auto begin = [](const auto& s) { return reinterpret_cast<std::uintptr_t>(s.data()); };
    return begin(a) < begin(b) + b.size_bytes() && begin(b) < begin(a) + a.size_bytes();
}

// Calls f with the rows of a float32 or float64 array of shape (n, 2).
template <class F>
auto with_positions(py::handle h, const char* name, F&& f) {
    if (has_dtype<float>(h)) return f(in<Point<float>>(h, name));
    if (has_dtype<double>(h)) return f(in<Point<double>>(h, name));
    wrong_type(name, described("float32 or float64", 2), h);
}

// A float32 or float64 array of shape (n, 2), widened where needed.
class Vectors {
  public:
    Vectors(py::handle h, const char* name);
    Vectors(py::handle h, const char* name, std::size_t rows, const char* as);
    std::span<const Vec2> span() const { return span_; }

    // The caller's memory, which is not `span` where it was widened.
    std::span<const std::byte> given() const { return given_; }

  private:
    RawVector<Vec2> widened_;
    std::span<const Vec2> span_;
    std::span<const std::byte> given_;
};

// A number for all rows, or a float32 or float64 array with one a row.
class Scalars {
  public:
    Scalars(py::handle h, const char* name, std::size_t rows, const char* as);
    std::span<const double> span() const { return values_; }

    // Throws ValueError unless all are finite and not negative.
    void require_lengths(const char* name) const;

  private:
    std::vector<double> values_;
};

// Hands a vector's memory to NumPy.
template <class T, class Allocator>
py::array out(std::vector<T, Allocator>&& values) {
    using E = Element<T>;
    using scalar = typename E::scalar;
    using Kept = std::vector<T, Allocator>;
    auto* kept = new Kept(std::move(values));
    const py::capsule owner(kept, [](void* p) { delete static_cast<Kept*>(p); });
    std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(kept->size())};
    if (E::columns > 0) shape.push_back(E::columns);
    return py::array_t<scalar>(shape, reinterpret_cast<const scalar*>(kept->data()), owner);
}

// Runs f without the GIL.
template <class F>
auto unlocked(F&& f) {
    const py::gil_scoped_release release;
    return f();
}

// Runs f without the GIL while holding the mutexes, which are never waited for with the GIL held.
template <class F, class... Mutex>
auto guarded(F&& f, Mutex&... mutexes) {
    const py::gil_scoped_release release;
    const std::scoped_lock lock(mutexes...);
    return f();
}

}  // namespace sidereal::bind
