// See ranks.hpp. The name is removed as soon as all ranks have the segment open.
#include "cuda_double/ranks.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <stdexcept>

namespace trainmark::cuda_double {

Segment::Segment(const std::string& name, int ranks)
    : name_(name), ranks_(ranks), bytes_(sizeof(Shared) + 2 * static_cast<std::size_t>(ranks) * chunk_bytes) {
  const int file = shm_open(name.c_str(), O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, static_cast<off_t>(bytes_)) != 0) throw std::runtime_error("no shared memory");
  void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) throw std::runtime_error("no shared memory");
  shared_ = static_cast<Shared*>(memory);  // starts as zeros
  if (++shared_->joined == ranks_) shm_unlink(name_.c_str());
}

Segment::~Segment() {
  if (!all_joined()) shm_unlink(name_.c_str());
  munmap(shared_, bytes_);
}

char* Segment::chunk(std::uint64_t round, int rank) const {
  const auto slot = (round % 2) * static_cast<std::size_t>(ranks_) + static_cast<std::size_t>(rank);
  return reinterpret_cast<char*>(shared_ + 1) + slot * chunk_bytes;
}

void Segment::arrive(std::uint64_t round, int rank, const Intent& intent) {
  Rank& own = shared_->ranks[rank];
  own.intents[round % 2] = intent;
  own.rounds.store(round + 1, std::memory_order_release);
}

bool Segment::all_arrived(std::uint64_t round) const {
  for (int rank = 0; rank < ranks_; ++rank)
    if (shared_->ranks[rank].rounds.load(std::memory_order_acquire) <= round) return false;
  return true;
}

bool Segment::somebody_arrived(std::uint64_t round) const {
  for (int rank = 0; rank < ranks_; ++rank)
    if (shared_->ranks[rank].rounds.load(std::memory_order_acquire) > round) return true;
  return false;
}

std::string Segment::missing(std::uint64_t round) const {
  std::string text;
  for (int rank = 0; rank < ranks_; ++rank)
    if (shared_->ranks[rank].rounds.load() <= round) text += (text.empty() ? "" : " ") + std::to_string(rank);
  return text;
}

const Intent& Segment::intent(std::uint64_t round, int rank) const { return shared_->ranks[rank].intents[round % 2]; }

}  // namespace trainmark::cuda_double
