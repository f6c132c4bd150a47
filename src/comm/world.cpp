// MPI's life in this process, and where the process stands among the others.
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
  bool initialised_here = false;
  double init_seconds = 0.0;
  int exceptions = 0;  // in flight when the world was made
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

World::World(int& argc, char**& argv) : impl_(std::make_unique<Impl>()) {
  impl_->exceptions = std::uncaught_exceptions();
  impl_->host = host_name();
  int initialised = 0;
  MPI_Initialized(&initialised);
  int provided = MPI_THREAD_SINGLE;
  if (initialised == 0) {
    const Clock clock;
    check_mpi(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
    impl_->init_seconds = clock.seconds();
    impl_->initialised_here = true;
  } else {
    MPI_Query_thread(&provided);
  }
  impl_->thread_multiple = provided == MPI_THREAD_MULTIPLE;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  MPI_Comm copy = MPI_COMM_NULL;  // a context of our own, whatever else in the process uses MPI_COMM_WORLD
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &copy), "MPI_Comm_dup");
  impl_->all.emplace(std::make_shared<Group::Impl>(copy, true));
  MPI_Comm shared = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(copy, MPI_COMM_TYPE_SHARED, impl_->all->rank(), MPI_INFO_NULL, &shared),
            "MPI_Comm_split_type");
  impl_->node.emplace(std::make_shared<Group::Impl>(shared, true));

  // Nodes are numbered by their lowest rank.
  int lowest = impl_->all->rank();
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, &lowest, 1, MPI_INT, MPI_MIN, shared), "MPI_Allreduce");
  std::vector<std::uint64_t> leaders = impl_->all->all_gather(static_cast<std::uint64_t>(lowest));
  std::sort(leaders.begin(), leaders.end());
  leaders.erase(std::unique(leaders.begin(), leaders.end()), leaders.end());
  impl_->nodes = static_cast<int>(leaders.size());
  impl_->node_index = static_cast<int>(
      std::lower_bound(leaders.begin(), leaders.end(), static_cast<std::uint64_t>(lowest)) - leaders.begin());
}

World::~World() {
  const bool unwinding = std::uncaught_exceptions() > impl_->exceptions;
  const bool finalise = impl_->initialised_here && !unwinding;
  impl_->node.reset();
  impl_->all.reset();
  if (finalise) MPI_Finalize();
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
  const std::string version(text.data(), static_cast<std::size_t>(length));
  return version.substr(0, version.find_first_of(",\n"));
}

bool World::aborting() noexcept { return abort_called; }

void World::abort(ExitCode code) const noexcept {
  abort_called = true;
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
  _exit(static_cast<int>(code));
}

}  // namespace trainmark
