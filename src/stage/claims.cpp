// An attempt is made on all nodes at once. Where one did not get what it asked for all give back what they got and try
// again a little later, at a time of chance: so of two jobs that collide one comes first.
#include "stage/claims.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <ctime>
#include <random>
#include <thread>

namespace trainmark {
namespace {

void pause_a_little() {
  static thread_local std::minstd_rand chance(std::random_device{}());
  std::this_thread::sleep_for(std::chrono::milliseconds(100 + chance() % 200));
}

}  // namespace

void say_once(const World& world, const StageContext& context, const std::string& mine) {
  const std::vector<std::string> all = world.all().gather(mine);
  std::string first;
  int more = -1;
  for (const std::string& each : all) {
    if (first.empty()) first = each;
    more += each.empty() ? 0 : 1;
  }
  if (first.empty() || !context.say) return;
  context.say(more > 0 ? fmt::format("{} (and so on {} more nodes)", first, more) : first);
}

Claims::Claims(const World& world, double wait_seconds, const StageContext& context)
    : world_(world), context_(context), wait_seconds_(wait_seconds) {
  std::string token = fmt::format("{:08x}{:08x}", std::random_device{}(), std::random_device{}());
  self_ = {world.all().broadcast(std::move(token)), context.job, world.host(), getpid(), std::time(nullptr)};
}

void Claims::add(const std::filesystem::path& target) {
  leases_.push_back({target, world_.node().rank() == 0 ? std::make_shared<Lease>(target, self_) : nullptr, false});
}

void Claims::read_sources(std::span<const StagingSet> sets) {
  for (const StagingSet& set : sets) {
    const bool mine = world_.node().rank() == 0 && Lease::is_kept_in(set.source);
    sources_.push_back({set.source, mine ? std::make_shared<Lease>(set.source, self_) : nullptr});
  }
  until_free(
      sources_,
      [&] {
        std::vector<std::size_t> missed;
        for (std::size_t i = 0; i < sources_.size(); ++i) {
          if (sources_[i].lease && !sources_[i].lease->try_read()) missed.push_back(i);
        }
        return missed;
      },
      [](const Lease& lease) { return lease.in_the_way_of_replacing(); }, "is being staged to by", [] {});
}

void Claims::take_turns() {
  const auto give_back = [&] {
    for (const Claim& each : leases_) {
      if (each.lease) each.lease->end_turn();
    }
  };
  until_free(
      leases_,
      [&] {
        std::vector<std::size_t> missed;
        for (std::size_t i = 0; i < leases_.size(); ++i) {
          if (leases_[i].lease && !leases_[i].lease->try_turn()) missed.push_back(i);
        }
        return missed;
      },
      [](const Lease& lease) { return lease.in_the_way_of_turn(); }, "is being staged to by", give_back);
  warn_where_locks_do_nothing();
}

void Claims::replace(const std::vector<bool>& changes) {
  until_free(
      leases_,
      [&] {
        std::vector<std::size_t> missed;
        for (std::size_t i = 0; i < leases_.size(); ++i) {
          Claim& each = leases_[i];
          if (!each.lease || !changes.at(i) || each.replaces) continue;
          each.replaces = each.lease->try_replace();
          if (!each.replaces) missed.push_back(i);
        }
        return missed;
      },
      [](const Lease& lease) { return lease.in_the_way_of_replacing(); },
      "holds other files than this run wants there and is read by", [] {});
}

void Claims::read() {
  const auto share = [&](bool replaced) {
    agree_on(world_.all(), [&] {
      for (const Claim& each : leases_) {
        if (!each.lease || each.replaces != replaced || each.lease->try_read()) continue;
        throw Error(ExitCode::data, Complaint{each.target.string(), "cannot be locked to be read",
                                              "nobody else may have its turn now: its file system's locks fail",
                                              "name another stage.target"});
      }
    });
  };
  share(true);  // where nodes share a target, who replaced files there comes first
  share(false);
  for (const Claim& each : leases_) {
    if (each.lease) each.lease->end_turn();
  }
}

void Claims::until_free(const std::vector<Claim>& claims, const Attempt& attempt, const Judge& holder,
                        const std::string& sentence, const std::function<void()>& give_back) {
  for (;;) {
    std::vector<std::size_t> missed;
    agree_on(world_.all(), [&] { missed = attempt(); });  // on return all winners have left their names
    std::string obstacle;
    for (const std::size_t number : missed) {
      const std::string who = holder(*claims[number].lease);
      if (who.empty()) continue;  // another node of this run holds it for both
      obstacle = fmt::format("{} {} {}", claims[number].target.string(), sentence, who);
      break;
    }
    std::array<std::int64_t, 2> sums = {obstacle.empty() ? 0 : 1, 0};
    if (waiting_since_ >= 0.0 && world_.all().rank() == 0 && clock_.seconds() - waiting_since_ >= wait_seconds_)
      sums[1] = 1;
    world_.all().sum(sums);
    if (sums[0] == 0) {
      waiting_since_ = -1.0;  // what this run does until the next obstacle is no waiting
      return;
    }
    give_back();
    const bool first = waiting_since_ < 0.0;
    if (first) waiting_since_ = clock_.seconds();
    if (sums[1] > 0 || wait_seconds_ <= 0.0) {
      agree_on(world_.all(), [&] {
        if (obstacle.empty()) return;
        throw Error(ExitCode::data,
                    Complaint{fmt::format("node {}", world_.host()), obstacle,
                              "one run must not change the files that another one reads; nothing was changed",
                              fmt::format("wait until that run has ended, name another stage.target, or raise "
                                          "stage.wait_seconds ({:g})",
                                          wait_seconds_)});
      });
    }
    if (first)
      say_once(world_, context_,
               obstacle.empty()
                   ? ""
                   : fmt::format("waiting at most {:g} s: node {}: {}", wait_seconds_, world_.host(), obstacle));
    if (context_.progress) context_.progress(0);
    pause_a_little();
  }
}

void Claims::warn_where_locks_do_nothing() const {
  std::string warning;
  for (const Claim& each : leases_) {
    if (!each.lease || each.lease->works()) continue;
    warning = fmt::format(
        "warning: node {}: the file system of {} has no locks (flock): two runs that stage to it are not kept apart",
        world_.host(), each.target.string());
    break;
  }
  say_once(world_, context_, warning);
}

}  // namespace trainmark
