// An attempt is made on all nodes at once. Where one did not get what it asked for all give back what they got and try
// again a little later, at a time of chance: so of two jobs that collide one comes first.
#include "stage/claims.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <random>
#include <thread>

#include "stage/journal.hpp"

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
  std::error_code status;  // a folder that is not there is only looked at, or cleaned: there is nothing to hold
  const bool holds = world_.node().rank() == 0 && std::filesystem::is_directory(target, status);
  leases_.push_back({target, holds ? std::make_shared<Lease>(target, self_) : nullptr, false});
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
      {"is being staged to by", [](const Lease& lease) { return lease.in_the_way_of_replacing(); },
       [](const Lease& lease) { return lease.last_beat_of_replacing(); }},
      [] {});
  agree_on(world_.all(), [&] {
    for (const Claim& each : sources_) {
      if (!each.lease || !is_staged_in_part(each.target)) continue;
      throw Error(ExitCode::data,
                  Complaint{each.target.string(), "holds what a staging has left that did not come to its end",
                            "files of the dataset may be missing: this run would use a part of it",
                            "stage to it again (`trainmark stage CONFIG`), or name the original dataset"});
    }
  });
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
      {"is being staged to by", [](const Lease& lease) { return lease.in_the_way_of_turn(); },
       [](const Lease& lease) { return lease.last_beat_of_turn(); }},
      give_back);
  warn_where_locks_do_nothing();
}

void Claims::require_own_targets() const {
  agree_on(world_.all(), [&] {
    for (const Claim& each : leases_) {
      if (!each.lease || each.lease->has_turn()) continue;
      throw Error(ExitCode::usage,
                  Complaint{"/stage/form",
                            fmt::format("\"packed\" needs a target of each node's own, and nodes share {}",
                                        each.target.string()),
                            "each node would fill containers with the same files",
                            "name a folder on node-local storage (/stage/target), or set /stage/form to \"files\""});
    }
  });
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
      {"holds other files than this run wants there and is read by",
       [](const Lease& lease) { return lease.in_the_way_of_replacing(); }},
      [] {});
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

void Claims::beat() noexcept {
  constexpr double interval_s = 0.5;
  if (clock_.seconds() - last_beat_ < interval_s) return;
  last_beat_ = clock_.seconds();
  for (const Claim& each : leases_) {
    if (each.lease) each.lease->beat();
  }
}

std::string Claims::limit_of(const Obstacle& obstacle) const {
  return obstacle.progress ? fmt::format("until that has ended or made no progress for {:g} s", wait_seconds_)
                           : fmt::format("at most {:g} s", wait_seconds_);
}

/// Whether who is in the way of a claim has been so for too long, or without progress.
bool Claims::is_hopeless(Claim& claim, const Obstacle& obstacle) const {
  const std::int64_t beat = obstacle.progress ? obstacle.progress(*claim.lease) : 0;
  if (claim.still_since < 0.0 || beat != claim.last_beat) claim.still_since = clock_.seconds();
  claim.last_beat = beat;
  return clock_.seconds() - claim.still_since >= wait_seconds_;
}

void Claims::until_free(std::vector<Claim>& claims, const Attempt& attempt, const Obstacle& obstacle,
                        const std::function<void()>& give_back) {
  for (Claim& each : claims)
    each.still_since = -1.0;
  for (double since = -1.0;;) {
    std::vector<std::size_t> missed;
    agree_on(world_.all(), [&] { missed = attempt(); });  // on return all winners have left their names
    std::string waits_for, hopeless;
    for (std::size_t i = 0; i < claims.size(); ++i) {
      const bool is_missed = std::ranges::find(missed, i) != missed.end();
      const std::string who = is_missed ? obstacle.holder(*claims[i].lease) : "";
      if (who.empty()) {  // got it, or another node of this run holds it for both
        claims[i].still_since = -1.0;
        continue;
      }
      const std::string text = fmt::format("{} {} {}", claims[i].target.string(), obstacle.sentence, who);
      if (waits_for.empty()) waits_for = text;
      if (is_hopeless(claims[i], obstacle) && hopeless.empty()) hopeless = text;
    }
    std::array<std::int64_t, 2> sums = {waits_for.empty() ? 0 : 1, hopeless.empty() ? 0 : 1};
    world_.all().sum(sums);
    if (sums[0] == 0) {
      if (since >= 0.0) waited_seconds_ += clock_.seconds() - since;
      return;
    }
    give_back();
    diagnose(LogLevel::debug, [&] {
      return waits_for.empty() ? "another node waits for another run: trying again" : waits_for + ": trying again";
    });
    agree_on(world_.all(), [&] {
      if (hopeless.empty()) return;
      throw Error(
          ExitCode::data,
          Complaint{fmt::format("node {}", world_.host()),
                    wait_seconds_ <= 0.0 ? hopeless : fmt::format("{}; waited {}", hopeless, limit_of(obstacle)),
                    "one run must not change the files that another one reads; nothing was changed",
                    fmt::format("wait until that run has ended, name another stage.target, or raise "
                                "stage.wait_seconds ({:g})",
                                wait_seconds_)});
    });
    if (since < 0.0) {
      since = clock_.seconds();
      say_once(world_, context_,
               waits_for.empty()
                   ? ""
                   : fmt::format("waiting {}: node {}: {}", limit_of(obstacle), world_.host(), waits_for));
    }
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
