// A pool of threads that wait on a condition variable.
#include "parallel.hpp"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace sidereal {
namespace {

class Pool {
  public:
    // False, and nothing done, if the pool is busy.
    bool run(std::size_t parts, std::size_t wanted, const std::function<void(std::size_t)>& f) {
        const std::unique_lock alone(running_, std::try_to_lock);
        if (!alone.owns_lock()) return false;
        const std::size_t helpers = start(std::min(parts, wanted) - 1);
        {
            const std::lock_guard lock(mutex_);
            work_ = &f;
            parts_ = parts;
            next_ = 0;
            helpers_ = helpers;
            busy_ = helpers;
            error_ = nullptr;
            ++generation_;
        }
        begin_.notify_all();
        work();
        std::unique_lock lock(mutex_);
        done_.wait(lock, [this] { return busy_ == 0; });
        if (error_) std::rethrow_exception(error_);
        return true;
    }

  private:
    // How many of so many helpers there are: where the system grants no more threads, fewer do.
    std::size_t start(std::size_t wanted) {
        try {
            while (workers_.size() < wanted)
                workers_.emplace_back([this, number = workers_.size()] { wait_for_work(number); });
        } catch (const std::system_error&) {
            return workers_.size();
        }
        return wanted;
    }

    void wait_for_work(std::size_t number) {
        std::size_t seen = 0;
        for (;;) {
            {
                std::unique_lock lock(mutex_);
                begin_.wait(lock, [&] { return generation_ != seen && number < helpers_; });
                seen = generation_;
            }
            work();
            const std::lock_guard lock(mutex_);
            if (--busy_ == 0) done_.notify_one();
        }
    }

    void work() {
        try {
            for (std::size_t part; (part = next_++) < parts_;) (*work_)(part);
        } catch (...) {
            const std::lock_guard lock(mutex_);
            if (!error_) error_ = std::current_exception();
        }
    }

    std::mutex running_;  // held by the caller whose work this is
    std::mutex mutex_;    // guards what follows
    std::condition_variable begin_, done_;
    std::vector<std::thread> workers_;
    const std::function<void(std::size_t)>* work_ = nullptr;
    std::size_t parts_ = 0, helpers_ = 0, busy_ = 0, generation_ = 0;
    std::exception_ptr error_;
    std::atomic<std::size_t> next_ = 0;
};

// Never destroyed: its threads sleep until the process ends. A forked child has none of them, and
// perhaps a lock that nobody will release, so it begins with a new pool.
std::atomic<Pool*> the_pool = nullptr;

Pool& pool() {
    static const int registered = pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr); });
    static_cast<void>(registered);
    Pool* current = the_pool.load();
    if (!current) {
        auto* made = new Pool;
        if (the_pool.compare_exchange_strong(current, made)) return *made;
        delete made;
    }
    return *current;
}

}  // namespace

void parallel(std::size_t parts, const std::function<void(std::size_t)>& f) {
    const auto wanted = static_cast<std::size_t>(threads());
    if (parts > 1 && wanted > 1 && pool().run(parts, wanted, f)) return;
    for (std::size_t part = 0; part < parts; ++part) f(part);
}

}  // namespace sidereal
