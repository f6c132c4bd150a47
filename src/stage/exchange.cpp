// A message is a head (whether its sender failed, and what each piece's file is like) and the pieces' bytes. Ranks that
// fail go on sending and receiving until all have heard of it, at the end of a window of blocks: nobody waits for a
// block that nobody sends.
#include "stage/exchange.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <future>
#include <optional>

namespace trainmark {

bool exchanges(const StageOptions& options, const StagingPlan& plan, int nodes) noexcept {
  if (options.inflate) return false;  // each sender of a file's blocks would have to inflate all of it
  return options.transport != Transport::copy && options.mode == StageMode::before && nodes > std::ssize(plan.parts);
}

BlockStream::BlockStream(const Manifest& manifest, const std::vector<std::size_t>& entries, std::int64_t block_bytes) {
  constexpr std::int64_t pieces_at_most = 1024;
  std::int64_t room = 0;  // in the block that is being filled
  for (const std::size_t entry : entries) {
    std::int64_t offset = 0;
    do {  // an empty file has one piece of no bytes
      const bool full = room == 0 || std::ssize(pieces_) - static_cast<std::int64_t>(first_.back()) == pieces_at_most;
      if (full) {
        first_.push_back(pieces_.size());
        room = block_bytes;
      }
      const std::int64_t bytes = std::min(room, manifest.entries[entry].bytes - offset);
      pieces_.push_back({entry, offset, bytes});
      offset += bytes;
      room -= bytes;
      most_pieces_ = std::max(most_pieces_, std::ssize(pieces_) - static_cast<std::int64_t>(first_.back()));
    } while (offset < manifest.entries[entry].bytes);
  }
  first_.push_back(pieces_.size());
}

std::span<const Piece> BlockStream::pieces_of(std::int64_t block) const {
  const auto number = static_cast<std::size_t>(block);
  return std::span(pieces_).subspan(first_.at(number), first_.at(number + 1) - first_[number]);
}

namespace {

/// Of a file, for those who did not open it.
struct PieceHead {
  std::int64_t modified_ns = 0;
  std::uint64_t mode = 0;
};
constexpr std::size_t head_bytes = 64;  // of a message; its first byte tells whether the sender failed

std::size_t message_bytes(std::span<const Piece> pieces) {
  std::size_t bytes = head_bytes + pieces.size() * sizeof(PieceHead);
  for (const Piece& piece : pieces)
    bytes += static_cast<std::size_t>(piece.bytes);
  return bytes;
}

/// Fills messages, in a thread of its own.
class BlockReader {
 public:
  explicit BlockReader(const ExchangeJob& job) : job_(job) {}

  /// The message of a block, whose sender did not fail.
  void read(std::span<const Piece> pieces, std::span<std::byte> message) {
    std::ranges::fill(message.first(head_bytes), std::byte{0});
    std::byte* head = message.data() + head_bytes;
    std::size_t at = head_bytes + pieces.size() * sizeof(PieceHead);
    for (const Piece& piece : pieces) {
      SourceFile& file = open(piece.entry);
      file.read(message.subspan(at, static_cast<std::size_t>(piece.bytes)), piece.offset);
      file.require_unchanged();
      const PieceHead facts = {file.facts().modified_ns, file.facts().mode};
      std::memcpy(head, &facts, sizeof(facts));
      head += sizeof(facts);
      at += static_cast<std::size_t>(piece.bytes);
      bytes_ += piece.bytes;
    }
  }
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::int64_t retries() const noexcept { return retries_ + (file_ ? file_->retries() : 0); }

 private:
  SourceFile& open(std::size_t entry) {
    if (file_ && entry_ == entry) return *file_;
    if (file_) retries_ += file_->retries();
    file_.reset();
    const ManifestEntry& wanted = job_.manifest.entries[entry];
    entry_ = entry;
    return file_.emplace(wanted, job_.source / wanted.name);
  }

  const ExchangeJob& job_;
  std::optional<SourceFile> file_;
  std::size_t entry_ = 0;
  std::int64_t bytes_ = 0, retries_ = 0;
};

/// Writes what messages hold, file by file.
class BlockWriter {
 public:
  explicit BlockWriter(const ExchangeJob& job) : job_(job) {}

  void write(std::span<const Piece> pieces, std::span<const std::byte> message) {
    const std::byte* head = message.data() + head_bytes;
    std::size_t at = head_bytes + pieces.size() * sizeof(PieceHead);
    for (const Piece& piece : pieces) {
      PieceHead facts;
      std::memcpy(&facts, head, sizeof(facts));
      head += sizeof(facts);
      const auto bytes = message.subspan(at, static_cast<std::size_t>(piece.bytes));
      at += bytes.size();
      if (job_.wanted(piece.entry)) land(piece, facts, bytes);
    }
  }

