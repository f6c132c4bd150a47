// Uncompressed megabytes a second that one core generates. Prints one JSON line for the extent given (default 32).
#include <fmt/core.h>

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
  std::uint64_t fields = 0;
  while (clock.seconds() < 2.0) maker.make(parameters, 1, 0, ++fields, counts);
  const double bytes = static_cast<double>(fields) * static_cast<double>(counts.size()) * 2.0;
  fmt::print("{{\"program\": \"trainmark generator\", \"extent\": {}, \"mb_per_s_a_core\": {:.1f}}}\n", extent,
             bytes * 1e-6 / clock.seconds());
  return 0;
}
