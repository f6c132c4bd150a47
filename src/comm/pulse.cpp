// Rounds of a non-blocking sum: a round is over when every rank has come into it, so its end is a sign of life of all.
#include "comm/native.hpp"

#include <chrono>
#include <thread>

namespace trainmark {

struct Pulse::Impl {
  Impl(const Group& all, std::function<void()> hears, double seconds)
      : group(all.duplicate()), alive(std::move(hears)), interval(seconds) {}

  void enter(bool done) {
    mine = done ? 1 : 0;
    check_mpi(MPI_Iallreduce(&mine, &finished, 1, MPI_INT, MPI_SUM, native(group), &round), "MPI_Iallreduce");
    entered = clock.seconds();
  }
  /// False while a round that this rank is in goes on.
  bool over() {
    if (round == MPI_REQUEST_NULL) return true;
    int complete = 0;
    check_mpi(MPI_Test(&round, &complete, MPI_STATUS_IGNORE), "MPI_Test");
    return complete != 0;
  }

  Group group;
  std::function<void()> alive;
  double interval;
  Clock clock;
  double entered = -1e300;
  MPI_Request round = MPI_REQUEST_NULL;
  int mine = 0, finished = 0;
};

Pulse::Pulse(const Group& group, std::function<void()> alive, double interval_seconds)
    : impl_(std::make_unique<Impl>(group, std::move(alive), interval_seconds)) {}
Pulse::~Pulse() = default;

void Pulse::beat() {
  if (impl_->over() && impl_->clock.seconds() - impl_->entered >= impl_->interval) impl_->enter(false);
}

void Pulse::wait() {
  using std::chrono::milliseconds;
  const auto finish_round = [&] {
    while (!impl_->over())
      std::this_thread::sleep_for(milliseconds(1));
  };
  finish_round();  // one that began while this rank worked
  do {
    impl_->enter(true);
    finish_round();
    impl_->alive();
  } while (impl_->finished < impl_->group.size());
  impl_->entered = -1e300;  // the next work's first beat counts at once
}

}  // namespace trainmark
