// Dense arrays with an index beside them; removal swaps the last sector in.
#include "sidereal/sector_map.hpp"

#include <algorithm>

namespace sidereal {

void SectorMap::set(Sector s, Ownership owner) {
    const std::uint64_t key = key_of(s);
    const std::uint32_t slot = index_.find(key, keys_.data());
    if (slot != absent) {
        owners_[slot] = owner;
        return;
    }
    keys_.push_back(key);
    owners_.push_back(owner);
    index_.insert(key, static_cast<std::uint32_t>(keys_.size() - 1));
}

bool SectorMap::remove(Sector s) {
    const std::uint64_t key = key_of(s);
    const std::uint32_t slot = index_.find(key, keys_.data());
    if (slot == absent) return false;
    index_.erase(key, keys_.data());
    const std::uint64_t last = keys_.back();
    if (last != key) {
        index_.relocate(last, slot, keys_.data());
        keys_[slot] = last;
        owners_[slot] = owners_.back();
    }
    keys_.pop_back();
    owners_.pop_back();
    return true;
}

std::vector<Sector> SectorMap::sectors() const {
    std::vector<std::uint64_t> keys = keys_;
    std::sort(keys.begin(), keys.end());
    std::vector<Sector> out(keys.size());
    std::transform(keys.begin(), keys.end(), out.begin(), sector_of_key);
    return out;
}

}  // namespace sidereal
