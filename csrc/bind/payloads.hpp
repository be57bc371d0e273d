// A list of bytes-like payloads, held for as long as the kernel reads them.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace sidereal::bind {

// One bytes-like object, its memory held. TypeError, naming `name`, for anything else.
class Payload {
  public:
    Payload(pybind11::handle object, const char* name) {
        if (PyObject_GetBuffer(object.ptr(), &buffer_, PyBUF_SIMPLE) != 0) {
            PyErr_Clear();
            throw pybind11::type_error(
                std::string(name) + " holds " +
                std::string(pybind11::str(pybind11::type::handle_of(object).attr("__name__"))) +
                ": expected contiguous bytes-like payloads");
        }
    }
    ~Payload() { PyBuffer_Release(&buffer_); }
    Payload(const Payload&) = delete;
    Payload& operator=(const Payload&) = delete;

    std::span<const std::uint8_t> span() const {
        return {static_cast<const std::uint8_t*>(buffer_.buf),
                static_cast<std::size_t>(buffer_.len)};
    }

  private:
    Py_buffer buffer_{};
};

class Payloads {
  public:
    explicit Payloads(pybind11::handle list) {
        if (!pybind11::isinstance<pybind11::list>(list) &&
            !pybind11::isinstance<pybind11::tuple>(list))
            throw pybind11::type_error("payloads: expected a list or tuple of bytes-like payloads");
        for (const pybind11::handle payload : list) {
            held_.push_back(std::make_unique<Payload>(payload, "payloads"));
            spans_.push_back(held_.back()->span());
        }
    }
    const std::vector<std::span<const std::uint8_t>>& spans() const { return spans_; }

  private:
    std::vector<std::unique_ptr<Payload>> held_;
    std::vector<std::span<const std::uint8_t>> spans_;
};

}  // namespace sidereal::bind
