// Hits as they are found, and the one answer that those of several threads become.
//
// A part's hits have their place as soon as all parts before it are found. Then they are copied
// there, mostly by the thread that found them and while its cache holds them: to copy all of them
// at the end took a fifth of a query on two threads. What had to wait for a slow part, or for more
// room than was foretold, is copied at the end, by all threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "foresight.hpp"
#include "parallel.hpp"
#include "sidereal/snapshot.hpp"

namespace sidereal {

// Hits of all centres: an answer by themselves.
class Snapshot::Whole {
  public:
    explicit Whole(std::size_t centres) : centres_(centres) {}

    // Says that hits from now on are of this centre, counted from 1.
    void begin(std::size_t centre) { centre_ = centre; }

    // How many points are to be looked at together, at most.
    static constexpr std::size_t slice() { return std::size_t{1} << 20; }

    // Room for n more.
    std::uint32_t* room(std::size_t n) {
        if (hits_.size() < used_ + n) {
            constexpr std::size_t first = std::size_t{256} * 1024;
            hits_.resize(used_);
            if (used_ == 0) hits_.reserve(std::max(first, n));
            foresee(hits_, n, centre_, centres_);
            hits_.resize(hits_.capacity());
        }
        return hits_.data() + used_;
    }

    void add(std::size_t n) { used_ += n; }
    std::size_t total() const { return used_; }

    RawVector<std::uint32_t> take() {
        hits_.resize(used_);
        return std::move(hits_);
    }

  private:
    RawVector<std::uint32_t> hits_;
    std::size_t used_ = 0, centre_ = 0, centres_;
};

// Hits of some of the centres, in pieces: what is there is not copied to make room for more. Each
// piece is as large as those before it together, up to a bound, so that there are few.
class Snapshot::Pieces {
  public:
    struct Piece {
        RawVector<std::uint32_t> hits;
        std::size_t used = 0;
    };
    using Spare = std::vector<Piece>;

    Pieces() = default;
    // The first piece is one that was used before, if there is any.
    explicit Pieces(Spare& spare) {
        if (spare.empty()) return;
        pieces_.push_back(std::move(spare.back()));
        pieces_.back().used = 0;
        spare.pop_back();
    }

    void begin(std::size_t) {}

    // For how many points there is room before the next piece, or in it.
    std::size_t slice() const {
        constexpr std::size_t worth = 64;
        const std::size_t left = this->left();
        return left < worth ? next_hits() : left;
    }

    std::uint32_t* room(std::size_t n) {
        if (left() < n) {
            const std::size_t hits = next_hits();
            pieces_.emplace_back().hits.resize(hits);
        }
        return pieces_.back().hits.data() + pieces_.back().used;
    }

    void add(std::size_t n) { pieces_.back().used += n, total_ += n; }
    std::size_t total() const { return total_; }

    void copy_to(std::uint32_t* to) const {
        for (const Piece& piece : pieces_) to = std::copy_n(piece.hits.data(), piece.used, to);
    }

    // Leaves one piece for others to use; the rest goes.
    void leave(Spare& spare) {
        if (!pieces_.empty()) spare.push_back(std::move(pieces_.front()));
        pieces_.clear();
    }

  private:
    std::size_t left() const {
        return pieces_.empty() ? 0 : pieces_.back().hits.size() - pieces_.back().used;
    }
    std::size_t next_hits() const {
        constexpr std::size_t least = std::size_t{16} * 1024, most = std::size_t{1} << 20;
        return std::clamp(total_, least, most);
    }

    std::vector<Piece> pieces_;
    std::size_t total_ = 0;
};

// The parts' hits become `out`, whose offsets count from the beginning of each part until then.
class Snapshot::Gathered {
  public:
    // There is room for `foretold` hits at first; what does not fit waits until all are found.
    Gathered(const Cut& cut, std::size_t foretold, Hits& out)
        : cut_(cut), out_(out), parts_(cut.parts()) {
        try {
            out_.index.resize(foretold);
        } catch (const std::bad_alloc&) {
            // It was a guess: then all waits, and the answer takes what it takes.
        }
        left_.reserve(parts_.size());
    }

    Pieces begin() {
        const std::lock_guard lock(mutex_);
        return Pieces(spare_);
    }

    // Takes a part's hits, and puts those that have a place now into the answer; not all of many.
    void add(std::size_t part, Pieces&& found) {
        std::size_t first, last;
        {
            const std::lock_guard lock(mutex_);
            parts_[part].found = std::move(found);
            parts_[part].there = true;
            first = next_;
            while (next_ < parts_.size() && parts_[next_].there && fits(parts_[next_]))
                place(parts_[next_++]);
            last = std::min(next_, first + at_once);
            for (std::size_t p = last; p < next_; ++p) left_.push_back(p);
        }
        for (std::size_t p = first; p < last; ++p) put(p);
        const std::lock_guard lock(mutex_);
        for (std::size_t p = first; p < last; ++p) parts_[p].found.leave(spare_);
    }

    // Once all parts are there: puts what is left.
    void finish() {
        spare_.clear();
        out_.index.resize(all_);
        while (next_ < parts_.size()) {
            left_.push_back(next_);
            place(parts_[next_++]);
        }
        out_.index.reserve(all_);
        out_.index.resize(all_);
        parallel(left_.size(), [this](std::size_t i) {
            put(left_[i]);
            parts_[left_[i]].found = {};
        });
    }

  private:
    static constexpr std::size_t at_once = 8;  // parts that one thread puts while others find

    struct Part {
        Pieces found;
        bool there = false;
        std::size_t before = 0;  // hits in the parts before it
    };

    bool fits(const Part& part) const { return part.found.total() <= out_.index.size() - all_; }

    void place(Part& part) {
        part.before = all_;
        all_ += part.found.total();
    }

    void put(std::size_t p) {
        const Part& part = parts_[p];
        part.found.copy_to(out_.index.data() + part.before);
        for (std::size_t c = cut_[p].begin; c < cut_[p].end; ++c)
            out_.offsets[c + 1] += part.before;
    }

    const Cut& cut_;
    Hits& out_;
    std::mutex mutex_;  // guards what follows, but for the hits of parts that have a place
    std::vector<Part> parts_;
    std::size_t next_ = 0, all_ = 0;  // the first part without a place, and hits before it
    std::vector<std::size_t> left_;   // parts for `finish`
    Pieces::Spare spare_;
};

}  // namespace sidereal