 private:
  void land(const Piece& piece, const PieceHead& facts, std::span<const std::byte> bytes) {
    const ManifestEntry& entry = job_.manifest.entries[piece.entry];
    if (piece.offset == 0) {
      FileFacts source;
      source.modified_ns = facts.modified_ns;
      source.mode = static_cast<unsigned>(facts.mode);
      landing_ =
          std::make_unique<Landing>(entry, job_.source / entry.name, job_.place(piece.entry), source, job_.hashed);
    }
    landing_->add(bytes);
    if (piece.offset + piece.bytes < entry.bytes) return;
    std::string hash = landing_->finish();
    job_.landed(std::move(landing_), std::move(hash));
  }

  const ExchangeJob& job_;
  std::unique_ptr<Landing> landing_;
};

}  // namespace

struct Exchange::Impl {
  Impl(const Group& group, const ExchangeJob& work, std::int64_t memory_bytes)
      : lane(group),
        job(work),
        slot_bytes(static_cast<std::size_t>(exchange_block_bytes) + head_bytes +
                   static_cast<std::size_t>(job.stream.most_pieces()) * sizeof(PieceHead)),
        ring(lane, static_cast<std::size_t>(std::max<std::int64_t>(2, memory_bytes / exchange_block_bytes)),
             slot_bytes),
        own(slot_bytes),
        reader(job),
        writer(job) {}

  /// Remembers the first failure of this rank; work after it is of no use.
  template <class Work>
  void guarded(Work&& work) {
    if (failed) return;
    try {
      work();
    } catch (const Pulse::Cancelled&) {
      failed = true;
    } catch (...) {
      failed = true;
      failure = std::current_exception();
    }
  }

  void read_ahead(std::int64_t block) {
    if (failed || block >= job.stream.blocks()) return;
    ahead = std::async(std::launch::async, [this, block] {
      const std::span<const Piece> pieces = job.stream.pieces_of(block);
      reader.read(pieces, std::span(own).first(message_bytes(pieces)));
    });
  }

  void send(std::int64_t block) {
    const std::size_t slot = static_cast<std::size_t>(block) % ring.slots();
    const std::size_t bytes = message_bytes(job.stream.pieces_of(block));
    const auto root = static_cast<int>(block % lane.size());
    if (root == lane.rank()) {
      guarded([&] {
        ahead.get();
        std::memcpy(ring.slot(slot).data(), own.data(), bytes);
      });
      if (failed) ring.slot(slot)[0] = std::byte{1};
    }
    ring.start(slot, bytes, root);
    if (root == lane.rank()) guarded([&] { read_ahead(block + lane.size()); });
  }

  void receive(std::int64_t block) {
    const std::size_t slot = static_cast<std::size_t>(block) % ring.slots();
    const Clock clock;
    ring.wait(slot);  // without a sign of life: where nothing arrives any more a watchdog is to notice
    stats.wait_seconds += clock.seconds();
    const std::span<const Piece> pieces = job.stream.pieces_of(block);
    const auto message = std::span<const std::byte>(ring.slot(slot)).first(message_bytes(pieces));
    if (message[0] != std::byte{0}) failed = true;
    guarded([&] {
      writer.write(pieces, message);
      job.progress(static_cast<std::int64_t>(message.size()));
    });
  }

  /// Whether any rank failed, as all of them know after it.
  bool anyone_failed() {
    const Clock clock;
    double any[1] = {failed ? 1.0 : 0.0};
    lane.max(any);
    stats.wait_seconds += clock.seconds();  // for who is slowest
    return any[0] != 0.0;
  }

  Group lane;
  ExchangeJob job;
  std::size_t slot_bytes;
  BlockRing ring;
  std::vector<std::byte> own;  // this rank's next block
  BlockReader reader;
  BlockWriter writer;
  std::future<void> ahead;
  bool failed = false;  // here, or elsewhere as far as it is known here
  std::exception_ptr failure;
  ExchangeStats stats;
};

Exchange::Exchange(const Group& lane, const ExchangeJob& job, std::int64_t memory_bytes)
    : impl_(std::make_unique<Impl>(lane, job, memory_bytes)) {}
Exchange::~Exchange() = default;

ExchangeStats Exchange::run() {
  Impl& self = *impl_;
  const std::int64_t blocks = self.job.stream.blocks(), window = static_cast<std::int64_t>(self.ring.slots());
  self.guarded([&] { self.read_ahead(self.lane.rank()); });
  std::int64_t sent = 0;
  const auto fill = [&](std::int64_t until) {
    for (; sent < std::min(until, blocks); ++sent)
      self.send(sent);
  };
  fill(window);
  for (std::int64_t block = 0; block < blocks; ++block) {
    self.receive(block);
    const bool decides = (block + 1) % window == 0 || block + 1 == blocks;
    const bool stops = decides && self.anyone_failed();
    if (!stops) fill(block + 1 + window);
    if (!stops) continue;
    self.failed = true;
    while (++block < sent)
      self.receive(block);  // those that are under way
    break;
  }
  if (self.ahead.valid()) self.ahead.wait();
  self.stats.bytes_read = self.reader.bytes();
  self.stats.retries = self.reader.retries();
  if (self.failure) std::rethrow_exception(self.failure);
  if (self.failed) throw Pulse::Cancelled{};
  return self.stats;
}

}  // namespace trainmark
