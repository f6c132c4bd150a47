// MPI's life in this process, and where the process stands among the others: really, or pretended.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <optional>

#include "comm/native.hpp"

namespace trainmark {

struct World::Impl {
  std::optional<Group> all, node;
  int nodes = 1;
  int node_index = 0;
  bool thread_multiple = false;
  double init_seconds = 0.0;
  std::string host;
};

namespace {

std::atomic<bool> abort_called{false};

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

}  // namespace

Mpi::Mpi(int& argc, char**& argv) : exceptions_(std::uncaught_exceptions()) {
  auto world = std::make_shared<World::Impl>();
  world->host = host_name();
  int initialised = 0;
  MPI_Initialized(&initialised);
  int provided = MPI_THREAD_SINGLE;
  if (initialised == 0) {
    const Clock clock;
    check_mpi(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
    world->init_seconds = clock.seconds();
    initialised_here_ = true;
  } else {
    MPI_Query_thread(&provided);
  }
  world->thread_multiple = provided == MPI_THREAD_MULTIPLE;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  MPI_Comm copy = MPI_COMM_NULL;  // a context of our own, whatever else in the process uses MPI_COMM_WORLD
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &copy), "MPI_Comm_dup");
  world->all.emplace(std::make_shared<Group::Impl>(copy, true));
  MPI_Comm shared = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(copy, MPI_COMM_TYPE_SHARED, world->all->rank(), MPI_INFO_NULL, &shared),
            "MPI_Comm_split_type");
  world->node.emplace(std::make_shared<Group::Impl>(shared, true));

  // Nodes are numbered by their lowest rank.
  int lowest = world->all->rank();
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, &lowest, 1, MPI_INT, MPI_MIN, shared), "MPI_Allreduce");
  std::vector<std::uint64_t> leaders = world->all->all_gather(static_cast<std::uint64_t>(lowest));
  std::sort(leaders.begin(), leaders.end());
  leaders.erase(std::unique(leaders.begin(), leaders.end()), leaders.end());
  world->nodes = static_cast<int>(leaders.size());
  world->node_index = static_cast<int>(
      std::lower_bound(leaders.begin(), leaders.end(), static_cast<std::uint64_t>(lowest)) - leaders.begin());
  world_ = std::make_unique<World>(std::move(world));
}

Mpi::~Mpi() {
  const bool unwinding = std::uncaught_exceptions() > exceptions_;
  world_.reset();  // frees its communicators
  if (initialised_here_ && !unwinding) MPI_Finalize();
}

World pretended_world(int ranks, int nodes, int rank) {
  TRAINMARK_CHECK(nodes > 0 && ranks % nodes == 0 && rank >= 0 && rank < ranks, "ranks are spread evenly over nodes");
  const int on_node = ranks / nodes;
  auto world = std::make_shared<World::Impl>();
  world->all.emplace(std::make_shared<Group::Impl>(rank, ranks));
  world->node.emplace(std::make_shared<Group::Impl>(rank % on_node, on_node));
  world->nodes = nodes;
  world->node_index = rank / on_node;
  world->host = host_name();
  return World(std::move(world));
}

const Group& World::all() const noexcept { return *impl_->all; }
const Group& World::node() const noexcept { return *impl_->node; }
int World::nodes() const noexcept { return impl_->nodes; }
int World::node_index() const noexcept { return impl_->node_index; }
bool World::thread_multiple() const noexcept { return impl_->thread_multiple; }
double World::init_seconds() const noexcept { return impl_->init_seconds; }
const std::string& World::host() const noexcept { return impl_->host; }

std::string World::library_version() const {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  std::string version(text.data(), static_cast<std::size_t>(length));
  std::ranges::replace(version, '\t', ' ');  // MPICH's table of two columns
  return version.substr(0, version.find_first_of(",\n"));
}

bool World::aborting() noexcept { return abort_called; }

void World::abort(ExitCode code) const noexcept {
  abort_called = true;
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
  _exit(static_cast<int>(code));
}

}  // namespace trainmark
