// Uncompressed megabytes a second of processor time that one core generates, and of elapsed time (less where cores are
// shared). Prints one JSON line for the extent given (default 32).
#include <fmt/core.h>

#include <ctime>
#include <string>
#include <vector>

#include "synth/field.hpp"
#include "trainmark/core.hpp"

int main(int argc, char** argv) {
  using namespace trainmark;
  const int extent = argc > 1 ? std::stoi(argv[1]) : 32;
  synth::FieldMaker maker(extent, extent);
  std::vector<std::int16_t> counts(static_cast<std::size_t>(extent) * extent * extent * 4);
  const std::array<float, 4> parameters = {0.1F, -0.2F, 0.3F, 0.4F};
  maker.make(parameters, 1, 0, 0, counts);
  const Clock clock;
  const std::clock_t start = std::clock();
  std::uint64_t fields = 0;
  while (clock.seconds() < 2.0)
    maker.make(parameters, 1, 0, ++fields, counts);
  const double elapsed = clock.seconds();
  const double busy = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  const double megabytes = static_cast<double>(fields) * static_cast<double>(counts.size()) * 2e-6;
  fmt::print(
      "{{\"program\": \"trainmark generator\", \"extent\": {}, \"mb_per_s_a_core\": {:.1f}, "
      "\"mb_per_s_elapsed\": {:.1f}}}\n",
      extent, megabytes / busy, megabytes / elapsed);
  return 0;
}
