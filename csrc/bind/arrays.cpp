// The checks behind arrays.hpp, and their messages.
#include "arrays.hpp"

#include <cmath>

namespace sidereal::bind {
namespace {

std::string type_name(py::handle h) {
    if (py::isinstance<py::array>(h)) return "an array of " + std::string(py::str(h.attr("dtype")));
    return std::string(py::str(py::type::handle_of(h).attr("__name__")));
}

}  // namespace

void wrong_type(const char* name, const std::string& expected, py::handle got) {
    throw py::type_error(std::string(name) + " is " + type_name(got) + ": expected " + expected);
}

void wrong_shape(const char* name, const std::string& expected, py::handle got) {
    const auto array = py::reinterpret_borrow<py::array>(got);
    std::string what = "has shape " + std::string(py::str(got.attr("shape")));
    if (!(array.flags() & py::array::c_style)) what += " and is not C-contiguous";
    throw py::value_error(std::string(name) + " " + what + ": expected " + expected);
}

std::string described(const std::string& dtype, py::ssize_t columns) {
    return "a C-contiguous " + dtype + " array of shape " + (columns > 0 ? "(n, 2)" : "(n,)");
}

std::size_t checked_rows(py::handle h, const char* name, const std::string& dtype,
                         py::ssize_t columns, std::size_t alignment) {
    const auto array = py::reinterpret_borrow<py::array>(h);
    const bool shaped =
        columns > 0 ? array.ndim() == 2 && array.shape(1) == columns : array.ndim() == 1;
    if (!shaped || !(array.flags() & py::array::c_style))
        wrong_shape(name, described(dtype, columns), h);
    if (reinterpret_cast<std::uintptr_t>(array.data()) % alignment != 0)
        throw py::value_error(std::string(name) + " is not aligned: expected aligned memory for " +
                              described(dtype, columns));
    const auto rows = static_cast<std::size_t>(array.shape(0));
    if (rows >= absent)
        throw py::value_error(std::string(name) + " has " + std::to_string(rows) +
                              " rows: expected fewer than 2^32 - 1");
    return rows;
}

Vectors::Vectors(py::handle h, const char* name) {
    with_positions(h, name, [this]<class Real>(std::span<const Point<Real>> rows) {
        given_ = std::as_bytes(rows);
        if constexpr (sizeof(Real) == sizeof(double)) {
            span_ = {reinterpret_cast<const Vec2*>(rows.data()), rows.size()};
        } else {
            const py::gil_scoped_release release;
            widened_.resize(rows.size());
            for (std::size_t i = 0; i < rows.size(); ++i) widened_[i] = {rows[i].x, rows[i].y};
            span_ = widened_;
        }
    });
}

Vectors::Vectors(py::handle h, const char* name, std::size_t rows, const char* as)
    : Vectors(h, name) {
    if (span_.size() != rows)
        throw py::value_error(std::string(name) + " has " + std::to_string(span_.size()) +
                              " rows: expected " + std::to_string(rows) + ", as many as " + as);
}

Scalars::Scalars(py::handle h, const char* name, std::size_t rows, const char* as) {
    if (has_dtype<float>(h) && py::reinterpret_borrow<py::array>(h).ndim() > 0) {
        const auto values = in<float>(h, name, rows, as);
        values_.assign(values.begin(), values.end());
    } else if (has_dtype<double>(h) && py::reinterpret_borrow<py::array>(h).ndim() > 0) {
        const auto values = in<double>(h, name, rows, as);
        values_.assign(values.begin(), values.end());
    } else {
        const double value = PyFloat_AsDouble(h.ptr());
        if (PyErr_Occurred()) {
            PyErr_Clear();
            wrong_type(name, "a number, or " + described("float32 or float64", 0), h);
        }
        values_.assign(1, value);
    }
}

void Scalars::require_lengths(const char* name) const {
    for (std::size_t i = 0; i < values_.size(); ++i)
        if (!(std::isfinite(values_[i]) && values_[i] >= 0.0))
            throw py::value_error(std::string(name) + " holds " + std::to_string(values_[i]) +
                                  ": expected finite and not negative");
}

}  // namespace sidereal::bind
