// Rounds of a non-blocking sum: a round is over when every rank has come into it, so its end is a sign of life of all.
#include "comm/native.hpp"

#include <array>
#include <chrono>
#include <thread>

namespace trainmark {

struct Pulse::Impl {
  Impl(const Group& all, std::function<void()> hears, double seconds)
      : group(all.duplicate()), alive(std::move(hears)), interval(seconds) {}

  struct Ranks {
    int done = 0, failed = 0;
  };

  void enter(Ranks add) {
    mine = {add.done, add.failed};
    if (group.impl().pretended()) {
      heard = {add.done * group.size(), add.failed * group.size()};
    } else {
      check_mpi(MPI_Iallreduce(mine.data(), sums.data(), 2, MPI_INT, MPI_SUM, native(group), &round), "MPI_Iallreduce");
    }
    entered = clock.seconds();
  }
  /// False while a round that this rank is in goes on.
  bool over() {
    if (round == MPI_REQUEST_NULL) return true;
    int complete = 0;
    check_mpi(MPI_Test(&round, &complete, MPI_STATUS_IGNORE), "MPI_Test");
    if (complete != 0) heard = {sums[0], sums[1]};
    return complete != 0;
  }

  Group group;
  std::function<void()> alive;
  double interval;
  Clock clock;
  double entered = -1e300;
  MPI_Request round = MPI_REQUEST_NULL;
  std::array<int, 2> mine{}, sums{};
  Ranks heard;  // in the last round that is over
};

Pulse::Pulse(const Group& group, std::function<void()> alive, double interval_seconds)
    : impl_(std::make_unique<Impl>(group, std::move(alive), interval_seconds)) {}
Pulse::~Pulse() = default;

void Pulse::beat() {
  if (!impl_->over()) return;
  if (impl_->heard.failed > 0) throw Cancelled{};
  if (impl_->clock.seconds() - impl_->entered >= impl_->interval) impl_->enter({});
}

void Pulse::wait(bool failed) {
  using std::chrono::milliseconds;
  const auto finish_round = [&] {
    while (!impl_->over())
      std::this_thread::sleep_for(milliseconds(1));
  };
  finish_round();  // one that began while this rank worked
  do {
    impl_->enter({1, failed ? 1 : 0});
    finish_round();
    impl_->alive();
  } while (impl_->heard.done < impl_->group.size());
  impl_->heard = {};        // the next work begins without a failure,
  impl_->entered = -1e300;  // and its first beat counts at once
}

}  // namespace trainmark
