// ghosts, pack_ghosts, unpack_ghosts.
#include "arrays.hpp"
#include "docs.hpp"
#include "module.hpp"
#include "payloads.hpp"
#include "room.hpp"
#include "sidereal/ghosts.hpp"

namespace sidereal::bind {
namespace {

py::object py_ghosts(py::handle position, py::handle sectors, py::handle shard, double size,
                     double radius, SharedMap& owners, py::handle out_arrays) {
    Room<std::int32_t, std::uint32_t> room(out_arrays);
    const Vectors at(position, "position");
    const auto held = in<Sector>(sectors, "sectors", at.span().size(), "position");
    const auto shards = in<std::int32_t>(shard, "shard", at.span().size(), "position");
    room.require_apart(at.given(), held, shards);
    Sightings seen = guarded(
        [&] { return ghosts(at.span(), held, shards, size, radius, owners.map); }, owners.mutex);
    return room.answer(std::move(seen.target), std::move(seen.index));
}

py::object py_pack_ghosts(py::handle ids, py::handle position, py::handle velocity,
                          py::handle flags, std::uint8_t kind, std::uint32_t tick,
                          std::size_t payload_bytes, py::handle out_arrays) {
    Room<std::uint8_t, std::uint32_t> room(out_arrays);
    const auto keys = in<std::uint64_t>(ids, "ids");
    const Vectors at(position, "position", keys.size(), "ids");
    const Vectors speed(velocity, "velocity", keys.size(), "ids");
    const auto bits = in<std::uint32_t>(flags, "flags", keys.size(), "ids");
    room.require_apart(keys, at.given(), speed.given(), bits);
    Packed packed = unlocked([&] {
        return pack_ghosts(keys, at.span(), speed.span(), bits, kind, tick, payload_bytes);
    });
    return room.answer(std::move(packed.data), std::move(packed.offsets));
}

py::tuple py_unpack_ghosts(py::handle payload) {
    const Payload bytes(payload, "payload");
    Copies copies = unlocked([&] { return unpack_ghosts(bytes.span()); });
    return py::make_tuple(copies.tick, out(std::move(copies.ids)), out(std::move(copies.position)),
                          out(std::move(copies.velocity)), out(std::move(copies.flags)));
}

}  // namespace

void register_ghosts(py::module_& m) {
    using namespace pybind11::literals;
    m.def("ghosts", &py_ghosts, "position"_a, "sectors"_a, "shard"_a, "size"_a, "radius"_a,
          "owners"_a, "out"_a = py::none(), docs::ghosts);
    m.def("pack_ghosts", &py_pack_ghosts, "ids"_a, "position"_a, "velocity"_a, "flags"_a, "kind"_a,
          "tick"_a, "payload_bytes"_a, "out"_a = py::none(), docs::pack_ghosts);
    m.def("unpack_ghosts", &py_unpack_ghosts, "payload"_a, docs::unpack_ghosts);
}

}  // namespace sidereal::bind
